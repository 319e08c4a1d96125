"""What the batch operators have in common: put rows into a ledger, send what is in the ledger, return the summary."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.arguments import is_path, is_resolved_at_runtime
from airflow_provider_passnotify.exceptions import (
    BatchFailedError,
    BatchIncompleteError,
    InvalidNotificationError,
    JournalError,
    PassNotifyError,
    explain,
)
from airflow_provider_passnotify.operators.base import TargetArgumentsOperator
from airflow_provider_passnotify.operators.batch_status import Metrics, still_running
from airflow_provider_passnotify.operators.batch_words import explain_incomplete, ways_after_deletions
from airflow_provider_passnotify.retry_policy import retry_after_told
from airflow_provider_passnotify.rows.reader import RowReader

if TYPE_CHECKING:
    import pendulum
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_passnotify.api.config import Config
    from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
    from airflow_provider_passnotify.delivery.batch.ledger import Counts, Ledger
    from airflow_provider_passnotify.delivery.batch.report import ReportFile
    from airflow_provider_passnotify.delivery.batch.run import BatchRun

log = logging.getLogger(__name__)

MAX_TICKETS = 10_000
"""With more tickets than this, they are only in the report. A million numbers are too many for an XCom."""
MAX_FAILURES = 100


class BatchOperator(TargetArgumentsOperator):
    """What all batches have in common: rows, defaults for their keys, limits and a report.

    :param max_notifications: if there are more rows than this, nothing is sent. A wrong WHERE clause must not ring a
        million phones.
    :param max_failures: how many rows (an int), or which share of them (a float up to 1.0), may fail or stay unknown.
        If there are more, the task fails. It fails at the end, after everything that could be sent was sent.
    :param report_path: where to write the outcome of each row, as JSON Lines: a local path, or any URL or path of
        Airflow's object storage.
    :param kwargs: the arguments of :class:`~airflow_provider_passnotify.operators.base.TargetArgumentsOperator`:
        ``target_type`` and ids for rows that have none, the connection, and whether and how to wait for the tickets (at
        most 10,000 of them).
    """

    template_fields: Sequence[str] = (*TargetArgumentsOperator.template_fields, "report_path")
    text_fields = frozenset(template_fields)
    never_none = frozenset({"max_notifications"})
    deletes = False

    def __init__(
        self,
        *,
        max_notifications: int | None = None,
        max_failures: float = 0,
        report_path: str | os.PathLike[str] | ObjectStoragePath | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.multiple_outputs = True  # also so that output["..."] gives None for a key that was not pushed
        self.max_notifications = max_notifications
        self.max_failures = max_failures
        self.report_path = report_path
        self._run: BatchRun | None = None
        self._header: list[str] = []
        self._warnings: list[str] = []

    def execute(self, context: Context) -> dict[str, Any]:
        """Send or delete what the rows say.

        :return: the summary. Each of its keys is also an XCom of its own.
        :raises BatchIncompleteError: if more rows than ``max_failures`` failed or are unknown.
        """
        journal = self._begin(context)  # first of all: if anything fails after this, it is known that nothing was sent
        try:
            self._check()
            config = self.hook.get_config()
            report = self._open_report()
            self._check_earlier_reports()
            with retry_after_told(self):
                summary, tickets = self._send(context, config, journal, report)
            return self.wait_for_tickets(context, tickets, summary)
        finally:
            if journal is not None and (self._run is None or self._run.ended):
                self._end(journal)

    def execute_complete(self, context: Context, event: Mapping[str, Any], result: Any = None) -> Any:
        """Go on after the triggerer has waited."""
        return _without_none(super().execute_complete(context, event, result) or {}) or None

    def on_kill(self) -> None:
        """Start no new request and stop waiting. Requests that are on their way get 3 s."""
        super().on_kill()
        if self._run is not None:
            self._run.stop()

    def _send(
        self, context: Context, config: Config, journal: ChunkJournal | None, report: ReportFile | None
    ) -> tuple[dict[str, Any], list[int]]:
        """Send, write the report, push XComs. Raise if too much failed, else return the summary and the tickets."""
        # Imported here, because parsing a DAG file needs neither SQLite nor an event loop.
        from airflow_provider_passnotify.delivery.batch.ledger import Ledger
        from airflow_provider_passnotify.delivery.batch.run import BatchRun
        from airflow_provider_passnotify.delivery.task import TaskTry

        with Ledger(TaskTry.of(context).try_number, done=self._done) as ledger:
            self._fill(ledger, context)
            send_before = self._prepare(ledger, journal)
            self._check_tickets(ledger)
            metrics = Metrics(ledger.counts())
            run = self._run = BatchRun(
                ledger,
                config,
                journal,
                send_before=send_before,
                on_progress=metrics.tell,
                should_continue=still_running(context["ti"]),
            )
            if self._killed:
                run.stop()
            try:
                run.run()
            except BaseException:
                if run.ended:
                    self._keep(context, ledger, report)
                raise
            counts = ledger.counts()
            metrics.tell(counts)
            summary = self._summary(ledger, counts)
            durable = journal is None or journal.is_durable
            error = self._judge(run, counts, summary, durable=durable)
            self._push(context, summary)
            try:
                self._write(report, ledger)
            except Exception as problem:
                raise BatchFailedError(
                    explain(
                        f"{counts}, but the report could not be written.",
                        known=[f"report_path: {self.report_path}", f"{type(problem).__name__}: {problem}"],
                        ways=[
                            "The first failures are in the XCom of the task, and so are the ticketIds (up to 10,000).",
                            self._when_writable(is_durable=durable),
                        ],
                        section="Batch incomplete",
                    ),
                    summary,
                ) from problem
            log.info("Done: %s.", counts)
            if error is not None:
                raise error
            return summary, list(ledger.ticket_ids()) if self.wait_for_completion else []

    def _end(self, journal: ChunkJournal) -> None:
        try:
            journal.end()
        except JournalError as error:
            log.warning(
                "The end of this try is not recorded. If the task is cleared, it goes on where it stood. (%s)",
                error.__cause__ or error,
            )

    def _rows(self, context: Context) -> Iterable[Any]:
        """Return the rows. Nothing has been sent yet, and if this raises, nothing will be sent."""
        raise NotImplementedError

    def _file(self) -> str | None:
        """Return the path of the file of rows. ``None`` if the rows do not come from a file."""
        return None

    def _null_values(self) -> Collection[str] | None:
        """Return the texts that count as absent. ``None`` if the rows do not come from a file."""
        return None

    @property
    def _done(self) -> str:
        return "deleted" if self.deletes else "sent"

    def _defaults(self) -> dict[str, Any]:
        return {"target_type": self.target_type, **self._ids()}

    def _begin(self, context: Context) -> ChunkJournal | None:  # noqa: ARG002
        """Open the journal, and write into it that this try begins."""
        return None

    def _check_earlier_reports(self) -> None:
        """Find out, before the rows are read, whether the reports of earlier runs are there."""

    def _prepare(self, ledger: Ledger, journal: ChunkJournal | None) -> pendulum.DateTime | None:  # noqa: ARG002
        """Mark the rows that need no sending, and return the time after which nothing is sent."""
        return None

    def _check_arguments(self) -> None:
        super()._check_arguments()
        limit, max_rows = self.max_failures, self.max_notifications
        is_count = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0
        if not is_count and not (isinstance(limit, float) and 0 <= limit <= 1):
            raise ValueError(f"max_failures must be a count (0, 1, ...) or a share (0.0 to 1.0), not {limit!r:.60}.")
        if max_rows is not None and (isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 0):
            raise ValueError(f"max_notifications must be a whole number from 0, not {max_rows!r:.60}.")
        path = self.report_path
        is_given = path is not None and not is_resolved_at_runtime(path)
        if is_given and not (is_path(path) and str(path).strip()):
            raise ValueError(f"report_path must be the path or the URL of a file, not {path!r:.60}.")
        RowReader({key: None if is_resolved_at_runtime(value) else value for key, value in self._defaults().items()})

    def _open_report(self) -> ReportFile | None:
        from airflow_provider_passnotify.delivery.batch.report import ReportFile

        if self.report_path is None:
            return None
        try:
            return ReportFile(str(self.report_path))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise PassNotifyError(
                explain(
                    f"Not {self._done}: the report cannot be written.",
                    known=[f"report_path: {self.report_path}", why],
                    ways=["Correct report_path, or its permissions, then clear the task."],
                    section="Not sent",
                )
            ) from error

    def _fill(self, ledger: Ledger, context: Context) -> None:
        from airflow_provider_passnotify.delivery.batch.ledger import in_words

        reader = RowReader(self._defaults(), delete=self.deletes, null_values=self._null_values())

        def fill() -> None:
            with closing(iter(self._rows(context))) as rows:  # type: ignore[type-var]  # all of them are generators
                ledger.fill(rows, reader, limit=self.max_notifications, check=self._check_not_killed)
            reader.check_source(() if ledger.total else self._header)

        try:
            fill()
        except InvalidNotificationError:
            raise  # its message already says where
        except ValueError as error:
            raise self._refused(error) from None
        counts = ledger.counts()
        found = in_words({"Not usable": counts.failed, "Equal to another": counts.duplicate})
        log.info("%s", " ".join([f"Rows: {counts.total:,}.", *found]))
        self._warnings = reader.warnings
        for warning in self._warnings:
            log.warning("%s", warning)

    def _refused(self, error: ValueError) -> InvalidNotificationError:
        """Return the error for rows that cannot be used as a whole."""
        file = self._file()
        what = "the rows" if file is None else "the file"
        return InvalidNotificationError(
            explain(
                f"Task {self.task_id!r}: not {self._done}: {what} cannot be used.",
                known=["" if file is None else f"The file: {file}", str(error)],
                ways=getattr(error, "ways", [f"Mend {'that' if file is None else what}, then clear the task."]),
                section="Rejected",
            )
        )

    def _check_tickets(self, ledger: Ledger) -> None:
        if not self.wait_for_completion:
            return
        rows = ledger.total - ledger.counts().left_out
        if rows > MAX_TICKETS:
            raise InvalidNotificationError(
                explain(
                    f"Not {self._done}: {rows:,} rows are too many to wait for.",
                    known=[f"Task {self.task_id!r}: wait_for_completion can wait for {MAX_TICKETS:,} tickets."],
                    ways=["Leave wait_for_completion out.", "Or map the task over shards of the rows."],
                    section="Not sent",
                )
            )

    def _check_not_killed(self) -> None:
        if self._killed:
            raise PassNotifyError(
                explain(
                    f"Not {self._done}: the task was told to stop.",
                    known=[f"No row was {self._done} by this try."],
                    ways=["Clear the task to start it again."],
                    section="Not sent",
                )
            )

    def _summary(self, ledger: Ledger, counts: Counts) -> dict[str, Any]:
        ticket_ids = list(itertools.islice(ledger.ticket_ids(), MAX_TICKETS + 1))
        summary = {
            "total": counts.total,
            "sent": counts.sent,
            "failed": counts.failed,
            "unknown": counts.unknown,
            "duplicates": counts.duplicate,
            "ticket_ids": ticket_ids if len(ticket_ids) <= MAX_TICKETS else None,
            "failures": ledger.failures(MAX_FAILURES),
            "report": None if self.report_path is None else str(self.report_path),
            "warnings": self._warnings or None,
        }
        return _without_none(summary)

    def _judge(
        self, run: BatchRun, counts: Counts, summary: dict[str, Any], *, durable: bool
    ) -> BatchIncompleteError | None:
        lost = counts.failed + counts.unknown
        # Decimal, because 0.29 of 100 is 29; with floats it would be 28.999999999999996
        share = isinstance(self.max_failures, float)
        allowed = Decimal(float.__repr__(self.max_failures)) * counts.total if share else self.max_failures
        if lost <= allowed and not run.must_fail:
            return None
        is_retried = durable and not run.final and self._may_help(run, counts)
        message = explain_incomplete(
            counts,
            summary["failures"],
            ended_early=run.ended_early,
            report_path=self.report_path,
            ways=self._ways(counts, is_retried=is_retried, is_durable=durable),
        )
        if is_retried:
            return BatchIncompleteError(message, summary, run.retry_after)
        return BatchFailedError(message, summary)

    def _when_writable(self, *, is_durable: bool) -> str:  # noqa: ARG002
        return "Make report_path writable, then clear the task. It deletes all rows again, and writes."

    def _ways(self, counts: Counts, *, is_retried: bool, is_durable: bool) -> list[str]:  # noqa: ARG002
        """Return what a user can do about rows that failed or are unknown."""
        return ways_after_deletions(is_retried=is_retried)

    def _may_help(self, run: BatchRun, counts: Counts) -> bool:
        """Whether a retry may be able to send a row that failed."""
        return run.retryable > 0 or run.ended_early is not None or (self.deletes and counts.unknown > 0)

    def _write(self, report: ReportFile | None, ledger: Ledger) -> None:
        if report is not None:
            report.write(ledger.report())

    def _push(self, context: Context, summary: dict[str, Any]) -> None:
        """Push the summary and each of its keys before anything raises. If a task fails, Airflow pushes nothing."""
        if self.do_xcom_push:
            for key, value in {**summary, "return_value": summary}.items():
                context["ti"].xcom_push(key=key, value=value)

    def _keep(self, context: Context, ledger: Ledger, report: ReportFile | None) -> None:
        """Save what is known when the task is being stopped. An error here must not hide the reason for the stop."""
        try:
            self._write(report, ledger)
            self._push(context, self._summary(ledger, ledger.counts()))
        except Exception as problem:  # noqa: BLE001
            log.warning(
                "%s",
                explain(
                    "The report or the XComs could not be saved.",
                    known=[
                        "" if self.report_path is None else f"report_path: {self.report_path}",
                        f"{type(problem).__name__}: {problem}",
                    ],
                ),
            )


def _without_none(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out ``None``, which Airflow 3.0 cannot push. A key that was not pushed is ``None`` when it is pulled."""
    return {key: value for key, value in summary.items() if value is not None}
