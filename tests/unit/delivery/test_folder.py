"""The journal in a folder: files are whole, only one process may send, and the operators keep their promise."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_passnotify.delivery.folder import (
    UNREADABLE,
    Folder,
    LocalFiles,
    check_journal_path,
    open_files,
    path_segment,
)
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    InvalidNotificationError,
    JournalError,
    NotSentError,
    PassNotifyConfigError,
    SendRefusedError,
    StartedTwiceError,
    SupersededError,
)
from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from tests.servers import NOTHING, TICKET, Server, answer, serving
from tests.stores import Store, context_of

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")

AWKWARD_RUN = "scheduled__2026-11-25T00:00:00+00:00/../..%" + "x" * 250


class TestFiles:
    def test_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = LocalFiles(tmp_path / "a" / "b")
        assert files.read("c/d") is None
        files.write("c/d", b"before")

        def full(_: int) -> None:
            raise OSError("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space left"):
                files.write("c/d", b"after")
        assert files.read("c/d") == b"before"
        assert [path.name for path in (tmp_path / "a/b/c").iterdir()] == ["d"], "nothing stays behind"

    def test_on_the_disk_before_it_returns(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[str] = []
        sync = os.fsync

        def note(fd: int) -> None:
            synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
            sync(fd)

        monkeypatch.setattr("os.fsync", note)
        LocalFiles(tmp_path / "new").write("record", b"{}")
        assert synced[0] == str(tmp_path), "the new folder"
        assert Path(synced[1]).name.startswith(".record.")
        assert synced[2] == str(tmp_path / "new"), "the name"

    @pytest.mark.parametrize("text", ["..", ".", "", "a/b", "a b", "~", "é" * 40, AWKWARD_RUN, "\ud800", "a" * 101])
    def test_segment_is_one_and_short(self, text: str) -> None:
        segment = path_segment(text)
        assert 0 < len(segment) <= 100
        assert not set(segment) & set("/\\:. ")
        assert path_segment("manual__2026-11-25") == "manual__2026-11-25"

    def test_long_ids_stay_apart(self) -> None:
        assert path_segment("a" * 200) != path_segment("a" * 201)

    def test_where_a_task_instance_has_its_records(self, tmp_path: Path) -> None:
        this_try = TaskTry(1, 0, dag_id="a dag", run_id=AWKWARD_RUN, task_id="group.send", map_index=7)
        files, where = open_files(str(tmp_path), this_try)
        files.write("try.1.start", b"{}")
        (found,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert found.relative_to(tmp_path).parts[0] == "a%20dag"
        assert found.relative_to(tmp_path).parts[2:] == ("group%2Esend", "7", "try.1.start")
        assert str(found.parent) in where

    @pytest.mark.parametrize("path", ["", " ", "None", "relative/journal", "journal", 7])
    def test_what_is_no_place(self, path: object) -> None:
        with pytest.raises(ValueError, match="journal_path must be an absolute path or a URL"):
            check_journal_path(path)
        check_journal_path("/var/journal")
        check_journal_path("s3://aws_default@bucket/journal")


def process(root: Path, try_number: int = 1) -> Folder:
    return Folder(LocalFiles(root), TaskTry(try_number, 3), where=str(root))


class TestFence:
    """One process of a try against another: of the same try, or of a later one."""

    def test_later_try_supersedes(self, tmp_path: Path) -> None:
        old, new = process(tmp_path), process(tmp_path, 2)
        old.start()
        old.set("try.1.intent", {})
        new.start()
        with pytest.raises(SupersededError, match=rf"(?s)later try .*: try 2, host .*, pid {os.getpid()}, ") as refused:
            old.look()
        # Airflow 2.11 would mark the task as failed, whatever the later try has reached.
        assert not isinstance(refused.value, AirflowFailException)
        with pytest.raises(SupersededError, match="writes nothing more"):
            old.set("try.1.outcome", {"state": "not_sent"})
        assert new.get("try.1.outcome") is None
        new.look()

    def test_same_try_again_refuses_and_names_the_process(self, tmp_path: Path) -> None:
        first, second = process(tmp_path), process(tmp_path)
        first.start()
        with pytest.raises(StartedTwiceError, match=rf"(?s)already started try 1.*: host .*, pid {os.getpid()}, 20"):
            second.start()
        with pytest.raises(SupersededError):
            second.set("try.1.outcome", {})
        first.look()

    def test_two_at_once_one_sends(self, tmp_path: Path) -> None:
        """Both saw no start before either wrote its own."""

        class Late(LocalFiles):
            def read(self, name: str) -> bytes | None:
                return None if name == "try.1.start" else super().read(name)

        first = process(tmp_path)
        second = Folder(Late(tmp_path), TaskTry(1, 3))
        first.start()
        second.start()
        with pytest.raises(SupersededError, match="started try 1, too"):
            first.look()

    def test_start_that_was_removed_refuses(self, tmp_path: Path) -> None:
        only = process(tmp_path)
        only.start()
        (tmp_path / "try.1.start").unlink()
        with pytest.raises(SupersededError, match="start of try 1 is gone"):
            only.look()

    def test_look_that_fails_writes_nothing_more(self, tmp_path: Path) -> None:
        class Away(LocalFiles):
            away = False

            def read(self, name: str) -> bytes | None:
                if self.away:
                    raise OSError("the store is away")
                return super().read(name)

        files = Away(tmp_path)
        only = Folder(files, TaskTry(1, 3))
        only.start()
        files.away = True
        with pytest.raises(OSError, match="away"):
            only.look()
        files.away = False
        with pytest.raises(SupersededError):
            only.set("try.1.outcome", {})

    def test_torn_record_is_there_and_cannot_be_read(self, tmp_path: Path) -> None:
        only = process(tmp_path)
        for content in ("", '{"state": "se', "7"):
            (tmp_path / "try.1.outcome").write_text(content)
            assert only.get("try.1.outcome") is UNREADABLE


Run = Callable[..., Any]


@pytest.fixture
def connect(connection: Callable[..., str]) -> Callable[[Server], None]:
    def connect_to(server: Server) -> None:
        connection(host=server.url, login="me", password="secret", extra={"max_retries": 0})

    return connect_to


def send(context: dict[str, Any], journal_path: object, **arguments: Any) -> int:
    arguments = {"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "20% off", **arguments}
    return SendNotificationOperator(journal_path=journal_path, **arguments).execute(context)


def send_batch(context: dict[str, Any], journal_path: object, passes: int = 3, **arguments: Any) -> dict[str, Any]:
    context["ti"].xcom_push = lambda **_: None
    rows = [{"pass_id": number} for number in range(passes)]
    arguments = {"task_id": "batch", "target_type": "pass", "value": "Hello", "journal_path": journal_path, **arguments}
    return SendNotificationBatchOperator(notifications=rows, **arguments).execute(context)


def names(folder: Path) -> list[str]:
    return sorted(str(path.name) for path in folder.rglob("*") if path.is_file())


class TestOperators:
    """Airflow before 3.3 (no store) with a folder."""

    def test_writes_of_a_single_send(self, tmp_path: Path, connect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[str] = []
        write = LocalFiles.write

        def note(files: LocalFiles, name: str, data: bytes) -> None:
            written.append(name)
            write(files, name, data)

        monkeypatch.setattr(LocalFiles, "write", note)
        with serving(answer(429), answer(429), TICKET) as server:
            connect(server)
            for try_number in (1, 2):
                with pytest.raises(NotSentError):
                    send(context_of(None, try_number, 3, retries=3), tmp_path)
            assert send(context_of(None, 3, 3, retries=3), tmp_path) == 12345
        assert written == [
            *("try.1.start", "try.1.intent", "try.1.outcome"),
            *("try.2.start", "superseded.1", "try.2.intent", "try.2.outcome"),
            *("try.3.start", "superseded.1", "superseded.2", "try.3.intent", "try.3.outcome"),
        ]

    def test_writes_of_a_single_send_into_airflows_store(self, connect: Run) -> None:
        store = Store()
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 3, retries=3), None)
        assert list(store.values) == ["passnotify.v1.try.1.intent", "passnotify.v1.try.1.outcome"]

    def test_writes_of_a_batch(self, tmp_path: Path, connect: Run) -> None:
        with serving() as server:
            connect(server)
            send_batch(context_of(None, 1, 3, retries=3), tmp_path)
        assert names(tmp_path) == [
            *("try.1.begin", "try.1.chunk.0.intent", "try.1.chunk.0.outcome", "try.1.ended", "try.1.start"),
        ]

    def test_once_over_all_tries(self, tmp_path: Path, connect: Run) -> None:
        with serving() as server:
            connect(server)
            for try_number in (1, 2, 3):
                assert send(context_of(None, try_number, 3, retries=3), tmp_path) == 12345
                assert send_batch(context_of(None, try_number, 3, retries=3), tmp_path / "batch")["sent"] == 3
        assert len(server.received) == 4

    def test_unknown_stays_unknown(self, tmp_path: Path, connect: Run) -> None:
        with serving(NOTHING, TICKET) as server:
            connect(server)
            for try_number in (1, 2):
                with pytest.raises(DeliveryUnknownError):
                    send(context_of(None, try_number, 3, retries=3), tmp_path)
            cleared = context_of(None, 3, 5, retries=3, clear_number=1)
            assert send(cleared, tmp_path) == 12345
        assert len(server.received) == 2

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_another_machine_refuses(self, tmp_path: Path, connect: Run, run: Run) -> None:
        with serving() as server:
            connect(server)
            run(context_of(None, 1, 3, retries=3), tmp_path / "here")
            before = len(server.received)
            with pytest.raises(SendRefusedError, match=r"Try 1 has no start in .*there"):
                run(context_of(None, 2, 3, retries=3), tmp_path / "there")
            assert len(server.received) == before
            assert not any("intent" in name or "begin" in name for name in names(tmp_path / "there"))
            run(context_of(None, 3, 5, retries=3, clear_number=1), tmp_path / "there", on_clear="resend")
        assert len(server.received) == 2 * before

    def test_retry_of_a_resend_that_could_not_account_for_earlier_tries(self, tmp_path: Path, connect: Run) -> None:
        with serving(answer(429), TICKET) as server:
            connect(server)
            with pytest.raises(NotSentError):
                send(context_of(None, 2, 3, retries=2, clear_number=1), tmp_path)
            assert send(context_of(None, 3, 3, retries=2, clear_number=1), tmp_path) == 12345

    def test_folder_that_cannot_be_written_is_found_before_the_first_send(self, tmp_path: Path, connect: Run) -> None:
        (tmp_path / "file").write_text("no folder")
        with serving() as server:
            connect(server)
            for run in (send, send_batch):
                with pytest.raises(JournalError, match=r"(?s)^Not sent .*journal_path cannot be used"):
                    run(context_of(None, 1, 3, retries=3), tmp_path / "file")
        assert server.received == []

    def test_after_a_folder_that_could_not_be_used_a_retry_fails_and_a_clear_sends(
        self, tmp_path: Path, connect: Run
    ) -> None:
        folder = tmp_path / "folder"
        folder.write_text("no folder")
        with serving() as server:
            connect(server)
            with pytest.raises(JournalError, match=r"A retry cannot know(.|\n)*clear the task with on_clear='resend'"):
                send(context_of(None, 1, 3, retries=3), folder)
            folder.unlink()
            with pytest.raises(SendRefusedError, match="Try 1 has no start"):
                send(context_of(None, 2, 3, retries=3), folder)
            assert server.received == []
            send(context_of(None, 3, 5, retries=3, clear_number=1), folder, on_clear="resend")
        assert len(server.received) == 1

    def test_each_iteration_of_a_loop_has_its_own(self, tmp_path: Path, connect: Run) -> None:
        """In Airflow 3.4, they have the same task id, map index and try number."""
        with serving() as server:
            connect(server)
            for index in (0, 1):
                context = context_of(None, 1, 3, retries=3)
                context["loop"] = SimpleNamespace(index=index)
                send(context, tmp_path)
        assert len(server.received) == 2

    def test_same_try_in_another_process(self, tmp_path: Path, connect: Run) -> None:
        with serving() as server:
            connect(server)
            send(context_of(None, 1, 3, retries=3), tmp_path)
            with pytest.raises(SupersededError, match=r"journal_path: use another path|same journal_path"):
                send(context_of(None, 1, 3, retries=3), tmp_path)
        assert len(server.received) == 1

    def test_batch_that_is_superseded_sends_no_further_chunk(self, tmp_path: Path, connect: Run) -> None:
        class Watched(LocalFiles):
            def write(self, name: str, data: bytes) -> None:
                super().write(name, data)
                if name == "try.1.chunk.1.intent":
                    super().write("superseded.1", json.dumps({"by_try": 2}).encode())

        with serving() as server, pytest.MonkeyPatch.context() as patch:
            connect(server)
            patch.setattr("airflow_provider_passnotify.delivery.folder.LocalFiles", Watched)
            with pytest.raises(SupersededError, match="later try has begun"):
                send_batch(context_of(None, 1, 3, retries=3), tmp_path, passes=200)
        assert 0 < len(server.received) <= 32, "the first chunk"
        assert "try.1.chunk.1.outcome" not in names(tmp_path)

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_old_process_does_not_make_the_task_fail_for_good(self, tmp_path: Path, connect: Run, run: Run) -> None:
        """Airflow 2.11 would mark the task as failed, even if the later try was a success."""

        class Watched(LocalFiles):
            def write(self, name: str, data: bytes) -> None:
                super().write(name, data)
                if name.endswith("outcome"):
                    super().write("superseded.1", json.dumps({"by_try": 2}).encode())

        with serving(answer(404), answer(404), answer(404)) as server, pytest.MonkeyPatch.context() as patch:
            connect(server)
            patch.setattr("airflow_provider_passnotify.delivery.folder.LocalFiles", Watched)
            with pytest.raises(
                SupersededError, match=r"(?s)later try has begun.*(Rejected|BatchFailed)Error: "
            ) as raised:
                run(context_of(None, 1, 3, retries=3), tmp_path)
        assert not isinstance(raised.value, AirflowFailException)
        assert isinstance(raised.value.__cause__, AirflowFailException)

    @pytest.mark.parametrize("given", ["relative", "", "None"])
    def test_path_that_is_none(self, given: str) -> None:
        with pytest.raises(InvalidNotificationError, match="journal_path"):
            send(context_of(None, 1, 3, retries=3), given)

    def test_template_that_came_to_nothing(self) -> None:
        operator = SendNotificationOperator(
            task_id="send", target_type="pass", pass_id=1, value="Hi", journal_path="{{ var.value.nothing }}"
        )
        for nothing in (None, ""):
            operator.journal_path = nothing
            with pytest.raises(InvalidNotificationError, match="journal_path"):
                operator.execute(context_of(None, 1, 3, retries=3))  # type: ignore[arg-type]

    def test_path_of_airflows_configuration(
        self, tmp_path: Path, connect: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__PASSNOTIFY__JOURNAL_PATH", str(tmp_path / "configured"))
        with serving() as server:
            connect(server)
            for try_number in (1, 2):
                send(context_of(None, try_number, 3, retries=3), None)
            send(context_of(None, 1, 3, retries=3), tmp_path / "own")
        assert len(server.received) == 2
        assert names(tmp_path / "own") != names(tmp_path / "configured")
        monkeypatch.setenv("AIRFLOW__PASSNOTIFY__JOURNAL_PATH", "relative")
        with pytest.raises(PassNotifyConfigError, match=r"\[passnotify\] in Airflow's configuration: journal_path"):
            send(context_of(None, 1, 3, retries=3), None)


class TestBesideAirflowsStore:
    """Airflow 3.3 with a folder: records are written to the folder, and Airflow's store is still read."""

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_turned_on_between_two_tries(self, tmp_path: Path, connect: Run, run: Run) -> None:
        store = Store()
        with serving() as server:
            connect(server)
            run(context_of(store, 1, 3, retries=3), None)
            before = len(server.received)
            run(context_of(store, 2, 3, retries=3), tmp_path)
            run(context_of(store, 3, 3, retries=3), tmp_path)
        assert len(server.received) == before

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_turned_off_is_noticed(self, tmp_path: Path, connect: Run, run: Run) -> None:
        store = Store()
        with serving() as server:
            connect(server)
            run(context_of(store, 1, 3, retries=3), tmp_path)
            before = len(server.received)
            with pytest.raises(SendRefusedError, match=r"Try 1 kept its records in .*; now there is no journal_path"):
                run(context_of(store, 2, 3, retries=3), None)
        assert len(server.received) == before

    @pytest.mark.parametrize("run", [send, send_batch])
    def test_outlives_a_discard(self, tmp_path: Path, connect: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
        store = Store()
        with serving() as server:
            connect(server)
            run(context_of(store, 1, 0, retries=0), tmp_path, on_clear="resume")
            store.values.clear()
            before = len(server.received)
            run(context_of(store, 2, 1, retries=0, clear_number=1), tmp_path, on_clear="resume")
        assert len(server.received) == before

    def test_another_machine_is_noticed_there_too(self, tmp_path: Path, connect: Run) -> None:
        store = Store()
        with serving() as server:
            connect(server)
            send(context_of(store, 1, 3, retries=3), tmp_path / "here")
            with pytest.raises(SendRefusedError, match=r"no start in .*there"):
                send(context_of(store, 2, 3, retries=3), tmp_path / "there")

    def test_try_that_never_reached_execute_is_accounted_for_by_airflows_store(
        self, tmp_path: Path, connect: Run
    ) -> None:
        with serving() as server:
            connect(server)
            assert send(context_of(Store(), 2, 3, retries=3), tmp_path) == 12345


class TestTorn:
    """If there is a record that cannot be read, it was at least an intent."""

    def test_single(self, tmp_path: Path, connect: Run) -> None:
        with serving(TICKET) as server:
            connect(server)
            send(context_of(None, 1, 3, retries=3), tmp_path)
            for name in ("try.1.outcome", "try.1.intent"):
                next(tmp_path.rglob(name)).write_text("")
                for try_number in (2, 3):
                    with pytest.raises(DeliveryUnknownError, match="Try 1 set out"):
                        send(context_of(None, try_number, 3, retries=3), tmp_path)
                for later in (tmp_path.rglob("try.[23].*"), tmp_path.rglob("superseded.*")):
                    for file in list(later):
                        file.unlink()
        assert len(server.received) == 1

    def test_chunk(self, tmp_path: Path, connect: Run) -> None:
        with serving(TICKET) as server:
            connect(server)
            send_batch(context_of(None, 1, 3, retries=3), tmp_path)
            next(tmp_path.rglob("try.1.chunk.0.outcome")).write_text("{")
            with pytest.raises(Exception, match="0 of 3 sent, 3 unknown"):
                send_batch(context_of(None, 2, 3, retries=3), tmp_path)
            next(tmp_path.rglob("try.1.chunk.0.intent")).write_text("")
            with pytest.raises(SendRefusedError, match="chunk 0 of try 1 cannot be read"):
                send_batch(context_of(None, 3, 3, retries=3), tmp_path)
        assert len(server.received) == 3

    def test_begin(self, tmp_path: Path, connect: Run) -> None:
        with serving(TICKET) as server:
            connect(server)
            send_batch(context_of(None, 1, 3, retries=3), tmp_path)
            next(tmp_path.rglob("try.1.begin")).write_text("")
            with pytest.raises(SendRefusedError):
                send_batch(context_of(None, 2, 3, retries=3), tmp_path)
        assert len(server.received) == 3
