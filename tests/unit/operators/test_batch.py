"""Batches with the sandbox: what they send, what they report, and what stops them."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_passnotify import retry_policy
from airflow_provider_passnotify.delivery.batch import run
from airflow_provider_passnotify.exceptions import (
    BatchFailedError,
    BatchIncompleteError,
    InvalidNotificationError,
    JournalError,
    PassNotifyError,
    SendRefusedError,
)
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationBatchOperator
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.batch_tools import FIRST, batch, context, passes, report_lines
from tests.stores import FileStore

SUMMARY = ["total", "sent", "failed", "unknown", "duplicates", "ticket_ids", "failures", "report"]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=10_000) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        yield sandbox


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    folder = tmp_path / "journal"
    folder.mkdir()
    return FileStore(folder)


class Share(float):
    """Like numpy's float64: a float with another repr."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)!r})"


class DataFrame(list[str]):
    """Like a DataFrame of pandas: iterating over it gives the names of its columns."""

    def to_dict(self) -> dict[str, Any]:
        return {}


def once_each(sandbox: RunningSandbox, count: int) -> None:
    counts = sandbox.counts()
    assert len(counts) == count
    assert set(counts.values()) <= {1}


class TestResults:
    def test_everyone_once_and_the_summary(self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path) -> None:
        report = tmp_path / "new folder" / "report.jsonl"
        summary = batch(passes(1500), report_path=str(report)).execute(context(store))
        once_each(sandbox, 1500)
        assert list(summary) == SUMMARY
        assert (summary["total"], summary["sent"], summary["failed"], summary["unknown"]) == (1500, 1500, 0, 0)
        assert len(set(summary["ticket_ids"])) == 1500
        lines = report_lines(report)
        assert [line["row"] for line in lines] == list(range(1, 1501))
        assert [line["ticket_id"] for line in lines] == summary["ticket_ids"]
        assert sorted(path.name for path in report.parent.iterdir()) == ["report.jsonl"]

    def test_empty_batch_succeeds(self, sandbox: RunningSandbox, store: FileStore) -> None:
        summary = batch([]).execute(context(store))
        assert (summary["total"], summary["ticket_ids"], sandbox.requests()["total"]) == (0, [], 0)

    def test_failed_rows_do_not_stop_the_others(
        self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path
    ) -> None:
        report = tmp_path / "report.jsonl"
        rows = [*passes(100), {"pass_id": 99}, {"pass_id": None}, "no row", {"pass_id": FIRST}]
        now = context(store)
        with pytest.raises(BatchFailedError, match="100 of 104 sent, 3 failed, 1 equal") as caught:
            batch(rows, report_path=str(report)).execute(now)
        assert isinstance(caught.value, AirflowFailException)
        once_each(sandbox, 100)
        pushed = now["ti"].pushed
        assert sorted(pushed) == sorted([*SUMMARY, "return_value"])
        assert None not in pushed.values()
        assert pushed["return_value"] == caught.value.summary
        assert [(failure["row"], failure["status_code"]) for failure in pushed["failures"]] == [
            (101, 404),
            (102, None),
            (103, None),
        ]
        assert [line["status"] for line in report_lines(report)] == ["sent"] * 100 + ["failed"] * 3 + ["duplicate"]

    def test_half_a_surrogate_pair_does_not_hide_what_failed(
        self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path
    ) -> None:
        """Airflow cannot push it as an XCom, and the error about that would be all that one sees."""
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"pass_id": "A\\ud83d", "target_type": "pass"}\n{"target_type": "\\ud83d", "pass_id": 1}\n')
        now = context(store)
        with pytest.raises(BatchFailedError, match="0 of 2 sent, 2 failed") as caught:
            batch(str(rows)).execute(now)
        for text in (str(caught.value), json.dumps(now["ti"].pushed, ensure_ascii=False)):
            assert text.encode().count(b"ud83d") >= 2
        assert sandbox.requests()["total"] == 0

    @pytest.mark.parametrize(("allowed", "fails"), [(2, True), (3, False), (0.02, True), (0.03, False), (1.0, False)])
    def test_max_failures(self, sandbox: RunningSandbox, allowed: float, fails: bool) -> None:  # noqa: ARG002
        operator = batch([*passes(97), {}, {}, {}], max_failures=allowed)
        if fails:
            with pytest.raises(BatchFailedError):
                operator.execute(context())
        else:
            assert operator.execute(context())["failed"] == 3

    def test_share_of_failures_is_exact(self, sandbox: RunningSandbox) -> None:  # noqa: ARG002
        assert batch([*passes(71), *[{}] * 29], max_failures=0.29).execute(context())["failed"] == 29
        with pytest.raises(BatchFailedError):
            batch([*passes(70), *[{}] * 30], max_failures=Share(0.29)).execute(context())

    def test_unknown_is_told_and_not_retried_here(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.add_fault("close_after", times=1)
        with pytest.raises(BatchFailedError, match="49 of 50 sent, 1 unknown"):
            batch(passes(50)).execute(context(store))
        once_each(sandbox, 50)

    def test_tickets_of_a_large_batch_are_in_the_report_only(
        self, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("airflow_provider_passnotify.operators.batch_base.MAX_TICKETS", 20)
        report = tmp_path / "report.jsonl"
        assert "ticket_ids" not in batch(passes(21), report_path=str(report)).execute(context())
        assert len({line["ticket_id"] for line in report_lines(report)}) == 21
        with pytest.raises(InvalidNotificationError, match="Not sent: 21 rows are too many"):
            batch([{"pass_id": 123}] * 21, wait_for_completion=True).execute(context())
        assert "123" not in sandbox.counts()

    def test_waits_for_what_earlier_tries_sent(
        self, sandbox: RunningSandbox, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_passnotify.operators.batch_base.MAX_TICKETS", 20)
        sandbox.set_tickets(seconds=0)
        batch(passes(15)).execute(context(store))
        others = passes(30)[15:]
        summary = batch(others, wait_for_completion=True, poll_interval=0.1).execute(context(store, 2))
        assert (summary["sent"], "ticket_ids" in summary) == (30, False)
        assert sandbox.requests()["methods"]["GET"] == 30

    def test_metrics_and_progress(
        self,
        sandbox: RunningSandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        told: dict[str, int] = {}
        monkeypatch.setattr(
            "airflow_provider_passnotify.operators.batch_status.Stats.incr",
            lambda name, count=1: told.update({name: told.get(name, 0) + count}),
        )
        monkeypatch.setattr("airflow_provider_passnotify.delivery.batch.run.PROGRESS_SECONDS", 0.05)
        sandbox.add_fault("latency", latency=0.2)
        with caplog.at_level("INFO"):
            batch([*passes(100), {}, {"pass_id": FIRST}], max_failures=1).execute(context())
        assert told == {"passnotify.sent": 100, "passnotify.failed": 1, "passnotify.duplicates": 1}
        assert any("of 102 sent, 1 failed, 1 equal to another;" in line for line in caplog.messages)

    def test_unused_column_is_told_once(self, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ARG002
        batch(passes(3, lable="x")).execute(context())
        assert [m for m in caplog.messages if "lable" in m] == [
            "Columns that are not used: 'lable' (did you mean 'label'?)."
        ]


class TestWhereRowsComeFrom:
    def test_file(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        file.write_text(f"pass_id,points\n{FIRST},5\n{FIRST + 1},6\n")
        for path in (str(file), f"file://{file}"):
            assert batch(path, value=f"{path} {{points}}").execute(context())["sent"] == 2
        assert sandbox.counts() == {str(FIRST): 2, str(FIRST + 1): 2}

    def test_nulls_in_a_file_and_what_is_told_of_it(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_text(f"pass_id,name\n{FIRST},\\N\n{FIRST + 1},-\n{FIRST + 2},Null\n{FIRST + 3},Ann\n")
        now = context()
        with pytest.raises(BatchFailedError, match="2 of 4 sent, 2 failed"):
            batch(path, value="Hi {name}", null_values=["-"]).execute(now)
        assert sandbox.counts() == {str(FIRST + 2): 1, str(FIRST + 3): 1}
        (warning,) = now["ti"].pushed["warnings"]
        assert "holds the text 'Null'" in warning
        batch([{"pass_id": FIRST + 4, "value": "\\N"}], null_values=["-"]).execute(context())
        assert sandbox.deliveries()["passes"][str(FIRST + 4)]["received"][-1]["value"] == "\\N"

    def test_folder_called_like_a_file(self, sandbox: RunningSandbox, tmp_path: Path) -> None:  # noqa: ARG002
        (tmp_path / "rows.csv").mkdir()
        with pytest.raises(InvalidNotificationError, match="is a folder"):
            batch(str(tmp_path / "rows.csv")).execute(context())

    def test_document_that_is_no_json_lines_sends_nothing(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        path = tmp_path / "rows.json"
        path.write_text('{"rows": [\n' + ",\n".join(f'{{"pass_id": {FIRST + n}}}' for n in range(3)) + "\n]}\n")
        with pytest.raises(InvalidNotificationError, match="one JSON document"):
            batch(str(path), max_failures=0.9).execute(context())
        assert sandbox.counts() == {}

    def test_missing_file_sends_nothing(self, sandbox: RunningSandbox, tmp_path: Path) -> None:  # noqa: ARG002
        path = tmp_path / "rows.csv"
        with pytest.raises(PassNotifyError) as refused:
            batch(str(path)).execute(context())
        assert not isinstance(refused.value, AirflowFailException), "the file may come"
        first, *rest = str(refused.value).splitlines()
        assert first == "Task 'batch': not sent: the file cannot be read."
        assert f"- The file: {path}" in rest
        assert any("FileNotFoundError" in line for line in rest)
        assert "What you can do:" in rest

    @pytest.mark.parametrize(
        "text",
        [
            "<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n",
            "name,points\nAnn,5\n",
        ],
        ids=["html", "lfs", "other columns"],
    )
    def test_a_file_without_any_known_column_sends_nothing(
        self, sandbox: RunningSandbox, tmp_path: Path, text: str
    ) -> None:
        path = tmp_path / "rows.csv"
        path.write_text(text)
        with pytest.raises(InvalidNotificationError, match="No row has a column that is known") as refused:
            batch(str(path), pass_id=FIRST, value="Hello", max_failures=1.0).execute(context())
        assert f"Task 'batch': not sent: the file cannot be used.\nWhat is known:\n- The file: {path}\n" in str(
            refused.value
        )
        assert sandbox.counts() == {}

    @pytest.mark.parametrize("text", [f"{FIRST},Hello\n", f"{FIRST}", "<html>Not found</html>", "[]\n", "Name\n\n"])
    def test_the_only_line_of_a_file_is_not_left_out_in_silence(
        self, sandbox: RunningSandbox, tmp_path: Path, text: str
    ) -> None:
        path = tmp_path / "rows.csv"
        path.write_text(text)
        with pytest.raises(InvalidNotificationError, match=r"one line, in which no column is known .*, and no rows"):
            batch(str(path)).execute(context())
        assert sandbox.requests()["total"] == 0

    @pytest.mark.parametrize("text", ["", "\n", "Pass ID\n", "points,x\n"])
    def test_a_file_without_rows_is_an_empty_batch(self, sandbox: RunningSandbox, tmp_path: Path, text: str) -> None:
        path = tmp_path / "rows.csv"
        path.write_text(text)
        assert batch(str(path), value="{points}").execute(context())["total"] == 0
        assert sandbox.requests()["total"] == 0

    def test_a_row_without_any_known_column_is_not_sent(self, sandbox: RunningSandbox) -> None:
        rows = [{"name": "Ann"}, {"pass_id": FIRST + 1}, {}]
        with pytest.raises(BatchFailedError, match=r"none of its columns is known \('name'\)") as failed:
            batch(rows, pass_id=FIRST, value="Hello").execute(context())
        assert "none of its columns is known (none at all)" in str(failed.value)
        assert sandbox.counts() == {str(FIRST + 1): 1}

    @pytest.mark.parametrize("rows", [None, 5, {"pass_id": 1}, b"x", "[{'pass_id': 1}]", object(), DataFrame()])
    def test_xcom_that_is_no_list(self, sandbox: RunningSandbox, rows: Any) -> None:  # noqa: ARG002
        operator = batch([])
        operator.notifications = rows  # as Airflow does when it resolves an XCom
        with pytest.raises(InvalidNotificationError, match="notifications"):
            operator.execute(context())

    def test_source_that_fails_half_way_sends_nothing(self, sandbox: RunningSandbox, store: FileStore) -> None:
        def rows() -> Iterator[dict[str, Any]]:
            yield from passes(5000)
            raise OSError("connection lost")

        operator = batch([])
        operator.notifications = rows()
        with pytest.raises(OSError, match="connection lost"):
            operator.execute(context(store))
        assert (sandbox.counts(), chunks_in(store)) == ({}, [])

    def test_too_many_rows_send_nothing(self, sandbox: RunningSandbox, store: FileStore) -> None:
        with pytest.raises(InvalidNotificationError, match="more than 99 rows"):
            batch(passes(100), max_notifications=99).execute(context(store))
        assert (sandbox.counts(), chunks_in(store)) == ({}, [])

    def test_report_that_cannot_be_written_sends_nothing(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        for path in (tmp_path, "/proc/report.jsonl"):
            with pytest.raises(AirflowException, match="Not sent: the report cannot be written"):
                batch(passes(1), report_path=str(path)).execute(context())
        assert sandbox.counts() == {}


class TestAtParse:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"max_failures": -1}, "max_failures"),
            ({"max_failures": 1.5}, "max_failures"),
            ({"max_failures": True}, "max_failures"),
            ({"max_failures": "10%"}, "max_failures"),
            ({"max_notifications": 0.5}, "max_notifications"),
            ({"delivery": "exactly_once"}, "delivery must be"),
            ({"on_clear": "x"}, "on_clear must be"),
            ({"send_before": "tomorrow"}, "send_before"),
            ({"value": "You have {points.real}"}, "plain name"),
            ({"value": 5}, "value must be a string"),
            ({"target_type": "passs"}, "must be one of"),
            ({"label": "x"}, "notification_label"),
            ({"notifications": "rows.txt"}, "must end in"),
            ({"notifications": {"pass_id": 1}}, "must be a list"),
            ({"notifications": "rows/*.csv"}, "is a pattern"),
            ({"notifications": "rows/"}, "is a folder"),
            ({"notifications": [{"pass_id": 1, "value": "Sale ends {{ ds }}"}]}, "row 1 .* holds a template.*value="),
            ({"notifications": [{"pass_id": 1}, {"pass_id": "{% if x %}"}]}, "row 2 .* are not rendered"),
            ({"null_values": "NULL"}, "null_values must be a list"),
            ({"null_values": [None]}, "null_values must be a list"),
            ({"null_values": None}, "null_values must be a list"),
            ({"notifications": "rows.txt"}, "notifications: 'rows.txt'"),
            ({"notifications": None}, "notifications must be a list"),
            ({"pass_id": 1.5}, "pass_id must be a string or an int"),
            ({"pass_id": ["1"]}, "pass_id must be a string or an int"),
            ({"template_id": ".."}, "template_id is '..'"),
            ({"report_path": 5}, "report_path must be the path or the URL of a file, not 5"),
            ({"report_path": " "}, "report_path must be the path or the URL of a file"),
        ],
    )
    def test_refused(self, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidNotificationError, match=reason):
            batch(**{"notifications": [], **options})

    def test_what_only_the_run_tells_passes(self) -> None:
        batch("{{ ti.xcom_pull('x') }}", value="{{ params.text }}", target_type="{{ params.kind }}")


class TestOnce:
    """Retries on Airflow 3.3, which has a store."""

    def test_retry_sends_only_what_was_not_sent(
        self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path
    ) -> None:
        # One 429 slows the whole batch, so this is enough.
        sandbox.add_fault("status", status=429, retry_after=100, path="1000050/notify")
        with pytest.raises(BatchIncompleteError, match="99 of 100 sent, 1 failed") as caught:
            batch(passes(100)).execute(context(store))
        assert not isinstance(caught.value, AirflowFailException)
        sandbox.clear_faults()
        report = tmp_path / "report.jsonl"
        rows = [{**row, "value": "Another text"} for row in reversed(passes(110))]
        summary = batch(rows, report_path=str(report)).execute(context(store, 2))
        assert (summary["total"], summary["sent"]) == (110, 110)
        once_each(sandbox, 110)
        lines = report_lines(report)
        assert (len(lines), {line["status"] for line in lines}) == (110, {"sent"})
        assert len({line["ticket_id"] for line in lines}) == 110

    def test_unknown_is_named_and_not_sent_again(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.add_fault("close_after", times=5)
        for try_number in (1, 2):
            with pytest.raises(BatchFailedError, match="95 of 100 sent, 5 unknown"):
                batch(passes(100)).execute(context(store, try_number))
        once_each(sandbox, 100)

    def test_host_that_is_not_the_api(self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path) -> None:
        """If every answer is a redirect, few rows are unknown, and a retry sends the others."""
        sandbox.add_fault("redirect", location="https://login.example")
        report = tmp_path / "report.jsonl"
        with pytest.raises(BatchIncompleteError, match="ended early: given up: 100 sends in a row"):
            batch(passes(5000), report_path=str(report), max_failures=1.0).execute(context(store))
        writes, doubts = store.writes, sum(line["status"] == "unknown" for line in report_lines(report))
        assert 100 < doubts < 200
        assert writes < doubts, "what is left is not journaled row by row"  # how many depends on the time it takes
        sandbox.clear_faults()
        with pytest.raises(BatchFailedError, match=f"{5000 - doubts:,} of 5,000 sent, {doubts} unknown"):
            batch(passes(5000)).execute(context(store, 2))
        once_each(sandbox, 5000 - doubts)

    def test_at_least_once_sends_what_is_unknown_again(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.add_fault("close_after", times=5)
        with pytest.raises(BatchIncompleteError) as caught:
            batch(passes(100), delivery="at_least_once").execute(context(store))
        assert not isinstance(caught.value, AirflowFailException)
        summary = batch(passes(100), delivery="at_least_once").execute(context(store, 2))
        assert summary["sent"] == 100
        assert sorted(sandbox.counts().values()) == [1] * 95 + [2] * 5

    @pytest.mark.parametrize(("on_clear", "messages"), [("resume", 1), ("resend", 2)])
    def test_cleared(self, sandbox: RunningSandbox, store: FileStore, on_clear: str, messages: int) -> None:
        batch(passes(50), on_clear=on_clear).execute(context(store, 1, 3))
        batch(passes(50), on_clear=on_clear).execute(context(store, 2, 4))
        assert set(sandbox.counts().values()) == {messages}

    def test_store_that_refuses_stops_everything(self, sandbox: RunningSandbox, store: FileStore) -> None:
        def refuse(number: int) -> None:
            if number >= 6:
                raise RuntimeError("superseded")

        store.before_set = refuse
        sandbox.add_fault("latency", latency=0.01)
        now = context(store)
        with pytest.raises(JournalError, match="superseded"):
            batch(passes(5000)).execute(now)
        sent = sandbox.counts()
        intents = sum(len(store.get(path.name)["states"]) for path in store.folder.glob("*.intent"))
        assert 0 < len(sent) <= intents < 5000
        time.sleep(0.3)
        assert sandbox.counts() == sent
        assert now["ti"].pushed["sent"] + now["ti"].pushed["unknown"] >= len(sent)
        store.before_set = lambda _: None
        retry = context(store, 2)
        with suppress(BatchFailedError):  # how many are unknown is a matter of when the store refused
            batch(passes(5000)).execute(retry)
        assert set(sandbox.counts().values()) == {1}
        assert retry["ti"].pushed["sent"] + retry["ti"].pushed["unknown"] == 5000

    def test_no_request_before_the_first_intent(self, sandbox: RunningSandbox, store: FileStore) -> None:
        def refuse(_: int) -> None:
            raise RuntimeError("lost supervisor")

        store.before_set = refuse
        with pytest.raises(JournalError):
            batch(passes(10)).execute(context(store))
        assert sandbox.counts() == {}

    def test_journal_that_cannot_be_read_sends_nothing(self, sandbox: RunningSandbox, store: FileStore) -> None:
        (store.folder / "passnotify.v1.try.1.chunk.0.outcome").write_text('{"of": "another release"}')
        with pytest.raises(JournalError, match="does not understand"):
            batch(passes(10)).execute(context(store, 2))
        assert sandbox.counts() == {}

    def test_one_that_stands_still_does_not_keep_the_others(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.add_fault("hold", stage="accepted", times=3)

        def release() -> None:
            sandbox.wait_for(3000, held=3, timeout=60)
            sandbox.release()

        threading.Thread(target=release).start()
        batch(passes(3000)).execute(context(store))
        once_each(sandbox, 3000)

    def test_failed_tickets_are_sent_again_by_a_retry(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.set_tickets(seconds=0, final="FAILED")
        options = {"wait_for_completion": True, "deferrable": False, "poll_interval": 0.1}
        with pytest.raises(AirflowException, match="tickets failed"):
            batch(passes(5), **options).execute(context(store))
        sandbox.set_tickets(seconds=0, final="COMPLETED")
        batch(passes(5), **options).execute(context(store, 2))
        assert set(sandbox.counts().values()) == {2}


class TestBeforeAirflow33:
    def test_first_try_sends(self, sandbox: RunningSandbox) -> None:
        assert batch(passes(10)).execute(context(None, 1, 3))["sent"] == 10
        once_each(sandbox, 10)

    @pytest.mark.parametrize(
        ("try_number", "max_tries", "options"), [(2, 3, {}), (2, 3, {"on_clear": "resend"}), (2, 4, {})]
    )
    def test_no_other_try_sends(
        self, sandbox: RunningSandbox, try_number: int, max_tries: int, options: dict[str, Any]
    ) -> None:
        with pytest.raises(SendRefusedError, match="Not sent: nobody knows what earlier tries sent"):
            batch(passes(10), **options).execute(context(None, try_number, max_tries))
        assert sandbox.counts() == {}

    @pytest.mark.parametrize(
        ("try_number", "max_tries", "options"), [(2, 4, {"on_clear": "resend"}), (2, 3, {"delivery": "at_least_once"})]
    )
    def test_unless_asked_to(
        self, sandbox: RunningSandbox, try_number: int, max_tries: int, options: dict[str, Any]
    ) -> None:
        batch(passes(10), **options).execute(context(None, try_number, max_tries, clear_number=1))
        once_each(sandbox, 10)

    def test_every_failure_is_final(self, sandbox: RunningSandbox) -> None:
        sandbox.add_fault("status", status=429, retry_after=100, times=1)
        with pytest.raises(BatchFailedError):
            batch(passes(10)).execute(context(None))


class TestEndings:
    def test_refused_credential_stops_at_once(
        self, sandbox: RunningSandbox, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = sandbox.connection.replace('"password": "sandbox"', '"password": "wrong"')
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", wrong)
        with pytest.raises(BatchFailedError, match="refused the credential") as caught:
            batch(passes(5000), max_failures=1.0).execute(context(store))
        assert caught.value.summary["failed"] == 5000
        assert sandbox.requests()["total"] <= 64

    def test_passed_before_the_start(self, sandbox: RunningSandbox, store: FileStore) -> None:
        with pytest.raises(AirflowSkipException, match="has passed"):
            batch(passes(10), send_before=datetime(2020, 1, 1, tzinfo=timezone.utc)).execute(context(store))
        assert sandbox.counts() == {}

    def test_passes_midway(self, sandbox: RunningSandbox, store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        sandbox.add_fault("latency", latency=0.1)
        until, passed = pendulum.now("UTC").add(hours=1), threading.Event()
        now = lambda: until.timestamp() if passed.is_set() else 0.0  # noqa: E731
        monkeypatch.setattr(run, "time", SimpleNamespace(time=now, monotonic=time.monotonic))
        _when_sending(sandbox, passed.set)
        with pytest.raises(BatchFailedError, match=r"send_before=.* has passed") as caught:
            batch(passes(10_000), send_before=until).execute(context(store))
        summary = caught.value.summary
        assert summary["sent"] > 0
        assert summary["sent"] + summary["failed"] == 10_000
        assert "has passed" in summary["failures"][0]["error"]
        once_each(sandbox, summary["sent"])
        # A retry must not end as skipped, because this would hide what was not sent.
        with pytest.raises(BatchFailedError):
            batch(passes(10_000), send_before=pendulum.now("UTC").subtract(hours=1)).execute(context(store, 2))
        once_each(sandbox, summary["sent"])

    def test_killed_midway(self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path) -> None:
        report = tmp_path / "report.jsonl"
        sandbox.add_fault("latency", latency=0.05)
        operator = batch(passes(3000), report_path=str(report))
        _when_sending(sandbox, operator.on_kill)
        with pytest.raises(BatchIncompleteError, match="was told to stop") as caught:
            operator.execute(context(store))
        _check_ending(sandbox, store, caught.value.summary, report)

    @pytest.mark.skipif(retry_policy.retry_policy() is None, reason="Airflow has no retry policies before 3.3")
    def test_airflow_retries_no_earlier_than_it_was_told(self, sandbox: RunningSandbox, store: FileStore) -> None:
        sandbox.add_fault("status", status=429, retry_after=600, times=1)
        operator = batch(passes(3))
        with pytest.raises(BatchIncompleteError) as caught:
            operator.execute(context(store))
        decision = operator.retry_policy.evaluate(caught.value, 1, 3, {"task": operator})
        assert (decision.action.value, decision.retry_delay.total_seconds()) == ("retry", 600)

    @pytest.mark.parametrize(("on_clear", "second"), [("resume", "ends"), ("resend", "ends"), ("resend", "dies")])
    def test_clear(self, sandbox: RunningSandbox, store: FileStore, on_clear: str, second: str) -> None:
        """With ``resend``, a clear after the end sends all rows again. A clear before the end continues."""
        batch(passes(5), on_clear=on_clear).execute(context(store, 1, 0))
        if second == "dies":
            (store.folder / "passnotify.v1.try.1.ended").unlink()
        batch(passes(7), on_clear=on_clear).execute(context(store, 2, 1))
        counts = sandbox.counts()
        assert len(counts) == 7
        assert set(counts.values()) == ({1, 2} if (on_clear, second) == ("resend", "ends") else {1})
        batch(passes(7), on_clear=on_clear).execute(context(store, 3, 2))
        assert min(sandbox.counts().values()) == (2 if on_clear == "resend" else 1)

    def test_killed_before_the_first(self, sandbox: RunningSandbox, store: FileStore) -> None:
        operator = batch(passes(5000))
        operator.on_kill()
        with pytest.raises(AirflowException, match="told to stop"):
            operator.execute(context(store))
        assert sandbox.counts() == {}

    def test_no_longer_wanted_by_airflow(self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path) -> None:
        """The task was marked as failed, cleared or superseded. Airflow says so only with a heartbeat."""
        now, report = watched(context(store), "running"), tmp_path / "report.jsonl"
        sandbox.add_fault("latency", latency=0.05)
        _when_sending(sandbox, lambda: setattr(now["ti"], "told", "failed"))
        with pytest.raises(BatchIncompleteError, match="the task is not running any more for Airflow") as caught:
            batch(passes(3000), report_path=str(report)).execute(now)
        assert now["ti"].asked == ("a_dag", {"task_ids": ["batch"], "run_ids": ["a_run"], "map_index": 2})
        _check_ending(sandbox, store, caught.value.summary, report)

    @pytest.mark.parametrize("state", [None, "success", "failed", OSError("the API server is away")])
    def test_run_by_hand_or_airflow_does_not_say(
        self, sandbox: RunningSandbox, store: FileStore, monkeypatch: pytest.MonkeyPatch, state: object
    ) -> None:
        monkeypatch.setattr("airflow_provider_passnotify.delivery.batch.run.WATCH_SECONDS", 0)
        assert batch(passes(100)).execute(watched(context(store), state))["sent"] == 100
        once_each(sandbox, 100)

    @pytest.mark.parametrize("latency", [0.05, 30])
    def test_exception_of_a_signal(
        self, sandbox: RunningSandbox, store: FileStore, tmp_path: Path, alarm: Callable[[], None], latency: float
    ) -> None:
        """Like ``execution_timeout``: a BaseException that a signal raises in the main thread."""
        report = tmp_path / "report.jsonl"
        sandbox.add_fault("latency", latency=latency)
        now = context(store)
        _when_sending(sandbox, alarm)
        with pytest.raises(TimeUpError):
            batch(passes(3000), report_path=str(report)).execute(now)
        _check_ending(sandbox, store, now["ti"].pushed, report)


def chunks_in(store: FileStore) -> list[str]:
    return [file.name for file in store.folder.iterdir() if ".chunk." in file.name]


def watched(found: dict[str, Any], state: object) -> dict[str, Any]:
    """Return a context whose task instance knows its state, as in Airflow 3.0 and later."""
    ti = found["ti"]
    ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.told = "a_dag", "batch", "a_run", 2, state

    def get_task_states(dag_id: str, **more: Any) -> dict[str, Any]:
        ti.asked = (dag_id, more)
        if isinstance(ti.told, Exception):
            raise ti.told
        return {} if ti.told is None else {"a_run": {"batch_2": ti.told}}

    ti.get_task_states = get_task_states
    return found


class TimeUpError(BaseException):
    """What the alarm raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Raise an exception in the main thread, like a signal."""

    def ring(*_: object) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def _when_sending(sandbox: RunningSandbox, act: Callable[[], None]) -> None:
    def wait() -> None:
        sandbox.wait_for(32)
        act()

    threading.Thread(target=wait).start()


def _check_ending(sandbox: RunningSandbox, store: FileStore, summary: dict[str, Any], report: Path) -> None:
    """Nothing more is sent, each row is reported once, and a retry sends the rest."""
    sent = sandbox.counts()
    time.sleep(0.5)
    assert sandbox.counts() == sent
    assert summary["sent"] <= len(sent) <= summary["sent"] + summary["unknown"]
    assert summary["sent"] + summary["unknown"] + summary["failed"] == 3000
    assert summary["unknown"] <= 32
    assert [line["row"] for line in report_lines(report)] == list(range(1, 3001))
    sandbox.clear_faults()
    again = batch(passes(3000), max_failures=32).execute(context(store, 2))
    assert again["unknown"] == summary["unknown"]
    assert set(sandbox.counts().values()) == {1}
    assert len(sandbox.counts()) >= 3000 - summary["unknown"]


class TestDeleting:
    def test_deletes(self, sandbox: RunningSandbox) -> None:
        rows = [*passes(100), {"pass_id": FIRST}, {"target_type": "tag", "tag": "campaign123", "template_id": 12345}]
        operator = DeleteNotificationBatchOperator(task_id="delete", target_type="pass", notifications=rows)
        summary = operator.execute(context())
        assert (summary["total"], summary["sent"], summary["duplicates"]) == (102, 101, 1)
        assert sandbox.requests()["methods"] == {"POST": 0, "DELETE": 101, "GET": 0}

    def test_retry_deletes_again(self, sandbox: RunningSandbox) -> None:
        sandbox.add_fault("close_after", times=1)
        operator = DeleteNotificationBatchOperator(task_id="delete", target_type="pass", notifications=passes(10))
        assert operator.execute(context(None, 2))["sent"] == 10
