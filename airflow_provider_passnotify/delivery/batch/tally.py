"""Counts the results of one try and writes them into the ledger. This module does not import Airflow."""

from __future__ import annotations

from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Result, Status

_LEDGER_BATCH = 500
"""Results that are written into the ledger at once."""


class Tally:
    """The results of one try."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._results: list[Result] = []
        self.counts = dict.fromkeys(Status, 0)
        self.retryable = 0
        """Rows that were certainly not sent, and that a retry may be able to send."""
        self.retry_after = 0.0
        """The longest wait that the API asked for with a row that was not sent, in seconds."""

    @property
    def done(self) -> int:
        """How many rows have a result."""
        return sum(self.counts.values())

    def add(self, row: int, verdict: Verdict, at: int) -> Status:
        """Add the result of a row. Return its status, as the report names it.

        :param row: its number.
        :param at: when that was known, in milliseconds since 1970.
        """
        if verdict.outcome is Outcome.ACCEPTED:
            result = Result(row, Status.SENT, verdict.ticket_id, at=at)
        elif verdict.outcome is Outcome.UNKNOWN:
            result = Result(row, Status.UNKNOWN, None, f"unknown: {verdict.reason}", verdict.status_code, at)
        else:
            result = Result(row, Status.FAILED, None, verdict.reason, verdict.status_code, at)
            self.retryable += verdict.outcome is Outcome.NOT_SENT
        self.retry_after = max(self.retry_after, verdict.retry_after or 0.0)
        self.counts[result.status] += 1
        self._results.append(result)
        if len(self._results) >= _LEDGER_BATCH:
            self.flush()
        return result.status

    def flush(self) -> None:
        """Write the results that are not in the ledger yet."""
        self._ledger.record(self._results)
        self._results = []
