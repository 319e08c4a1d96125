"""What batches that send have in common: a message, and the rules so that nobody gets it twice."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_passnotify.api.tickets import Ticket
from airflow_provider_passnotify.arguments import is_resolved_at_runtime, materialize, parse_deadline, paths_of
from airflow_provider_passnotify.delivery.journal import Delivery, OnClear
from airflow_provider_passnotify.delivery.session import final_unless_superseded
from airflow_provider_passnotify.operators.batch_base import BatchOperator
from airflow_provider_passnotify.operators.batch_words import ways_after_sends
from airflow_provider_passnotify.operators.sending import SendingOperator

if TYPE_CHECKING:
    import pendulum
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
    from airflow_provider_passnotify.delivery.batch.earlier_reports import EarlierReport
    from airflow_provider_passnotify.delivery.batch.ledger import Counts, Ledger
    from airflow_provider_passnotify.delivery.batch.resume import LeftOut
    from airflow_provider_passnotify.delivery.batch.run import BatchRun

log = logging.getLogger(__name__)


class SendingBatchOperator(SendingOperator, BatchOperator):
    """What batches that send have in common: a message, and the rules so that nobody gets it twice.

    :param value: the text for rows that have none; ``{column}`` stands for another column of the row.
    :param notification_label: the header for rows that have no ``label``.
    :param dedupe_key: for rows that have none: what makes a message different from others, if it is not the target.
        Example: ``"{order_id}"``.
    :param delivery: ``at_most_once`` (default), or ``at_least_once``: what to do with rows if nobody knows whether an
        earlier try sent them.
    :param on_clear: ``resume`` (default): a cleared task continues where it stopped. ``resend``: it sends all rows
        again.
    :param send_before: a datetime or ISO string. Rows that are not sent by then are not sent at all.
    :param resume_from: the report of an earlier run, or a list of them: paths as they were given as ``report_path``, or
        an XCom of these (``earlier.output["report"]``). Rows that a report names as sent are left out. Those that it
        names as unknown are sent only with ``delivery="at_least_once"``. Rows are matched as on a retry: by target or
        ``dedupe_key``, not by their place or text.
    """

    template_fields: Sequence[str] = tuple(
        dict.fromkeys((*BatchOperator.template_fields, *SendingOperator.template_fields, "dedupe_key", "resume_from"))
    )
    text_fields = frozenset(template_fields)

    def __init__(
        self,
        *,
        dedupe_key: str | None = None,
        on_clear: str = OnClear.RESUME.value,
        resume_from: str | os.PathLike[str] | ObjectStoragePath | Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(on_clear=on_clear, **kwargs)
        self.dedupe_key = dedupe_key
        self.resume_from = materialize(resume_from)
        self._left_out: tuple[LeftOut, ...] = ()

    def _defaults(self) -> dict[str, Any]:
        mine = {"value": self.value, "label": self.notification_label, "dedupe_key": self.dedupe_key}
        return {**super()._defaults(), **mine}

    def _check_arguments(self) -> None:
        for name in ("value", "notification_label", "dedupe_key"):
            text = getattr(self, name)
            if text is not None and not is_resolved_at_runtime(text) and not isinstance(text, str):
                raise ValueError(f"{name} must be a string, not {type(text).__name__}.")
        super()._check_arguments()
        if self.resume_from is not None and not _holds_what_comes_later(self.resume_from):
            paths_of("resume_from", self.resume_from)

    def execute(self, context: Context) -> dict[str, Any]:
        """Send what the rows say.

        :return: the summary. Each of its keys is also an XCom of its own.
        :raises BatchIncompleteError: if more rows than ``max_failures`` failed or are unknown.
        """
        with final_unless_superseded(context):
            return super().execute(context)

    def _open_journal(self, context: Context) -> ChunkJournal:
        from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal

        return ChunkJournal(
            self._task_store(context),
            resume=self.on_clear == OnClear.RESUME.value,
            delivery=Delivery(self.delivery),
        )

    def _begin(self, context: Context) -> ChunkJournal:
        self._claim(context)
        journal = self._open_journal(context)
        journal.begin()
        return journal

    def _earlier_reports(self) -> list[EarlierReport]:
        from airflow_provider_passnotify.delivery.batch.earlier_reports import EarlierReport

        return [] if self.resume_from is None else [EarlierReport(p) for p in paths_of("resume_from", self.resume_from)]

    def _check_earlier_reports(self) -> None:
        for report in self._checked(self._earlier_reports):
            self._checked(report.check)

    def _prepare(self, ledger: Ledger, journal: ChunkJournal | None) -> pendulum.DateTime | None:
        from airflow_provider_passnotify.delivery.batch.ledger import in_words
        from airflow_provider_passnotify.delivery.batch.resume import resume

        again = self.delivery == Delivery.AT_LEAST_ONCE.value
        unknown = "sent again, which may be a duplicate" if again else "not sent again automatically"
        entries = journal.read() if journal else ()
        reports = self._earlier_reports()
        known = self._checked(
            lambda: resume(ledger, entries, send_unknown=again, reports=reports, check=self._check_not_killed)
        )
        self._left_out = known.left_out
        if reports:
            log.info("%s", _told(known.left_out, unknown))
        if known.sent or known.unknown or known.gone:
            found = {
                "Rows that earlier tries sent": known.sent,
                f"Rows that are unknown from earlier tries ({unknown})": known.unknown,
                "Rows of both kinds that have another text now": known.changed,
                "Messages of earlier tries to rows that are no longer there": known.gone,
            }
            log.info("%s", " ".join(in_words(found)))
        send_before = parse_deadline(self.send_before)
        if send_before is not None and send_before.is_past() and not (known.sent or known.unknown or known.gone):
            log.warning("Not sent: send_before has passed (%s). The task is skipped.", send_before)
            raise AirflowSkipException(f"Not sent: send_before={send_before.isoformat()} has passed.")
        return send_before

    def _summary(self, ledger: Ledger, counts: Counts) -> dict[str, Any]:
        summary = super()._summary(ledger, counts)
        if self._left_out:
            summary["left_out"] = counts.left_out
            summary["resume_from"] = [
                {"report": one.path, "sent": one.sent, "unknown": one.unknown} for one in self._left_out
            ]
        return summary

    def on_tickets_failed(self, context: Context, tickets: Iterable[Ticket]) -> None:
        """Let a retry send again to the targets of these tickets."""
        self._open_journal(context).write_failed(ticket.id for ticket in tickets)

    def is_final(self, context: Context) -> bool:
        """Whether a retry would have to refuse to send."""
        return self.delivery == Delivery.AT_MOST_ONCE.value and not self._open_journal(context).is_durable

    def _when_writable(self, *, is_durable: bool) -> str:
        if is_durable and self.on_clear == OnClear.RESUME.value:
            return "Make report_path writable, then clear the task. It sends what was not sent, and writes."
        return "Make report_path writable for the next run. Do not clear the task for that."

    def _ways(self, counts: Counts, *, is_retried: bool, is_durable: bool) -> list[str]:
        from airflow_provider_passnotify.delivery.session import discards_on_clear, path_in_use

        return ways_after_sends(
            counts,
            is_retried=is_retried,
            is_durable=is_durable,
            resume=self.on_clear == OnClear.RESUME.value,
            send_unknown=self.delivery == Delivery.AT_LEAST_ONCE.value,
            has_report=self.report_path is not None,
            may_discard=discards_on_clear() and path_in_use(self.journal_path) is None,
        )

    def _may_help(self, run: BatchRun, counts: Counts) -> bool:
        return super()._may_help(run, counts) or (self.delivery == Delivery.AT_LEAST_ONCE.value and counts.unknown > 0)


def _holds_what_comes_later(value: Any) -> bool:
    return is_resolved_at_runtime(value) or (
        isinstance(value, list | tuple) and any(_holds_what_comes_later(item) for item in value)
    )


def _told(left_out: Sequence[LeftOut], unknown: str) -> str:
    """Return the line of the log that says what came of the reports of earlier runs.

    :param unknown: what is done with unknown rows.
    """
    from airflow_provider_passnotify.delivery.batch.ledger import in_words

    lines = []
    for one in left_out:
        found = {
            "Rows that it names as sent, left out now": one.sent,
            f"Rows that it names as unknown ({unknown})": one.unknown,
            "Rows of both kinds that have another text now": one.changed,
        }
        lines.append(f"{one.path}: {' '.join(in_words(found)) or 'it names none of these rows.'}")
    return f"resume_from: {' '.join(lines)}"
