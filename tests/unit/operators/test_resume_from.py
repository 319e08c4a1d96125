"""``resume_from``: a batch leaves out whom an earlier run has reached, in every try, also after a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException, ObjectStoragePath

from airflow_provider_passnotify.exceptions import (
    BatchFailedError,
    BatchIncompleteError,
    InvalidNotificationError,
    PassNotifyError,
    SendRefusedError,
)
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationBatchOperator
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.batch_tools import FIRST, IN_FLIGHT, batch, context, passes, report_lines
from tests.stores import FileStore

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=5000) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        yield sandbox


def new_store(tmp_path: Path, name: str = "journal") -> FileStore:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return FileStore(folder)


@pytest.fixture
def earlier(sandbox: RunningSandbox, tmp_path: Path) -> Path:
    """Return the report of a run to four passes: one was refused, of one it is unknown whether it was sent."""
    path = tmp_path / "earlier.jsonl"
    sandbox.add_fault("status", status=404, path=f"/{FIRST}/", times=1)
    sandbox.add_fault("close_after", path=f"/{FIRST + 1}/", times=1)
    batch(passes(4), report_path=path, max_failures=1.0).execute(context())
    assert [line["status"] for line in report_lines(path)] == ["failed", "unknown", "sent", "sent"]
    return path


def received(sandbox: RunningSandbox) -> list[int]:
    """Return how often the first passes received something."""
    counts = sandbox.counts()
    return [counts.get(str(FIRST + number), 0) for number in range(5)]


class TestWhatGoesOut:
    def test_only_whom_the_report_does_not_name(
        self, sandbox: RunningSandbox, earlier: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        report = tmp_path / "report.jsonl"
        operator = batch(passes(5), resume_from=str(earlier), report_path=report, value="Once more")
        with caplog.at_level("INFO"), pytest.raises(BatchFailedError, match="2 of 5 sent, 1 unknown"):
            operator.execute(now := context())
        assert received(sandbox) == [1, 1, 1, 1, 1]
        summary = now["ti"].pushed["return_value"]
        assert summary["left_out"] == now["ti"].pushed["left_out"] == 2
        assert summary["resume_from"] == [{"report": str(earlier), "sent": 2, "unknown": 1}]
        counts = [summary[name] for name in ("sent", "failed", "unknown", "duplicates", "left_out")]
        assert sum(counts) == summary["total"] == 5
        assert len(summary["ticket_ids"]) == 2
        assert summary["failures"][0]["error"].startswith(f"unknown: the run of the report {earlier} may have sent it")
        (told,) = (line for line in caplog.messages if line.startswith("resume_from"))
        assert told == (
            f"resume_from: {earlier}: Rows that it names as sent, left out now: 2. Rows that it names as unknown (not "
            "sent again automatically): 1. Rows of both kinds that have another text now: 3."
        )
        lines = report_lines(report)
        assert [line["status"] for line in lines] == ["sent", "unknown", "left_out", "left_out", "sent"]
        assert lines[2]["ticket_id"] == report_lines(earlier)[2]["ticket_id"]

    def test_the_line_of_progress_counts_who_is_left_out(
        self,
        sandbox: RunningSandbox,
        earlier: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("airflow_provider_passnotify.delivery.batch.run.PROGRESS_SECONDS", 0.05)
        sandbox.add_fault("latency", latency=0.5)
        with caplog.at_level("INFO"):
            batch(passes(5), resume_from=str(earlier), max_failures=1).execute(context())
        assert any(line.startswith("0 of 5 sent, 1 unknown, 2 left out; ") for line in caplog.messages)

    def test_at_least_once_sends_the_unknown_again(self, sandbox: RunningSandbox, earlier: Path) -> None:
        summary = batch(passes(4), resume_from=str(earlier), delivery="at_least_once").execute(context())
        assert received(sandbox) == [1, 2, 1, 1, 0]
        assert (summary["sent"], summary["left_out"]) == (2, 2)

    def test_chain_of_runs_needs_the_last_report_only(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        paths = [tmp_path / f"{number}.jsonl" for number in range(4)]
        batch(passes(1), report_path=paths[0]).execute(context())
        for number in (1, 2, 3):
            rows = passes(number + 1)
            random.Random(number).shuffle(rows)
            batch(rows, resume_from=paths[number - 1], report_path=paths[number]).execute(context())
        assert received(sandbox) == [1, 1, 1, 1, 0]
        assert Counter(line["status"] for line in report_lines(paths[3])) == {"left_out": 3, "sent": 1}

    def test_without_resume_from_nothing_is_told_of_it(self, sandbox: RunningSandbox) -> None:  # noqa: ARG002
        summary = batch(passes(1)).execute(context())
        assert not {"left_out", "resume_from"} & summary.keys()

    def test_report_that_is_overwritten_by_this_run(
        self, sandbox: RunningSandbox, earlier: Path, tmp_path: Path
    ) -> None:
        """The same path in both arguments: the new report says what the old one did, for the next try as well."""
        store = new_store(tmp_path)
        again = batch(passes(5), resume_from=earlier, report_path=earlier, max_failures=1.0)
        again.execute(context(store))
        summary = batch(passes(5), resume_from=earlier, report_path=earlier, max_failures=1.0).execute(
            context(store, 2)
        )
        assert received(sandbox) == [1, 1, 1, 1, 1]
        assert (summary["sent"], summary["unknown"], summary["left_out"]) == (2, 1, 2)

    def test_tickets_of_the_earlier_run_are_not_waited_for(
        self, sandbox: RunningSandbox, earlier: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_passnotify.operators.batch_base.MAX_TICKETS", 3)
        sandbox.set_tickets(seconds=0)
        options: dict[str, Any] = {"resume_from": earlier, "wait_for_completion": True, "poll_interval": 0.1}
        batch(passes(5), max_failures=1, **options).execute(context())
        assert sandbox.requests()["methods"]["GET"] == 2

    def test_too_late_and_nothing_sent_by_this_task_is_skipped(self, sandbox: RunningSandbox, earlier: Path) -> None:
        operator = batch(passes(5), resume_from=earlier, send_before="2020-01-01T00:00:00Z")
        with pytest.raises(AirflowSkipException):
            operator.execute(context())
        assert received(sandbox) == [0, 1, 1, 1, 0]


class TestHowItIsGiven:
    @pytest.mark.parametrize(
        "given",
        [
            str,
            lambda path: path,
            lambda path: ObjectStoragePath(f"file://{path}"),
            lambda path: [str(path), str(path)],
            lambda path: (part for part in [str(path)]),
            lambda path: [[path]],
            lambda path: {str(path)},
            lambda path: os.path.relpath(path),
        ],
    )
    def test_path_or_paths(self, sandbox: RunningSandbox, earlier: Path, given: Callable[[Path], Any]) -> None:
        summary = batch(passes(5), resume_from=given(earlier), max_failures=1).execute(context())
        assert (summary["left_out"], len(summary["resume_from"])) == (2, 1)
        assert received(sandbox) == [1, 1, 1, 1, 1]

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ([], "list without a path"),
            ("", "one of them is ''"),
            ("  ", "one of them is"),
            ([""], "one of them is ''"),
            ([[]], "list without a path"),
            ([None], "None is neither"),
            (["a.jsonl", None], "None is neither"),
            (5, "5 is neither"),
            (True, "True is neither"),
            (b"a.jsonl", "is neither"),
            ({"report": "a.jsonl"}, 'is neither.* Give the key "report"'),
        ],
    )
    def test_refused_while_the_dag_is_parsed(self, given: Any, told: str) -> None:
        with pytest.raises(InvalidNotificationError, match=rf"Task 'batch': resume_from.*{told}"):
            batch(passes(1), resume_from=given)

    @pytest.mark.parametrize("given", [[], "", "None", None, ["a.jsonl", None], {"report": "a"}, 5, [[], []]])
    def test_refused_when_it_comes_to_nothing(self, sandbox: RunningSandbox, given: Any) -> None:
        """What an XCom, a variable or a callable gave when the task started."""
        operator = batch(passes(2), resume_from=lambda context, jinja_env: given)  # noqa: ARG005
        operator.render_template_fields(context())
        with pytest.raises(InvalidNotificationError, match="resume_from"):
            operator.execute(context())
        assert received(sandbox) == [0] * 5

    def test_template(self, sandbox: RunningSandbox, earlier: Path) -> None:
        operator = batch(passes(5), resume_from=["{{ folder }}/earlier.jsonl"], max_failures=1)
        operator.render_template_fields(context() | {"folder": str(earlier.parent)})
        assert operator.execute(context())["left_out"] == 2
        assert received(sandbox) == [1, 1, 1, 1, 1]

    def test_deletions_do_not_take_it(self) -> None:
        with pytest.raises((TypeError, AirflowException), match="resume_from"):
            DeleteNotificationBatchOperator(task_id="x", notifications=[], resume_from="a.jsonl")


class TestRefused:
    def test_missing_file_is_found_before_the_rows_are_read(self, sandbox: RunningSandbox, earlier: Path) -> None:
        operator = batch([], resume_from=[earlier, earlier.with_name("missing.jsonl")])
        operator.notifications = (pytest.fail("read") for _ in range(1))
        with pytest.raises(PassNotifyError, match=r"Not sent: a report of resume_from .*\n.*\n.*missing\.jsonl"):
            operator.execute(context())
        assert received(sandbox) == [0, 1, 1, 1, 0]

    def test_torn_line_at_the_end(self, sandbox: RunningSandbox, earlier: Path, tmp_path: Path) -> None:
        """And then mended: the failed try has sent nothing, and a retry sends."""
        whole = earlier.read_text()
        earlier.write_text(whole[:-10])
        store = new_store(tmp_path)
        with pytest.raises(InvalidNotificationError, match=r"line 4 of .*cut off"):
            batch(passes(5), resume_from=earlier).execute(context(store))
        assert received(sandbox) == [0, 1, 1, 1, 0]
        earlier.write_text(whole)
        batch(passes(5), resume_from=earlier, max_failures=1).execute(context(store, 2))
        assert received(sandbox) == [1, 1, 1, 1, 1]

    def test_file_of_rows_is_no_report(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in passes(3)))
        with pytest.raises(InvalidNotificationError, match=r"line 1 of .*rows\.jsonl"):
            batch(str(path), resume_from=str(path)).execute(context())
        assert received(sandbox) == [0] * 5


class TestOtherTries:
    def test_retry_and_clear(self, sandbox: RunningSandbox, earlier: Path, tmp_path: Path) -> None:
        """Whom the report names stays out in every try, also where a clear sends all of this task's rows again."""
        store = new_store(tmp_path)
        sandbox.add_fault("status", status=429, retry_after=61, path=f"/{FIRST + 4}/", times=1)
        options: dict[str, Any] = {"resume_from": earlier, "max_failures": 1}
        with pytest.raises(BatchIncompleteError, match="2 left out"):
            batch(passes(5), **options).execute(context(store, 1, 3))
        assert received(sandbox) == [1, 1, 1, 1, 0]
        batch(passes(5), **options).execute(context(store, 2, 3))
        assert received(sandbox) == [1, 1, 1, 1, 1]
        batch(passes(5), **options).execute(context(store, 3, 5, clear_number=1))
        assert received(sandbox) == [1, 1, 1, 1, 1]
        batch(passes(5), on_clear="resend", **options).execute(context(store, 4, 6, clear_number=2))
        assert received(sandbox) == [2, 1, 1, 1, 2], "that was asked for"

    def test_given_after_the_first_try(self, sandbox: RunningSandbox, earlier: Path, tmp_path: Path) -> None:
        """Added to the DAG between two tries."""
        store = new_store(tmp_path)
        sandbox.add_fault("status", status=429, retry_after=61, path=f"/{FIRST + 3}/", times=1)
        with pytest.raises(BatchIncompleteError):
            batch(passes(5)[3:]).execute(context(store))
        assert received(sandbox) == [0, 1, 1, 1, 1]
        summary = batch(passes(5), resume_from=earlier, max_failures=1).execute(context(store, 2))
        assert received(sandbox) == [1, 1, 1, 1, 1]
        assert (summary["sent"], summary["left_out"], summary["unknown"]) == (2, 2, 1)

    def test_without_memory_a_cleared_task_sends_the_rest(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        """What the refusal of Airflow before 3.3 names as the way on."""
        path = tmp_path / "report.jsonl"
        sandbox.add_fault("status", status=429, retry_after=61, path=f"/{FIRST}/", times=1)
        with pytest.raises(BatchFailedError):
            batch(passes(3), report_path=path).execute(context())
        with pytest.raises(SendRefusedError):
            batch(passes(3), report_path=path).execute(context(None, 2, 4, clear_number=1))
        again = batch(passes(3), report_path=path, resume_from=path, on_clear="resend")
        summary = again.execute(context(None, 3, 5, clear_number=2))
        assert received(sandbox) == [1, 1, 1, 0, 0]
        assert (summary["sent"], summary["left_out"]) == (1, 2)


REACHED, KILLS = 1000, 3
MAX_REQUESTS = 300
"""So many requests at most are received before a kill."""
MAX_CHUNK_ROWS = 200
MAX_UNKNOWN = 2 * MAX_CHUNK_ROWS
"""Two chunks: so many rows at most are unknown after a kill."""
ROWS = REACHED + (KILLS + 1) * (MAX_REQUESTS + MAX_UNKNOWN)
"""Enough for each try to send, however fast the machine is."""
TRY = """
import random, sys
from pathlib import Path
from airflow_provider_passnotify.delivery.batch import chunk_size
from airflow_provider_passnotify.exceptions import BatchFailedError
from tests.batch_tools import batch, context, passes
from tests.stores import FileStore
folder, try_number, rows = Path(sys.argv[1]), int(sys.argv[2]), passes(int(sys.argv[3]))
chunk_size.MAX_CHUNK_ROWS = int(sys.argv[4])
random.Random(try_number).shuffle(rows)
options = {"report_path": folder / "report.jsonl", "resume_from": folder / "earlier.jsonl"}
try:
    batch(rows, value=f"try {try_number}", **options).execute(context(FileStore(folder / "journal"), try_number, 99))
except BatchFailedError as error:
    print(error)
"""


def test_killed_again_and_again(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Whom the report names is rung in no try; of all others, each try says what it must."""
    new_store(tmp_path)
    batch(passes(REACHED), report_path=tmp_path / "earlier.jsonl").execute(context())
    sandbox.add_fault("latency", latency=0.03)
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    for try_number in range(1, KILLS + 2):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TRY, str(tmp_path), str(try_number), str(ROWS), str(MAX_CHUNK_ROWS)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if try_number <= KILLS:
            requests = sandbox.requests()["total"]
            sandbox.wait_for(requests + rng.randrange(IN_FLIGHT + 1, MAX_REQUESTS), timeout=120)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:
            output = process.communicate(timeout=300)[0]
            assert process.returncode == 0, output
        assert set(sandbox.counts().values()) == {1}, "nobody twice"
    lines = report_lines(tmp_path / "report.jsonl")
    by_pass = {line["target"]["pass_id"]: line for line in lines}
    assert len(lines) == len(by_pass) == ROWS
    told = Counter(line["status"] for line in lines)
    print(told)
    assert told["left_out"] == REACHED
    assert set(told) <= {"left_out", "sent", "unknown"}
    assert ROWS - told["unknown"] <= len(sandbox.counts()) <= ROWS
    assert {line["report"] for line in lines if line["status"] == "left_out"} == {str(tmp_path / "earlier.jsonl")}
