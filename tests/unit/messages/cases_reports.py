"""``resume_from``: what reports of earlier runs say, and reports that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_passnotify.operators.passnotify import (
    DeleteNotificationBatchOperator,
    SendNotificationBatchOperator,
)
from tests.servers import NOTHING, TICKET, Answer
from tests.unit.messages.stage import Stage, api_error, case

Line = dict[str, Any]
GONE = api_error(404, "There is no such pass.")
ROWS = [{"pass_id": number} for number in (1, 2, 3)]


def _run(stage: Stage, *answers: Answer, rows: Any = ROWS, **arguments: Any) -> None:
    """Run a batch as a DAG run of its own."""
    with stage.answering(*answers) as server:
        stage.connect(server.url, extra={"max_retries": 0, "max_connections": 1})
        given = {"task_id": "batch", "target_type": "pass", "value": "Hello", **arguments}
        SendNotificationBatchOperator(notifications=rows, **given).execute(stage.context(store=None))


def _report(stage: Stage, *answers: Answer, **arguments: Any) -> Path:
    """Return the report of a run: one row of three was sent, unless there are other answers."""
    path = stage.folder / "report.jsonl"
    stage.failing(lambda: _run(stage, *answers or (TICKET, GONE), report_path=path, **arguments))
    return path


@case
def report_of_an_earlier_run(stage: Stage) -> None:
    report = _report(stage, TICKET, NOTHING)
    _run(stage, rows=[*ROWS, {"pass_id": 4, "value": "Bye"}], resume_from=report)


@case
def report_and_unknown_rows_are_sent_again(stage: Stage) -> None:
    report = _report(stage, TICKET, NOTHING)
    _run(stage, resume_from=report, value="Hello again", delivery="at_least_once")


@case
def report_of_other_rows(stage: Stage) -> None:
    _run(stage, resume_from=_report(stage), rows=[{"pass_id": 9}])


@case
def report_is_missing(stage: Stage) -> None:
    _run(stage, resume_from=stage.folder / "report.jsonl")


@case
def report_is_empty(stage: Stage) -> None:
    (stage.folder / "report.jsonl").write_text("")
    _run(stage, resume_from=stage.folder / "report.jsonl")


@case
def report_is_cut_off(stage: Stage) -> None:
    report = _report(stage)
    report.write_text(report.read_text()[:-100])
    _run(stage, resume_from=report)


@case
def report_is_another_file(stage: Stage) -> None:
    (stage.folder / "rows.jsonl").write_text('{"pass_id": 1}\n')
    _run(stage, resume_from=stage.folder / "rows.jsonl")


@case
def report_is_utf16(stage: Stage) -> None:
    report = _report(stage)
    report.write_bytes(report.read_text().encode("utf-16"))
    _run(stage, resume_from=report)


@case
def report_of_a_deletion(stage: Stage) -> None:
    path = stage.folder / "report.jsonl"
    with stage.answering():
        rows = [{"target_type": "pass", "pass_id": 1}]
        operator = DeleteNotificationBatchOperator(task_id="delete", notifications=rows, report_path=path)
        stage.failing(lambda: operator.execute(stage.context()))
    _run(stage, resume_from=path)


@case
def report_names_a_row_with_a_dedupe_key(stage: Stage) -> None:
    report = _report(stage)
    _run(stage, resume_from=report, rows=[{"pass_id": 1, "dedupe_key": "order 7", "value": "Bye"}])


@case
def report_with_lines_that_somebody_changed(stage: Stage) -> None:
    """What is said of one line; all else is as in the case of a report that is cut off."""
    whole = _report(stage)
    first, *others = map(json.loads, whole.read_text().splitlines())
    without_digest = {key: value for key, value in first.items() if key not in ("digest", "at")}
    changes: dict[str, Callable[[Line], Line]] = {
        "digest cut off": lambda line: {**line, "digest": line["digest"][:8]},
        "time without zone": lambda line: {**line, "at": "2026-11-25T04:00:00"},
        "time": lambda line: {**line, "at": "yesterday"},
        "other status": lambda line: {**line, "status": "delivered"},
        "ticket is text": lambda line: {**line, "ticket_id": "12345"},
        "no ticket": lambda line: {key: value for key, value in line.items() if key != "ticket_id"},
        "no target": lambda _: {**without_digest, "target": {}},
        "odd target": lambda _: {**without_digest, "target": {"target_type": "pass", "pass_id": 1.5}},
    }
    for name, change in changes.items():
        report = stage.folder / f"{name}.jsonl"
        report.write_text("".join(json.dumps(line) + "\n" for line in (change(first), *others)))
        stage.refuses(name, lambda report=report: _run(stage, resume_from=report))  # type: ignore[misc]


@case
def report_arguments(stage: Stage) -> None:
    for value in ([], 5, "", ["a.jsonl", None], {"report": "a.jsonl"}):
        stage.refuses(f"{value!r}", lambda value=value: _run(stage, resume_from=value))  # type: ignore[misc]
