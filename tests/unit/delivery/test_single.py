"""The one path of a single push: deadlines, stopping, interruptions, and Airflow before 3.3 (no memory)."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_passnotify import retry_policy
from airflow_provider_passnotify.delivery.session import open_journal
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    NotSentError,
    PassNotifyApiError,
    PassNotifyConfigError,
    SendRefusedError,
)
from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from tests.servers import HANG, NOTHING, TICKET, Answer, answer, serving
from tests.stores import Store, context_of

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")

WAIT = answer(503, {"Retry-After": "30"}, {"code": 503, "description": "Busy."})
Connect = Callable[..., str]


def operator(**arguments: Any) -> SendNotificationOperator:
    return SendNotificationOperator(
        **{"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "20% off", "retries": 2, **arguments}
    )


def state_in(store: Store) -> str:
    (record,) = open_journal(context_of(store), resume=True).read()
    return record.state.value


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Replaces sleeping: what happens during each sleep, in turn."""
    events: list[Callable[[], None]] = []
    clock = [1000.0]

    def nap(seconds: float) -> None:
        clock[0] += seconds
        if events:
            events.pop(0)()

    # (Only the client's clock: a server in a thread of this process needs its own.)
    time = SimpleNamespace(sleep=nap, monotonic=lambda: clock[0])
    monkeypatch.setattr("airflow_provider_passnotify.api.client.time", time)
    return events


def test_the_log_names_whom_and_the_ticket(connection: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "airflow_provider_passnotify")
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        ticket_id = operator().execute(context_of(Store()))
    begun, sent = [record.message for record in caplog.records if "pass 123" in record.message]
    assert begun == "Notification to pass 123: try 1, at_most_once (POST /v1/pass/123/notify)."
    assert re.fullmatch(rf"Sent to pass 123: ticketId {ticket_id}, \d+ ms\.", sent)


def test_a_deadline_that_has_passed_skips_and_is_recorded_as_not_sent(connection: Connect) -> None:
    store = Store()
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(AirflowSkipException, match="send_before=2020-01-01T00:00:00"):
            operator(send_before="2020-01-01").execute(context_of(store))
    assert server.received == []
    assert state_in(store) == "not_sent"


def test_a_deadline_to_come_lets_it_out(connection: Connect) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        assert operator(send_before=pendulum.now("UTC").add(hours=1)).execute(context_of(Store())) == 12345


def test_a_deadline_that_passes_while_waiting(connection: Connect, naps: list[Callable[[], None]]) -> None:
    store, task = Store(), operator(send_before=pendulum.now("UTC").add(hours=1))
    naps += [lambda: None, lambda: setattr(task._push, "send_before", pendulum.datetime(2020, 1, 1))]
    with serving(WAIT, TICKET) as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(AirflowSkipException):
            task.execute(context_of(store))
    assert len(server.received) == 1
    assert state_in(store) == "not_sent"


def test_what_was_sent_is_returned_even_after_the_deadline(connection: Connect) -> None:
    store = Store()
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        operator().execute(context_of(store))
        assert operator(send_before="2020-01-01").execute(context_of(store, 2)) == 12345


def test_a_task_told_to_stop_while_waiting_says_that_it_did_not_send(
    connection: Connect, naps: list[Callable[[], None]]
) -> None:
    store, task = Store(), operator()
    naps += [lambda: None, task.on_kill]
    with serving(WAIT, TICKET) as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(NotSentError, match="told to stop"):
            task.execute(context_of(store))
    assert len(server.received) == 1
    assert naps == []
    assert state_in(store) == "not_sent"


class TimedOut(BaseException):
    """Like the exception that Airflow raises in a signal handler."""


def test_an_interruption_while_waiting_is_no_doubt(connection: Connect, naps: list[Callable[[], None]]) -> None:
    store = Store()

    def time_out() -> None:
        raise TimedOut

    naps.append(time_out)
    with serving(WAIT, TICKET) as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(TimedOut):
            operator().execute(context_of(store))
        assert state_in(store) == "not_sent"
        assert operator().execute(context_of(store, 2)) == 12345


