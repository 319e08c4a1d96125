"""``hook.send_once``: it gives a plain ``@task`` the same promise as the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    InvalidNotificationError,
    NotSentError,
    SendRefusedError,
)
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, PassNotifyHook
from tests.servers import NOTHING, TICKET, Answer, Server, answer, serving
from tests.stores import Store, context_of

try:
    from airflow.sdk.execution_time.context import set_current_context
except ImportError:  # Airflow 2
    from airflow.models.taskinstance import set_current_context  # type: ignore[attr-defined, no-redef]

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")

TWO = ({"target_type": "pass", "pass_id": 1}, {"target_type": "pass", "pass_id": 2})


def ticket(number: int) -> Answer:
    return answer(body={"ticketId": number})


@pytest.fixture
def run(connection: Callable[..., str]) -> Callable[..., Any]:
    """Return a context manager for a running task. Its hook talks to a server that gives these answers."""

    @contextmanager
    def running(context: Any, *answers: Answer) -> Iterator[tuple[PassNotifyHook, Server]]:
        with serving(*answers) as server, set_current_context(context):
            connection(host=server.url, login="me", password="secret", extra={"max_retries": 0})
            yield PassNotifyHook(), server

    return running


Run = Callable[..., Any]


def test_each_target_is_sent_once_over_all_tries(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), ticket(11), ticket(12)) as (hook, server):
        assert [hook.send_once(target, value="Hello") for target in TWO] == [11, 12]
        assert hook.send_once(TWO[0], value="Hello") == 11, "the same message again, in the same try"
        assert len(server.received) == 2
    with run(context_of(store, 2, max_tries=1, retries=1)) as (hook, server):
        assert [hook.send_once(target, value="Hello") for target in TWO] == [11, 12]
        assert server.received == []


def test_a_retry_sends_what_the_try_before_it_did_not_reach(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), ticket(11), answer(429)) as (hook, _):
        hook.send_once(TWO[0], value="Hello")
        with pytest.raises(NotSentError):
            hook.send_once(TWO[1], value="Hello")
    with run(context_of(store, 2, max_tries=1, retries=1), ticket(12)) as (hook, server):
        assert [hook.send_once(target, value="Hello") for target in TWO] == [11, 12]
        assert [received.target for received in server.received] == ["/v1/pass/2/notify"]


def test_what_nobody_knows_is_not_sent_again(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), NOTHING) as (hook, _), pytest.raises(DeliveryUnknownError):
        hook.send_once(TWO[0], value="Hello")
    with run(context_of(store, 2, max_tries=1, retries=1)) as (hook, server):
        with pytest.raises(DeliveryUnknownError):
            hook.send_once(TWO[0], value="Hello")
        assert server.received == []
    with run(context_of(store, 3, max_tries=1, retries=1), ticket(5)) as (hook, _):
        assert hook.send_once(TWO[0], value="Hello", delivery="at_least_once") == 5


def test_a_clear_sends_again_unless_told_otherwise(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, retries=0), TICKET) as (hook, _):
        hook.send_once(TWO[0], value="Hello")
    with run(context_of(store, 2, max_tries=1, retries=0, clear_number=1)) as (hook, server):
        hook.send_once(TWO[0], value="Hello", on_clear="resume")
        assert server.received == []
    with run(context_of(store, 2, max_tries=1, retries=0, clear_number=1), TICKET) as (hook, server):
        hook.send_once({"target_type": "pass", "pass_id": 3}, value="Hello")
        assert len(server.received) == 1


@pytest.fixture
def may_discard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like Airflow 3.4, where a clear discards the state of a task."""
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")


@pytest.mark.usefixtures("may_discard")
class TestAnotherSendOfTheTaskRemembers:
    """A try that ended before it reached a send is no reason to refuse it, as long as another send of it is there."""

    def test_retry_after_a_clear(self, run: Run) -> None:
        store = Store()
        with run(context_of(store, 1, max_tries=1, retries=1), ticket(11)) as (hook, _):
            hook.send_once(TWO[0], value="Hello")
        store.values.clear()
        with run(context_of(store, 2, max_tries=2, retries=1, clear_number=1), ticket(21)) as (hook, _):
            assert hook.send_once(TWO[0], value="Hello") == 21
        with run(context_of(store, 3, max_tries=2, retries=1, clear_number=1), ticket(22)) as (hook, server):
            assert [hook.send_once(target, value="Hello") for target in TWO] == [21, 22]
            assert len(server.received) == 1

    def test_retry_in_a_run_where_another_task_was_cleared(self, run: Run) -> None:
        store = Store()
        with run(context_of(store, 1, max_tries=2, retries=2), ticket(11)) as (hook, _):
            hook.send_once(TWO[0], value="Hello")
        for on_clear in ("resend", "resume"):
            with run(context_of(store, 2, max_tries=2, retries=2, clear_number=1), ticket(12)) as (hook, _):
                hook.send_once(TWO[1], value="Hello", dedupe_key=on_clear, on_clear=on_clear)

    def test_what_was_before_the_clear_is_unknown_to_a_send_that_goes_on(self, run: Run) -> None:
        store = Store()
        with run(context_of(store, 2, max_tries=2, retries=1, clear_number=1), ticket(21)) as (hook, _):
            hook.send_once(TWO[0], value="Hello")
        self._refuses_to_go_on(run, context_of(store, 3, max_tries=2, retries=1, clear_number=1))

    def test_clear_after_that_is_a_clear(self, run: Run) -> None:
        """The memory was written while the task was cleared: it does not know what was discarded at this moment."""
        store = Store()
        with run(context_of(store, 1, max_tries=1, retries=1), ticket(11)) as (hook, _):
            hook.send_once(TWO[0], value="Hello")
        self._refuses_to_go_on(run, context_of(store, 2, max_tries=2, retries=1, clear_number=1))

    @staticmethod
    def _refuses_to_go_on(run: Run, context: Any) -> None:
        with run(context) as (hook, server):
            with pytest.raises(SendRefusedError):
                hook.send_once(TWO[1], value="Hello", on_clear="resume")
            assert server.received == []

    def test_one_write_more_in_a_try(self, run: Run) -> None:
        store = Store()
        with run(context_of(store, 1, max_tries=1, retries=1), ticket(11), ticket(12)) as (hook, _):
            for target in TWO:
                hook.send_once(target, value="Hello")
        assert store.writes == 5
        with run(context_of(store, 2, max_tries=1, retries=1), ticket(13)) as (hook, _):
            hook.send_once(TWO[0], value="Hello", dedupe_key="another")
        assert store.writes == 7 + 1


