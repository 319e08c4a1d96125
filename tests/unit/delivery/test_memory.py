"""What the memory between tries can lose, and what a clear means. Nobody is notified twice, and nobody is forgotten.

The contexts are those of a real Airflow. After a clear, ``max_tries`` is the number of tries so far plus ``retries``.
``clear_number`` rises with each clear of a task of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    InvalidNotificationError,
    PassNotifyConfigError,
    SendRefusedError,
)
from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from tests.servers import NOTHING, TICKET, Answer, Server, answer, serving
from tests.stores import Store, context_of

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")


class Died(BaseException):
    """The process is gone; nothing of it runs on."""


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def may_discard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like Airflow 3.4, where a clear discards the state of a task, or 3.3 with ``clear_on_success``."""
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")


@pytest.fixture
def connect(connection: Callable[..., str]) -> Callable[[Server], None]:
    def connect_to(server: Server) -> None:
        connection(host=server.url, login="me", password="secret", extra={"max_retries": 0})

    return connect_to


Connect = Callable[[Server], None]


def send(context: dict[str, Any], **arguments: Any) -> int:
    arguments = {"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "20% off", **arguments}
    return SendNotificationOperator(**arguments).execute(context)


def send_batch(context: dict[str, Any], passes: range = range(3), **arguments: Any) -> dict[str, Any]:
    context["ti"].xcom_push = lambda **_: None
    rows = [{"pass_id": number} for number in passes]
    arguments = {"task_id": "batch", "target_type": "pass", "value": "Hello", **arguments}
    return SendNotificationBatchOperator(notifications=rows, **arguments).execute(context)


def tells_its_state(context: dict[str, Any], state: Callable[[], str], task_id: str = "send") -> dict[str, Any]:
    """Let the task instance be asked for its state, as Airflow 3's."""
    ti = context["ti"]
    ti.dag_id, ti.run_id, ti.task_id, ti.map_index = "dag", "run", task_id, -1
    ti.get_task_states = lambda *_, **__: {"run": {task_id: state()}}
    return context


def posts(server: Server) -> list[str]:
    return sorted(received.target for received in server.received)


def dies_on(**fields: Any) -> Callable[[Any], bool]:
    def refuse(value: Any) -> bool:
        if fields.items() <= value.items():
            raise Died
        return False

    return refuse


@pytest.mark.usefixtures("may_discard")
class TestDiscarded:
    """A memory that was discarded is not an empty one."""

    def test_cleared_batch_rings_nobody_twice(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            send_batch(context_of(store, 1, 0, retries=0))
            store.values.clear()  # it succeeded
            told = r"(?s)try 2.*resume_from=.*on_clear='resend'.*journal_path.*keep"
            with pytest.raises(SendRefusedError, match=told):
                send_batch(context_of(store, 2, 1, retries=0, clear_number=1))
            assert len(server.received) == 3
            send_batch(context_of(store, 3, 2, retries=0, clear_number=2), on_clear="resend")
            assert len(server.received) == 6, "that was asked for"

    def test_send_killed_in_mid_request_and_cleared(self, store: Store, connect: Connect) -> None:
        """The task was cleared while it ran. The next try looks like a plain retry with an empty memory."""
        store.refuse = dies_on(state="sent")
        with serving() as server:
            connect(server)
            with pytest.raises(Died):
                send(context_of(store, 1, 2, retries=2))
            store.values.clear()
            store.refuse = lambda _: False
            for delivery_number in (2, 3):
                with pytest.raises(SendRefusedError, match="it may be a retry"):
                    send(context_of(store, delivery_number, 2, retries=2, clear_number=1))
            assert len(server.received) == 1
            assert send(context_of(store, 4, 5, retries=2, clear_number=2)) == 12345, "a person ordered it"

    def test_batch_discarded_while_it_runs(self, store: Store, connect: Connect) -> None:
        """Airflow 3.4 still accepts later chunks. There is no begin for them."""

        def discard(value: Any) -> bool:
            if "states" in value and "i" not in value["states"]:
                store.values.clear()
            return False

        store.refuse = discard
        with serving() as server:
            connect(server)
            send_batch(context_of(store, 1, 2, retries=2))
            assert any(".chunk." in key for key in store.values)
            with pytest.raises(SendRefusedError, match="discarded"):
                send_batch(context_of(store, 2, 2, retries=2, clear_number=1))
        assert len(server.received) == 3

    @pytest.mark.parametrize("on_clear", ["resend", "resume"])
    def test_clear_that_does_not_reset_the_run_is_noticed(self, store: Store, connect: Connect, on_clear: str) -> None:
        """By the REST API with ``reset_dag_runs: false``: ``clear_number`` stays what it was."""
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 1, retries=1), on_clear=on_clear)
            store.values.clear()
            with pytest.raises(SendRefusedError, match="may be a retry"):
                send(context_of(store, 2, 2, retries=1), on_clear=on_clear)
            send_batch(context_of(store, 1, 1, retries=1), on_clear=on_clear)
            store.values.clear()
            with pytest.raises(SendRefusedError, match="may be a retry"):
                send_batch(context_of(store, 2, 2, retries=1), on_clear=on_clear)
        assert len(server.received) == 1 + 3

    def test_what_a_cleared_task_has_on_its_way_is_not_sent_again(self, store: Store, connect: Connect) -> None:
        """Airflow 3.4 sets ``max_tries`` as for any other clear, and takes the intent away; the POST goes on."""
        first, second = context_of(store, 1, 1, retries=1), context_of(store, 2, 2, retries=1, clear_number=1)
        is_cleared = False
        for context in (first, second):
            tells_its_state(context, lambda: "restarting" if is_cleared else "running")

        def clear(value: Any) -> bool:
            nonlocal is_cleared
            if value.get("state") == "intent" and not is_cleared:
                is_cleared = True
            elif is_cleared:
                store.values.clear()
            return False

        store.refuse = clear
        with serving() as server:
            connect(server)
            assert send(first) == 12345
            is_cleared, store.refuse = False, lambda _: False
            assert send(second) == 12345
            third = context_of(store, 3, 3, retries=1, clear_number=2)
            assert send(third) == 12345, "cleared after its end, it sends"
        assert len(server.received) == 2

    def test_batch_that_was_cleared_while_it_ran_goes_on(self, store: Store, connect: Connect) -> None:
        """Airflow 3.4, with its state kept."""
        first = tells_its_state(context_of(store, 1, 1, retries=1), lambda: "restarting", "batch")
        with serving() as server:
            connect(server)
            send_batch(first, on_clear="resend")
            send_batch(context_of(store, 2, 2, retries=1, clear_number=1), on_clear="resend")
            assert len(server.received) == 3
            send_batch(context_of(store, 3, 3, retries=1, clear_number=2), on_clear="resend")
            assert len(server.received) == 6, "cleared after its end, it sends"

    def test_batch_of_which_only_the_end_is_left(self, store: Store, connect: Connect) -> None:
        """Discarded while it ran, and then nothing more was sent; the numbers are those of any other clear."""
        with serving() as server:
            connect(server)
            send_batch(context_of(store, 1, 1, retries=1), on_clear="resend")
            for key in [key for key in store.values if not key.endswith("ended")]:
                del store.values[key]
            with pytest.raises(SendRefusedError, match="cleared while it ran"):
                send_batch(context_of(store, 2, 2, retries=1, clear_number=1), on_clear="resend")
            store.values.clear()
            send_batch(context_of(store, 3, 3, retries=1, clear_number=2), on_clear="resend")
        assert len(server.received) == 6, "cleared once more, it sends"

    @pytest.mark.parametrize("on_clear", ["resend", "resume"])
    def test_wrong_connection_mended_and_cleared_sends(
        self, store: Store, connection: Callable[..., str], connect: Connect, on_clear: str
    ) -> None:
        connection(host="http://api.example.com", login="me", password="secret")
        for run in (send, send_batch):
            with pytest.raises(PassNotifyConfigError):
                run(context_of(store, 1, 0, retries=0), on_clear=on_clear)
        with serving() as server:
            connect(server)
            assert send(context_of(store, 2, 1, retries=0, clear_number=1), on_clear=on_clear) == 12345
            send_batch(context_of(store, 2, 1, retries=0, clear_number=1), on_clear=on_clear)
        assert len(server.received) == 4

    def test_wrong_argument_mended_and_cleared_sends(self, store: Store, connect: Connect) -> None:
        operator = SendNotificationOperator(
            task_id="send", target_type="pass", pass_id="{{ later }}", value="Hi", on_clear="resume"
        )
        operator.pass_id = ".."
        with pytest.raises(InvalidNotificationError):
            operator.execute(context_of(store, 1, 0, retries=0))
        with serving() as server:
            connect(server)
            assert send(context_of(store, 2, 1, retries=0, clear_number=1), on_clear="resume") == 12345

    def test_plain_retry_of_a_try_that_never_reached_execute(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            assert send(context_of(store, 2, 2, retries=2)) == 12345
            send_batch(context_of(store, 2, 2, retries=2))
        assert len(server.received) == 4

    def test_first_try_after_a_clear_of_another_task(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            send_batch(context_of(store, 1, 2, retries=2, clear_number=1))
        assert len(server.received) == 3

    def test_warns_that_the_configuration_discards(
        self, store: Store, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 2, retries=2))
            assert "clear_on_success" in caplog.text
            caplog.clear()
            send_batch(context_of(store, 1, 2, retries=2))
            assert "clear_on_success" in caplog.text


class TestDecidedOnce:
    """It is decided once which records count after a clear."""

    def test_plain_retry_after_a_clear_that_went_on(self, store: Store, connect: Connect) -> None:
        with serving(TICKET, TICKET, answer(404), TICKET, answer(404)) as server:
            connect(server)
            store.refuse = lambda value: "is_cleared" in value  # killed before it had ended
            failing = {"on_clear": "resend", "max_failures": 3}
            send_batch(context_of(store, 1, 1, retries=1), **failing)
            store.refuse = lambda _: False
            before = len(server.received)
            send_batch(context_of(store, 2, 3, retries=1, clear_number=1), **failing)
            assert len(server.received) - before <= 1, "it goes on where try 1 stood"
            before = len(server.received)
            send_batch(context_of(store, 3, 3, retries=1, clear_number=1), **failing)
            assert len(server.received) - before <= 1, "and so does a retry of it"

    def test_clear_of_another_task_is_no_clear(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 2, retries=2))
            send(context_of(store, 2, 2, retries=2, clear_number=1))
            assert len(server.received) == 1
            send_batch(context_of(store, 1, 2, retries=2), on_clear="resend")
            send_batch(context_of(store, 2, 2, retries=2, clear_number=1), on_clear="resend")
        assert len(server.received) == 4

    def test_clear_with_retries_lowered_is_one(self, store: Store, connect: Connect) -> None:
        """``max_tries`` is the same number, but ``clear_number`` is not."""
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 2, retries=2))
            send(context_of(store, 2, 2, retries=1, clear_number=1))
        assert len(server.received) == 2

    def test_folder_takes_what_is_written_after_a_clear(self, store: Store, connect: Connect, tmp_path: Path) -> None:
        """Airflow 3.3, too, sets ``max_tries`` as for any other clear. A folder refuses nothing to the old process."""
        folder = str(tmp_path)
        first = tells_its_state(context_of(store, 1, 1, retries=1), lambda: "restarting")
        second = tells_its_state(context_of(store, 2, 2, retries=1, clear_number=1), lambda: "running")
        third = tells_its_state(context_of(store, 3, 3, retries=1, clear_number=2), lambda: "running")
        with serving() as server:
            connect(server)
            send(first, journal_path=folder)
            send(second, journal_path=folder)
            assert len(server.received) == 1
            send(third, journal_path=folder)
        assert len(server.received) == 2, "cleared after its end, it sends"


