"""The journal: each row of the table in ``delivery/journal.py``, and the cases around it.

A *try* here is a process that may die at one of the moments in the table. The next try is a new operator with the same
store, as in Airflow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_passnotify.delivery.journal import State
from airflow_provider_passnotify.delivery.session import open_journal
from airflow_provider_passnotify.delivery.store import RETENTION
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    JournalError,
    NotSentError,
    PassNotifyApiError,
    RejectedError,
    TicketError,
    TicketFailedError,
    TicketTimeoutError,
)
from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from tests.servers import NOTHING, TICKET, Answer, Server, answer, serving
from tests.stores import Store, context_of

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")


def ticket(status: str) -> Answer:
    return answer(body={"status": status, "ID": 12345})


RUNNING, DONE = ticket("RUNNING"), ticket("COMPLETED")


class Died(BaseException):
    """The process is gone; nothing of it runs on."""


def operator(**arguments: Any) -> SendNotificationOperator:
    return SendNotificationOperator(
        **{"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "20% off", "retries": 5, **arguments}
    )


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run(store: Store, connection: Callable[..., str]) -> Callable[..., int]:
    """Run one try against a server."""

    def run_try(server: Server, *, try_number: int = 1, max_tries: int = 5, **arguments: Any) -> int:
        connection(host=server.url, login="me", password="secret", extra={"max_retries": 0})
        return operator(**arguments).execute(context_of(store, try_number, max_tries))

    return run_try


def states(store: Store) -> list[str]:
    return [record.state.value for record in open_journal(context_of(store, 9), resume=True).read()]


def dies_on(state: State) -> Callable[[Any], bool]:
    def refuse(value: Any) -> bool:
        if value["state"] == state.value:
            raise Died
        return False

    return refuse


@pytest.fixture(params=["at_most_once", "at_least_once"])
def delivery(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


def test_row_1_and_2_died_before_the_intent_stood(store: Store, run: Callable[..., int], delivery: str) -> None:
    with serving() as server:
        store.refuse = dies_on(State.INTENT)
        with pytest.raises(Died):
            run(server, delivery=delivery)
        assert server.received == []
        store.refuse = lambda _: False
        assert run(server, try_number=2, delivery=delivery) == 12345
    assert len(server.received) == 1


def test_row_2_a_refused_intent_sends_nothing(store: Store, run: Callable[..., int], delivery: str) -> None:
    store.refuse = lambda _: True
    with (
        serving() as server,
        pytest.raises(JournalError, match=r"(?s)^Not sent to pass 123: .*the store refused"),
    ):
        run(server, delivery=delivery)
    assert server.received == []


def test_a_journal_that_cannot_be_read_sends_nothing(store: Store, run: Callable[..., int], delivery: str) -> None:
    store.unreadable = True
    with (
        serving() as server,
        pytest.raises(JournalError, match=r"^Not sent to pass 123 by this try: .*cannot be read"),
    ):
        run(server, delivery=delivery)
    assert server.received == []


def test_rows_3_to_5_died_with_the_intent_alone(store: Store, run: Callable[..., int], delivery: str) -> None:
    with serving() as server:
        store.refuse = dies_on(State.SENT)
        with pytest.raises(Died):
            run(server, delivery=delivery)
        assert states(store) == ["intent"]
        store.refuse = lambda _: False
        if delivery == "at_least_once":
            assert run(server, try_number=2, delivery=delivery) == 12345
        else:
            for try_number in (2, 3):
                with pytest.raises(DeliveryUnknownError, match="Try 1 set out to send") as caught:
                    run(server, try_number=try_number, delivery=delivery)
                assert caught.value.may_have_been_sent
    assert len(server.received) == (2 if delivery == "at_least_once" else 1)


def test_row_6_sent(store: Store, run: Callable[..., int], delivery: str) -> None:
    with serving() as server:
        tickets = [run(server, try_number=number, delivery=delivery) for number in (1, 2, 3)]
    assert tickets == [12345] * 3
    assert len(server.received) == 1
    assert states(store) == ["sent"]
    assert set(store.retentions) == {RETENTION}


def test_row_6_not_sent(store: Store, run: Callable[..., int], delivery: str) -> None:
    with serving(answer(429), TICKET) as server:
        with pytest.raises(NotSentError):
            run(server, delivery=delivery)
        assert states(store) == ["not_sent"]
        assert run(server, try_number=2, delivery=delivery) == 12345
    assert len(server.received) == 2


@pytest.mark.parametrize("reply", [NOTHING, answer(502), answer(200, body={})])
def test_row_6_unknown(store: Store, run: Callable[..., int], delivery: str, reply: Answer) -> None:
    with serving(reply, TICKET) as server:
        expected = DeliveryUnknownError if delivery == "at_most_once" else PassNotifyApiError
        with pytest.raises(PassNotifyApiError) as caught:
            run(server, delivery=delivery)
        assert type(caught.value) is expected
        assert states(store) == ["unknown"]
        if delivery == "at_most_once":
            with pytest.raises(DeliveryUnknownError):
                run(server, try_number=2, delivery=delivery)
        else:
            assert run(server, try_number=2, delivery=delivery) == 12345
    assert len(server.received) == (1 if delivery == "at_most_once" else 2)


def test_row_8_a_ticket_that_failed_is_sent_again(store: Store, run: Callable[..., int], delivery: str) -> None:
    with serving() as server:
        run(server, delivery=delivery)
        operator()._new_push(context_of(store, 1, 5)).ticket_failed("ticket 12345: FAILED")
        assert run(server, try_number=2, delivery=delivery) == 12345
    assert len(server.received) == 2


def test_a_ticket_that_failed_after_a_deferral_changes_nothing_about_what_counts(
    connection: Callable[..., str], tmp_path: Path
) -> None:
    """Try 1 had another folder. A person has ordered try 2, so what try 1 did does not count. Nor does it for try 3."""
    second, third = (context_of(None, number, 6, retries=5, clear_number=1) for number in (2, 3))
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        assert operator(journal_path=str(tmp_path)).execute(second) == 12345
        after_deferral = context_of(None, 2, 6, retries=5, clear_number=1)
        operator(journal_path=str(tmp_path))._new_push(after_deferral).ticket_failed("ticket 12345: FAILED")
        assert operator(journal_path=str(tmp_path)).execute(third) == 12345
    assert len(server.received) == 2


def test_doubt_outlives_a_try_that_did_not_send(run: Callable[..., int]) -> None:
    with serving(NOTHING, answer(429), TICKET) as server:
        for number in (1, 2):
            with pytest.raises(PassNotifyApiError):
                run(server, try_number=number, delivery="at_least_once")
        with pytest.raises(DeliveryUnknownError, match="Try 1 set out"):
            run(server, try_number=3)
    assert len(server.received) == 2


def test_a_refusal_that_cannot_be_recorded_is_still_told(store: Store, run: Callable[..., int]) -> None:
    store.refuse = lambda value: value["state"] != "intent"
    with serving(answer(404), NOTHING) as server:
        with pytest.raises(RejectedError, match="HTTP 404"):
            run(server)
        with pytest.raises(DeliveryUnknownError):
            run(server, try_number=2)
    assert len(server.received) == 1


def test_a_ticket_that_cannot_be_recorded_is_told(store: Store, run: Callable[..., int]) -> None:
    store.refuse = lambda value: value["state"] == "sent"
    with (
        serving() as server,
        pytest.raises(JournalError, match=r"^Sent to pass 123 \(ticketId 12345\), but that is not recorded"),
    ):
        run(server)


@pytest.mark.parametrize("on_clear", ["resend", "resume"])
def test_a_clear_starts_afresh_or_goes_on(run: Callable[..., int], on_clear: str) -> None:
    with serving() as server:
        run(server, try_number=1, max_tries=2, on_clear=on_clear)
        run(server, try_number=2, max_tries=3, on_clear=on_clear)
        run(server, try_number=3, max_tries=3, on_clear=on_clear)
    assert len(server.received) == (2 if on_clear == "resend" else 1)


def test_a_clear_after_doubt_sends_again_only_if_that_was_asked_for(run: Callable[..., int]) -> None:
    with serving(NOTHING, TICKET) as server:
        with pytest.raises(DeliveryUnknownError):
            run(server, max_tries=0)
        with pytest.raises(DeliveryUnknownError):
            run(server, try_number=2, max_tries=1, on_clear="resume")
        assert run(server, try_number=2, max_tries=1) == 12345
    assert len(server.received) == 2


def test_a_clear_of_a_try_that_may_be_at_it_still_is_doubt(store: Store, run: Callable[..., int]) -> None:
    """If a running task is cleared, this may look like any other clear, and its process continues for a moment."""
    with serving() as server:
        store.refuse = dies_on(State.SENT)
        with pytest.raises(Died):
            run(server, max_tries=5)
        store.refuse = lambda _: False
        with pytest.raises(DeliveryUnknownError, match="Try 1 set out to send"):
            run(server, try_number=2, max_tries=6)
        assert run(server, try_number=3, max_tries=7) == 12345
    assert len(server.received) == 2


def waits(**arguments: Any) -> dict[str, Any]:
    return {"wait_for_completion": True, "poll_interval": 0.1, **arguments}


def dies_waiting(value: Any) -> bool:
    if value["state"] == "sent" and not value["waiting"]:
        raise Died
    return False


def posts(server: Server) -> int:
    return [received.method for received in server.received].count("POST")


def test_a_clear_while_it_waits_waits_on_and_sends_nothing(store: Store, run: Callable[..., int]) -> None:
    """Airflow may raise ``max_tries`` then, as for a clear after the end."""
    with serving(TICKET, *[DONE] * 5, TICKET, DONE) as server:
        store.refuse = dies_waiting
        for try_number, max_tries in ((1, 5), (2, 6), (3, 6), (4, 9)):
            with pytest.raises(Died):
                run(server, try_number=try_number, max_tries=max_tries, **waits())
        store.refuse = lambda _: False
        assert run(server, try_number=5, max_tries=10, **waits()) == 12345
        assert posts(server) == 1
        assert run(server, try_number=6, max_tries=11, **waits()) == 12345
        assert posts(server) == 2, "now it had ended"


def test_what_ends_the_waiting_is_recorded(store: Store, run: Callable[..., int]) -> None:
    ends: list[tuple[Answer, dict[str, Any], type[BaseException] | None]] = [
        (DONE, {}, None),
        (RUNNING, {"timeout": 0}, TicketTimeoutError),
        (RUNNING, {"deferrable": True}, TaskDeferred),
        (answer(404), {}, RejectedError),
        (ticket("FAILED"), {}, TicketFailedError),
    ]
    for number, (reply, arguments, error) in enumerate(ends, 1):
        with serving(TICKET, reply) as server, pytest.raises(error) if error else nullcontext():
            run(server, try_number=number, max_tries=number, **waits(**arguments))
        (record,) = open_journal(context_of(store, number, number), resume=False).read()
        assert not record.is_open
        assert record.state is (State.TICKET_FAILED if error is TicketFailedError else State.SENT)
    writes = [key for key in store.values if ".try.1." in key]
    assert len(writes) == 2
    assert len(store.retentions) == 3 * len(ends), "three writes each: intent, sent, and the end"


def test_a_task_told_to_stop_waits_no_longer_and_says_so(
    store: Store, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, run_here = operator(**waits(poll_interval=60)), context_of(store)
    monkeypatch.setattr("random.uniform", lambda low, high: high)  # noqa: ARG005 (so that it does sleep)
    monkeypatch.setattr("time.sleep", lambda _: task.on_kill())
    with serving(TICKET, RUNNING) as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(TicketError, match=r"(?s)told to stop while it waited\..*12345 \(RUNNING\)") as caught:
            task.execute(run_here)
        assert not isinstance(caught.value, AirflowFailException)
    assert len(server.received) == 2
    (record,) = open_journal(run_here, resume=True).read()
    assert (record.state, record.is_open) == (State.SENT, False)


def test_a_failed_ticket_that_cannot_be_recorded_is_told_all_the_same(
    store: Store, run: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    store.refuse = lambda value: value["state"] == State.TICKET_FAILED.value
    with serving(TICKET, ticket("FAILED")) as server, pytest.raises(TicketFailedError, match="1 of 1 tickets failed"):
        run(server, **waits())
    assert "A retry waits for the same tickets again, and sends nothing" in caplog.text
    with serving(DONE) as server:
        assert run(server, try_number=2, **waits()) == 12345
    assert posts(server) == 0


def test_the_end_of_a_waiting_that_cannot_be_recorded_hides_nothing(
    store: Store, run: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    store.refuse = lambda value: value["state"] == "sent" and not value["waiting"]
    with serving(TICKET, DONE) as server:
        assert run(server, **waits()) == 12345
    assert "The end of the waiting is not recorded" in caplog.text


def test_a_send_without_waiting_writes_twice_and_its_retry_nothing(store: Store, run: Callable[..., int]) -> None:
    with serving() as server:
        run(server)
        run(server, try_number=2)
    assert len(store.retentions) == 2


@pytest.mark.parametrize("lost", [2, 3])
def test_what_is_open_is_not_forgotten_when_a_try_between_wrote_nothing(
    store: Store, run: Callable[..., int], lost: int
) -> None:
    with serving() as server:
        store.refuse = dies_on(State.SENT)
        with pytest.raises(Died):
            run(server, max_tries=5)
        store.refuse = lambda _: False
        with pytest.raises(DeliveryUnknownError):
            run(server, try_number=lost + 1, max_tries=6)
        assert len(server.received) == 1
        assert run(server, try_number=lost + 2, max_tries=9) == 12345, "told once; cleared again, it sends"
    assert len(server.received) == 2


def test_a_waiting_that_is_open_is_closed_by_a_try_that_does_not_wait(store: Store, run: Callable[..., int]) -> None:
    with serving(TICKET, DONE, TICKET) as server:
        store.refuse = dies_waiting
        with pytest.raises(Died):
            run(server, **waits())
        store.refuse = lambda _: False
        assert run(server, try_number=3, max_tries=6) == 12345
        assert posts(server) == 1
        assert run(server, try_number=4, max_tries=7) == 12345
        assert posts(server) == 2


def test_a_stop_that_comes_before_anything_else_is_obeyed(store: Store, connection: Callable[..., str]) -> None:
    task = operator()
    task.on_kill()
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(NotSentError, match="told to stop"):
            task.execute(context_of(store))
    assert server.received == []


def test_whom_counts_and_not_what(run: Callable[..., int], caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        run(server, value="at 10:00")
        run(server, try_number=2, value="at 10:05")
    assert len(server.received) == 1
    assert "has changed" in caplog.text


def test_an_old_try_cannot_change_what_a_newer_one_wrote(store: Store, run: Callable[..., int]) -> None:
    stale = open_journal(context_of(store, 1, 5), resume=False)
    with serving() as server:
        run(server, try_number=2)
        stale.write(State.NOT_SENT, address="/pass/123/notify", message="")
        assert run(server, try_number=3) == 12345
    assert len(server.received) == 1


def test_an_intent_that_arrives_late_cannot_hide_the_outcome(
    store: Store, run: Callable[..., int], delivery: str
) -> None:
    """Airflow repeats a write that got no answer. Perhaps the first one was only slow."""
    with serving() as server:
        run(server, delivery=delivery)
        intent = next(key for key in store.values if store.get(key)["state"] == "intent")
        store.set(intent, store.get(intent))
        assert run(server, try_number=2, delivery=delivery) == 12345
    assert len(server.received) == 1


def test_a_try_that_runs_twice_cannot_hide_its_new_intent(store: Store, run: Callable[..., int]) -> None:
    with serving(answer(429), TICKET) as server:
        with pytest.raises(NotSentError):
            run(server)
        store.refuse = dies_on(State.SENT)
        with pytest.raises(Died):
            run(server)
        store.refuse = lambda _: False
        with pytest.raises(DeliveryUnknownError):
            run(server, try_number=2)
    assert len(server.received) == 2


def test_the_log_names_whom_it_is_for_before_anything_can_go_wrong(
    store: Store, run: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.refuse = dies_on(State.INTENT)
    with serving() as server, pytest.raises(Died):
        run(server)
    assert "Notification to pass 123: try 1, at_most_once" in caplog.text


@pytest.mark.parametrize("value", ["text", {}, {"state": "danced"}, {"state": "sent", "more": 1}, [1]])
def test_a_record_that_is_not_understood_sends_nothing(store: Store, run: Callable[..., int], value: Any) -> None:
    with serving() as server:
        run(server)
        store.values = dict.fromkeys(store.values, json.dumps(value))
        with pytest.raises(JournalError, match="does not understand"):
            run(server, try_number=2)
    assert len(server.received) == 1


def test_a_record_of_a_ticket_without_its_number_is_doubt(store: Store, run: Callable[..., int]) -> None:
    with serving() as server:
        run(server)
        store.values = {key: text.replace("12345", "null") for key, text in store.values.items()}
        with pytest.raises(DeliveryUnknownError):
            run(server, try_number=2)
    assert len(server.received) == 1