def test_an_interruption_in_mid_request_is_doubt(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Airflow, a signal handler raises during the read. Here the read itself raises, after the request was sent."""
    from http.client import HTTPResponse

    store = Store()

    def begin(_: HTTPResponse) -> None:
        raise TimedOut

    with serving(Answer(b"HTTP", then=HANG)) as server:
        connection(host=server.url, login="me", password="secret")
        monkeypatch.setattr(HTTPResponse, "begin", begin)
        with pytest.raises(TimedOut):
            operator().execute(context_of(store))
        monkeypatch.undo()
        assert state_in(store) == "unknown"
        with pytest.raises(DeliveryUnknownError, match="Interrupted by TimedOut"):
            operator().execute(context_of(store, 2))


def test_an_interruption_right_after_the_answer_is_doubt(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    def interrupted(*_: object, **__: object) -> None:
        raise TimedOut

    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        monkeypatch.setattr("airflow_provider_passnotify.api.protocol.retry_delay", interrupted)
        with pytest.raises(TimedOut):
            operator().execute(context_of(store))
    assert len(server.received) == 1
    assert state_in(store) == "unknown"


def test_a_connection_that_is_wrong_is_recorded_as_not_sent(connection: Connect) -> None:
    store = Store()
    connection(host="http://api.example.com", login="me", password="secret")
    with pytest.raises(PassNotifyConfigError, match="plain http"):
        operator().execute(context_of(store))
    assert state_in(store) == "not_sent"


@pytest.mark.parametrize("reply", [answer(429), answer(502), NOTHING, answer(404)])
def test_without_memory_every_failure_is_final(connection: Connect, reply: Answer) -> None:
    with serving(reply) as server:
        connection(host=server.url, login="me", password="secret", extra={"max_retries": 0})
        with pytest.raises(AirflowFailException):
            operator().execute(context_of(None, 1, 2))


@pytest.mark.parametrize(("try_number", "max_tries"), [(2, 2), (3, 2), (3, 3)])
def test_without_memory_a_retry_refuses(connection: Connect, try_number: int, max_tries: int) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(SendRefusedError, match=r"(?s)Airflow 3\.3.*journal_path.*at_least_once"):
            operator().execute(context_of(None, try_number, max_tries))
    assert server.received == []


def test_without_memory_a_cleared_task_sends(connection: Connect) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        assert operator().execute(context_of(None, 2, 3, clear_number=1)) == 12345


def test_without_memory_at_least_once_may_be_retried(connection: Connect) -> None:
    with serving(answer(502), TICKET) as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(PassNotifyApiError) as caught:
            operator(delivery="at_least_once").execute(context_of(None, 1, 2))
        assert not isinstance(caught.value, AirflowFailException)
        assert operator(delivery="at_least_once").execute(context_of(None, 2, 2)) == 12345


@pytest.mark.skipif(retry_policy.retry_policy() is None, reason="Airflow has no retry policies before 3.3")
@pytest.mark.parametrize(
    ("header", "delay"), [("120", 300), ("3600", 3600), ("999999999", 86400), ("Fri, 31 Dec 9999 23:59:59 GMT", 86400)]
)
def test_airflow_retries_no_earlier_than_it_was_told(connection: Connect, header: str, delay: float) -> None:
    with serving(answer(429, {"Retry-After": header})) as server:
        connection(host=server.url, login="me", password="secret")
        task = operator(retry_delay=pendulum.duration(minutes=5))
        with pytest.raises(NotSentError) as caught:
            task.execute(context_of(Store()))
    decision = task.retry_policy.evaluate(caught.value, 1, 2, {"task": task})
    assert (decision.action.value, decision.retry_delay.total_seconds()) == ("retry", delay)


@pytest.mark.skipif(retry_policy.retry_policy() is None, reason="Airflow has no retry policies before 3.3")
def test_what_says_nothing_about_later_is_retried_as_the_task_says() -> None:
    task = operator()
    for error in (ValueError("x"), SendRefusedError("x")):
        assert task.retry_policy.evaluate(error, 1, 2, {"task": task}).action.value == "default"