class TestNoMemory:
    """Before Airflow 3.3, and without a folder."""

    @pytest.mark.parametrize(("max_tries", "retries"), [(2, 1), (3, 1), (3, 2), (2, 2), (1, 1)])
    def test_retry_is_one_whatever_became_of_retries(self, connect: Connect, max_tries: int, retries: int) -> None:
        with serving(TICKET) as server:
            connect(server)
            for try_number in (2, 3):
                with pytest.raises(SendRefusedError):
                    send(context_of(None, try_number, max_tries, retries=retries), retries=retries)
        assert server.received == []

    def test_inner_operator_goes_by_the_running_tasks_retries(self, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            with pytest.raises(SendRefusedError):
                send(context_of(None, 2, 1, retries=1), retries=0)
        assert server.received == []

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_surely_cleared_sends_where_that_was_asked_for(self, connect: Connect, run: Callable[..., Any]) -> None:
        cleared = {"try_number": 2, "max_tries": 3, "retries": 2, "clear_number": 1}
        with serving() as server:
            connect(server)
            with pytest.raises(SendRefusedError, match="on_clear='resume'"):
                run(context_of(None, **cleared), on_clear="resume")
            assert server.received == []
            run(context_of(None, **cleared), on_clear="resend")
        assert server.received != []


class TestAnotherTarget:
    """The inputs of a mapped task changed, or a template renders differently. No target gets another's ticket."""

    @pytest.mark.parametrize("replies", [(TICKET,), (NOTHING,)])
    @pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
    def test_names_both(self, store: Store, connect: Connect, replies: tuple[Answer, ...], delivery: str) -> None:
        with serving(*replies, TICKET) as server:
            connect(server)
            try:
                send(context_of(store, 1, 1, retries=1), pass_id="A", delivery=delivery)
                told = r"sent to pass A at .*, ticketId 12345"
            except Exception:  # noqa: BLE001
                told = "may have sent to pass A at"
            for more in ({"clear_number": 0}, {"clear_number": 1}):
                with pytest.raises(SendRefusedError, match=rf"(?s)Not sent to pass B: an earlier try .*{told}"):
                    send(
                        context_of(store, 2, 1 + more["clear_number"], retries=1, **more),
                        pass_id="B",
                        delivery=delivery,
                        on_clear="resume",
                    )
        assert posts(server) == ["/v1/pass/A/notify"]

    def test_cleared_to_send_again_it_sends(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 0, retries=0), pass_id="A")
            send(context_of(store, 2, 1, retries=0, clear_number=1), pass_id="B")
        assert posts(server) == ["/v1/pass/A/notify", "/v1/pass/B/notify"]

    def test_what_was_not_sent_names_nobody(self, store: Store, connect: Connect) -> None:
        with serving(answer(429), TICKET) as server:
            connect(server)
            with pytest.raises(Exception, match="429"):
                send(context_of(store, 1, 1, retries=1), pass_id="A")
            assert send(context_of(store, 2, 1, retries=1), pass_id="B") == 12345


