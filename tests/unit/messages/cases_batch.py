"""Batches: what was sent, what was not, and what ended them early."""

from __future__ import annotations

import threading
from typing import Any

import pendulum

from airflow_provider_passnotify.delivery.batch import breaker, ledger, run
from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
from airflow_provider_passnotify.delivery.batch.report import ReportFile
from airflow_provider_passnotify.operators import batch_base
from airflow_provider_passnotify.operators.passnotify import (
    DeleteNotificationBatchOperator,
    SendNotificationBatchOperator,
)
from tests.servers import NOTHING, TICKET, answer
from tests.unit.messages.stage import Stage, api_error, case, ticket


def _batch(stage: Stage, *answers: Any, rows: Any = 3, context: Any = None, **arguments: Any) -> None:
    if isinstance(rows, int):
        rows = [{"pass_id": number} for number in range(1, rows + 1)]
    given = {"task_id": "batch", "target_type": "pass", "value": "Hello", "retries": 5, **arguments}
    with stage.answering(*answers) as server:
        stage.connect(server.url, extra={"max_retries": 0, "max_connections": 1})
        context = stage.context() if context is None else context
        SendNotificationBatchOperator(notifications=rows, **given).execute(context)


def _delete(stage: Stage, *answers: Any, rows: Any = None, **arguments: Any) -> None:
    with stage.answering(*answers) as server:
        stage.connect(server.url, extra={"max_retries": 0, "max_connections": 1})
        rows = rows or [{"target_type": "pass", "pass_id": number} for number in (1, 2)]
        DeleteNotificationBatchOperator(task_id="batch", notifications=rows, **arguments).execute(stage.context())


@case
def batch_sent(stage: Stage) -> None:
    _batch(stage)


@case
def batch_with_odd_rows(stage: Stage) -> None:
    _batch(stage, rows=[{"pass_id": 1, "points": 3}, {"pass_id": 1, "points": 3}, {"pass_id": 1.5}, "no row"])


@case
def batch_rows_failed(stage: Stage) -> None:
    gone = api_error(404, "There is no such pass.")
    _batch(stage, TICKET, gone, rows=9, report_path=stage.folder / "report.jsonl")


@case
def batch_rows_unknown(stage: Stage) -> None:
    _batch(stage, TICKET, NOTHING)


@case
def batch_rows_unknown_with_a_report(stage: Stage) -> None:
    _batch(stage, TICKET, NOTHING, report_path=stage.folder / "report.jsonl")


@case
def batch_rows_failed_and_a_clear_sends_all_again(stage: Stage) -> None:
    gone = api_error(404, "There is no such pass.")
    _batch(stage, TICKET, gone, on_clear="resend", report_path=stage.folder / "report.jsonl")


@case
def batch_rows_failed_without_a_journal(stage: Stage) -> None:
    _batch(stage, TICKET, api_error(404, "There is no such pass."), NOTHING, context=stage.context(store=None))


@case
def batch_rows_failed_without_a_journal_at_least_once(stage: Stage) -> None:
    context = stage.context(store=None)
    _batch(stage, TICKET, NOTHING, context=context, delivery="at_least_once", report_path=stage.folder / "report.jsonl")


@case
def batch_rows_unknown_at_least_once(stage: Stage) -> None:
    _batch(stage, TICKET, NOTHING, delivery="at_least_once")


@case
def batch_rows_throttled(stage: Stage) -> None:
    _batch(stage, api_error(429, "Too many.", Retry_After="600"), TICKET)


@case
def batch_credentials_refused(stage: Stage) -> None:
    _batch(stage, TICKET, api_error(401, "Who are you?"))


@case
def batch_host_is_not_the_api(stage: Stage) -> None:
    stage.patch.setattr(breaker, "MAX_UNKNOWN_IN_A_ROW", 2)
    _batch(stage, answer(502, body="Bad Gateway"), rows=9)


@case
def batch_of_deletions_failed(stage: Stage) -> None:
    _delete(stage, api_error(404, "There is no such pass."))


@case
def batch_of_deletions(stage: Stage) -> None:
    _delete(stage)


@case
def batch_of_deletions_unknown(stage: Stage) -> None:
    _delete(stage, TICKET, NOTHING)


@case
def batch_of_deletions_refused(stage: Stage) -> None:
    path = stage.folder / "rows.csv"
    path.write_text("pass_id,PASS_ID\n1,2\n")
    stage.refuses("file", lambda: _delete(stage, rows=str(path)))
    stage.refuses("report", lambda: _delete(stage, report_path=stage.folder))


@case
def batch_goes_on(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, TICKET, NOTHING, api_error(404, "Not yet.")))
    _batch(stage, context=stage.context(2))


@case
def batch_goes_on_at_least_once(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, TICKET, NOTHING, rows=4))
    _batch(stage, context=stage.context(2), rows=3, value="Hello again", delivery="at_least_once")


@case
def batch_too_late(stage: Stage) -> None:
    _batch(stage, send_before=pendulum.datetime(2020, 1, 1))


@case
def batch_too_late_for_the_rest(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, rows=1))
    _batch(stage, context=stage.context(2), send_before=pendulum.datetime(2020, 1, 1))