def test_a_folder_on_another_machine_remembers_for_all_sends(run: Run, tmp_path: Any) -> None:
    with run(context_of(None, 2, max_tries=2, retries=1, clear_number=1), ticket(21)) as (hook, _):
        hook.send_once(TWO[0], value="Hello", journal_path=tmp_path)
    with run(context_of(None, 3, max_tries=2, retries=1, clear_number=1), ticket(22)) as (hook, _):
        assert [hook.send_once(target, value="Hello", journal_path=tmp_path) for target in TWO] == [21, 22]


def test_a_key_tells_messages_to_one_target_apart(run: Run) -> None:
    store = Store()
    keys = ("gate", "delay")
    with run(context_of(store, 1, max_tries=1, retries=1), ticket(11), ticket(12)) as (hook, _):
        assert [hook.send_once(TWO[0], value=key, dedupe_key=key) for key in keys] == [11, 12]
    with run(context_of(store, 2, max_tries=1, retries=1)) as (hook, _):
        assert [hook.send_once(TWO[0], value=key, dedupe_key=key) for key in keys] == [11, 12]


def test_another_message_under_the_same_key_in_one_try_is_refused(run: Run) -> None:
    with run(context_of(Store()), TICKET) as (hook, server):
        hook.send_once(TWO[0], value="Hello")
        with pytest.raises(InvalidNotificationError, match="dedupe_key"):
            hook.send_once(TWO[0], value="Goodbye")
        assert len(server.received) == 1


def test_another_message_in_a_later_try_returns_the_first_ticket(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), ticket(11)) as (hook, _):
        hook.send_once(TWO[0], value="Sent at 12:00")
    with run(context_of(store, 2, max_tries=1, retries=1)) as (hook, server):
        assert hook.send_once(TWO[0], value="Sent at 12:05") == 11
        assert server.received == []


def test_a_key_whose_record_has_another_target_is_refused(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), TICKET) as (hook, _):
        hook.send_once(TWO[0], value="Hello", dedupe_key="hello")
    with run(context_of(store, 2, max_tries=1, retries=1)) as (hook, server):
        with pytest.raises(SendRefusedError, match="dedupe_key"):
            hook.send_once(TWO[1], value="Hello", dedupe_key="hello")
        assert server.received == []


def test_without_any_memory_only_the_first_try_sends(run: Run) -> None:
    with run(context_of(None, 1, max_tries=1, retries=1), TICKET) as (hook, _):
        hook.send_once(TWO[0], value="Hello")
    with run(context_of(None, 2, max_tries=1, retries=1)) as (hook, server):
        with pytest.raises(SendRefusedError, match="journal_path"):
            hook.send_once(TWO[0], value="Hello")
        assert server.received == []


def test_a_folder_is_a_memory_on_every_airflow(run: Run, tmp_path: Any) -> None:
    with run(context_of(None, 1, max_tries=1, retries=1), ticket(11)) as (hook, _):
        hook.send_once(TWO[0], value="Hello", journal_path=tmp_path)
    with run(context_of(None, 2, max_tries=1, retries=1), ticket(12)) as (hook, server):
        assert [hook.send_once(target, value="Hello", journal_path=tmp_path) for target in TWO] == [11, 12]
        assert len(server.received) == 1


def test_outside_of_a_task_nothing_is_sent(connection: Callable[..., str]) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        with pytest.raises(SendRefusedError, match="send_notification"):
            PassNotifyHook().send_once(TWO[0], value="Hello")
        assert server.received == []


def test_in_a_callback_the_notifier_is_the_way(run: Run) -> None:
    context = context_of(Store())
    context["ti"].state = "failed"
    with run(context) as (hook, server):
        with pytest.raises(SendRefusedError, match="PassNotifyNotifier"):
            hook.send_once(TWO[0], value="Hello")
        assert server.received == []


@pytest.mark.parametrize("bad", [{"dedupe_key": ""}, {"dedupe_key": "None"}, {"dedupe_key": 7}, {"delivery": "twice"}])
def test_bad_arguments_are_refused(run: Run, bad: dict[str, Any]) -> None:
    with run(context_of(Store())) as (hook, server):
        with pytest.raises(InvalidNotificationError):
            hook.send_once(TWO[0], value="Hello", **bad)
        assert server.received == []


async def test_the_asynchronous_twin(run: Run) -> None:
    store = Store()
    with run(context_of(store, 1, max_tries=1, retries=1), ticket(11)) as (_, server):
        assert await PassNotifyAsyncHook().send_once(TWO[0], value="Hello") == 11
        assert len(server.received) == 1
    with run(context_of(store, 2, max_tries=1, retries=1)) as (_, server):
        assert await PassNotifyAsyncHook().send_once(TWO[0], value="Hello") == 11
        assert server.received == []
