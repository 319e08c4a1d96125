"""What a batch says if not everything was done: which rows, and what a person can do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.api.protocol import shorten
from airflow_provider_passnotify.exceptions import explain
from airflow_provider_passnotify.targets import name_ids

if TYPE_CHECKING:
    from airflow_provider_passnotify.delivery.batch.ledger import Counts

MAX_NAMED = 5
"""The error names so many rows. The report names all of them."""
_MAX_REASON_LENGTH = 300


def explain_incomplete(
    counts: Counts, failures: list[dict[str, Any]], *, ended_early: str | None, report_path: object, ways: list[str]
) -> str:
    """Return the text of the error.

    :param failures: rows that failed or are unknown, as in the summary; the first of them are named.
    :param ended_early: why the batch ended early.
    :param report_path: where the report is, if there is one.
    :param ways: what the user can do.
    """
    named = failures[:MAX_NAMED]
    more = counts.failed + counts.unknown - len(named)
    return explain(
        f"{counts}.",
        known=[
            f"It ended early: {ended_early}." if ended_early else "",
            *(f"{_name_row(row)}: {shorten(row['error'], _MAX_REASON_LENGTH)}" for row in named),
            f"{more:,} more" if more else "",
        ],
        ways=[f"All rows are in the report: {report_path}" if report_path else "", *ways],
        section="Batch incomplete",
    )


def ways_after_deletions(*, is_retried: bool) -> list[str]:
    """Return what a user can do.

    :param is_retried: whether Airflow retries the task, if it has retries left.
    """
    if is_retried:
        return [
            "Nothing, if Airflow retries the task: it deletes all rows again, which does no harm.",
            "Else mend the cause, then clear the task. That does the same.",
        ]
    return ["Mend the cause, then clear the task. It deletes all rows again, which does no harm."]


def ways_after_sends(
    counts: Counts,
    *,
    is_retried: bool,
    is_durable: bool,
    resume: bool,
    send_unknown: bool,
    has_report: bool,
    may_discard: bool = False,
) -> list[str]:
    """Return what a user can do.

    :param is_retried: whether Airflow retries the task, if it has retries left.
    :param is_durable: whether there is a journal that a later try can read.
    :param resume: whether a cleared task goes on from the journal.
    :param send_unknown: whether a later try sends unknown rows again.
    :param may_discard: whether a clear discards the journal, unless a person chooses to keep it (Airflow 3.4).
    """
    kinds = {"failed": counts.failed, "unknown": counts.unknown if send_unknown else 0}
    rows = f"the {' and '.join(kind for kind, count in kinds.items() if count)} rows and nobody else"
    ways = [f"Nothing, if Airflow retries the task: the retry sends {rows}."] if is_retried else []
    if any(kinds.values()):
        if is_durable and resume:
            ways.append(f"{'Else mend' if is_retried else 'Mend'} the cause, then clear the task. That sends {rows}.")
            if may_discard:
                ways.append("When Airflow asks as you clear the task, keep the task state.")
        elif not resume:
            ways.append("Do not clear the task: with on_clear='resend', that sends all rows again.")
        elif send_unknown:
            ways.append("Do not clear the task: there is no journal, so that sends all rows again.")
        else:
            ways.append("Clearing the task sends nothing: there is no journal.")
        if not (is_durable and resume):
            with_report = f"To send {rows}: a run with resume_from= this report."
            ways.append(with_report if has_report else "For the next time: set report_path, and use resume_from.")
    if counts.unknown and not send_unknown:
        ways.append("Unknown rows are not sent again automatically. Look whether some of them arrived.")
        if has_report:
            ways.append("To send them all the same: a run with resume_from= this report, delivery='at_least_once'.")
    return ways


def _name_row(failure: dict[str, Any]) -> str:
    if failure["row"] is None:  # known from an earlier try only
        return "a row of an earlier try"
    return f"row {failure['row']}, {name_ids(failure['target'])}"