@case
def batch_too_many_rows(stage: Stage) -> None:
    _batch(stage, max_notifications=2)


@case
def batch_too_many_tickets(stage: Stage) -> None:
    stage.patch.setattr(batch_base, "MAX_TICKETS", 2)
    _batch(stage, wait_for_completion=True)


@case
def batch_tickets_failed(stage: Stage) -> None:
    _batch(stage, TICKET, TICKET, ticket("FAILED"), rows=2, wait_for_completion=True, poll_interval=0.1)


@case
def batch_told_to_stop_before_it_began(stage: Stage) -> None:
    killed = property(lambda _: True, lambda *_: None)
    stage.patch.setattr(SendNotificationBatchOperator, "_killed", killed, raising=False)
    stage.patch.setattr(ledger, "_BATCH", 1)
    _batch(stage)


@case
def batch_told_to_stop(stage: Stage) -> None:
    operator = SendNotificationBatchOperator(
        task_id="batch", target_type="pass", value="Hello", notifications=[{"pass_id": n} for n in range(3)], retries=5
    )

    def stop(writes: int) -> None:
        if writes == 2:  # the intent of the first chunk
            operator.on_kill()

    stage.store.before_set = stop
    with stage.answering():
        operator.execute(stage.context())


@case
def batch_not_running_any_more(stage: Stage) -> None:
    asked = threading.Event()

    def ask() -> bool:
        asked.set()
        return False

    stage.patch.setattr(batch_base, "still_running", lambda _: ask)
    stage.store.before_set = lambda writes: None if writes != 2 else assert_soon(asked)
    _batch(stage)


def assert_soon(event: threading.Event) -> None:
    assert event.wait(60)


@case
def batch_report_cannot_be_written(stage: Stage) -> None:
    _batch(stage, report_path=stage.folder)


@case
def batch_report_could_not_be_written(stage: Stage) -> None:
    def write(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    stage.patch.setattr(ReportFile, "write", write)
    _batch(stage, report_path=stage.folder / "report.jsonl")


@case
def batch_report_could_not_be_written_and_a_clear_sends_all_again(stage: Stage) -> None:
    def write(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    stage.patch.setattr(ReportFile, "write", write)
    _batch(stage, report_path=stage.folder / "report.jsonl", on_clear="resend")


@case
def batch_ends_and_its_report_could_not_be_written(stage: Stage) -> None:
    path = stage.folder / "report.jsonl"
    stage.store.before_set = lambda writes: path.mkdir() if writes == 2 else None  # the intent of the first chunk
    stage.store.refuse = lambda value: "states" in value and "i" not in value["states"]
    _batch(stage, report_path=path)


@case
def batch_report_probe_stays(stage: Stage) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("s3:DeleteObject")

    for name in ("rm", "rm_file", "_rm", "delete"):
        stage.patch.setattr(MemoryFileSystem, name, refuse)
    _batch(stage, report_path="memory://reports/report.jsonl")


@case
def batch_nobody_knows(stage: Stage) -> None:
    _batch(stage, context=stage.context(2, store=None))


@case
def batch_nobody_knows_which_rows_a_chunk_had(stage: Stage) -> None:
    path = stage.folder / "journal"
    stage.failing(lambda: _batch(stage, journal_path=path))
    for file in path.rglob("try.1.chunk.0.*"):
        file.write_text("half a rec")
    _batch(stage, journal_path=path, context=stage.context(2))


@case
def batch_nobody_knows_as_it_was_cleared_at_this_moment(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, NOTHING))
    stage.patch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    real = ChunkJournal._read

    def read(journal: ChunkJournal) -> Any:
        stage.store.values.clear()
        return real(journal)

    stage.patch.setattr(ChunkJournal, "_read", read)
    _batch(stage, context=stage.context(2))


@case
def batch_journal_cannot_be_read(stage: Stage) -> None:
    stage.store.unreadable = True
    _batch(stage)


@case
def batch_journal_refuses(stage: Stage) -> None:
    stage.store.refuse = lambda value: "states" in value
    _batch(stage)


@case
def batch_journal_refuses_the_end(stage: Stage) -> None:
    stage.store.refuse = lambda value: "at" in value and not {"states", "counts_from"} & set(value)
    _batch(stage)


@case
def batch_journal_of_another_release(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, NOTHING))
    values = stage.store.values
    values.update((key, '{"max_tries": "x"}') for key in values if key.endswith("begin"))
    _batch(stage, context=stage.context(2))


@case
def batch_chunk_of_another_release(stage: Stage) -> None:
    stage.failing(lambda: _batch(stage, NOTHING))
    stage.store.values.update((key, "{}") for key in stage.store.values if "chunk" in key)
    _batch(stage, context=stage.context(2))


@case
def batch_a_second_time(stage: Stage) -> None:
    context = stage.context()
    stage.failing(lambda: _batch(stage, context=context))
    _batch(stage, context=context)


@case
def batch_progress(stage: Stage) -> str:  # noqa: ARG001
    """The line that is written every few seconds."""
    counts = ledger.Counts(pending=900_000, sent=99_990, unknown=10)
    deleted = ledger.Counts(pending=10, sent=20, done="deleted")
    return f"{run.progress_line(counts, 3700.0)}\n{run.progress_line(deleted, 5.0)}"