class TestSeveralSends:
    """More than one send in one try of one task."""

    def test_each_inner_operator_has_its_own_memory(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            for try_number in (1, 2):
                context = of_task("announce", context_of(store, try_number, 2, retries=2))
                tickets = [send(context, task_id=f"n{number}", pass_id=number) for number in (123, 124, 125)]
                assert tickets == [12345] * 3
        assert posts(server) == [f"/v1/pass/{number}/notify" for number in (123, 124, 125)]

    def test_what_one_left_unknown_stops_only_that_one(self, store: Store, connect: Connect) -> None:
        with serving(TICKET, NOTHING, TICKET) as server:
            connect(server)
            context = of_task("announce", context_of(store, 1, 2, retries=2))
            send(context, task_id="n123")
            with pytest.raises(DeliveryUnknownError):
                send(context, task_id="n124", pass_id=124)
            again = of_task("announce", context_of(store, 2, 2, retries=2))
            assert send(again, task_id="n123") == 12345
            with pytest.raises(DeliveryUnknownError):
                send(again, task_id="n124", pass_id=124)
            assert send(again, task_id="n125", pass_id=125) == 12345
        assert len(server.received) == 3

    @pytest.mark.parametrize("known", ["store", "nothing"])
    def test_same_operator_a_second_time_is_refused(self, store: Store, connect: Connect, known: str) -> None:
        class PerPerson(SendNotificationOperator):
            def execute(self, context: Any) -> Any:
                for person in ("A", "B"):
                    self.pass_id = person
                    super().execute(context)

        context = context_of(store if known == "store" else None, 1, 2, retries=2)
        with serving() as server:
            connect(server)
            with pytest.raises(
                SendRefusedError,
                match=r"(?s)already sent.*expand.*SendNotificationBatchOperator.*send_once",
            ):
                PerPerson(task_id="send", target_type="pass", pass_id="A", value="Hi").execute(context)
        assert posts(server) == ["/v1/pass/A/notify"]

    def test_two_batches_in_one_task(self, store: Store, connect: Connect) -> None:
        with serving() as server:
            connect(server)
            for try_number in (1, 2):
                context = of_task("announce", context_of(store, try_number, 2, retries=2))
                first = send_batch(context, range(3), task_id="first")
                second = send_batch(context, range(10, 12), task_id="second")
                assert (first["total"], first["sent"], second["total"], second["sent"]) == (3, 3, 2, 2)
                with pytest.raises(SendRefusedError, match="already sent in this try"):
                    send_batch(context, range(20, 22), task_id="second")
        assert len(server.received) == 5

    @pytest.mark.parametrize("state", ["success", "failed", "up_for_retry"])
    def test_callback_says_that_the_notifier_is_the_way(self, store: Store, connect: Connect, state: str) -> None:
        context = of_task("send", context_of(store, 1, 2, retries=2))
        with serving() as server:
            connect(server)
            send(context)
            context["ti"].state = state
            context["exception"] = None if state == "success" else RuntimeError()
            for task_id in ("send", "alert"):
                with pytest.raises(SendRefusedError, match="PassNotifyNotifier"):
                    send(context, task_id=task_id, pass_id="admin")
        assert posts(server) == ["/v1/pass/123/notify"]

    def test_try_that_airflow_2_has_taken_for_dead_is_no_callback(self, connect: Connect) -> None:
        """In Airflow 2, a second message that try 1 is dead may come late, and hit try 2."""
        context = of_task("send", context_of(None, 1, 2, retries=2))
        context["ti"].state = "up_for_retry"
        with serving() as server:
            connect(server)
            send(context)
        assert posts(server) == ["/v1/pass/123/notify"]


def of_task(task_id: str, context: dict[str, Any]) -> dict[str, Any]:
    context["ti"].task_id = context["task"].task_id = task_id
    context["ti"].state = "running"
    return context
