"""When a batch gives its server up, without I/O: a circuit breaker that does not close again within the try."""

from __future__ import annotations

import logging

from airflow_provider_passnotify.api.protocol import Outcome, Verdict

log = logging.getLogger(__name__)

MAX_UNKNOWN_IN_A_ROW = 100
"""After so many requests in a row of which nobody knows whether they were done, the others are left for a later try."""


class CircuitBreaker:
    """Opens after a minute without success, or after :data:`MAX_UNKNOWN_IN_A_ROW` sends in a row that ended as unknown.

    The second is for a host that is not the API, and for a gateway that has lost it: each redirect or 502 makes one row
    unknown, and at full speed a million of them. An answer that the API surely gave (accepted, rejected) resets both
    counts. Every time is that of one monotonic clock, in seconds.

    :param patience: seconds.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.opened: Verdict | None = None
        """What becomes of every further row."""
        self._failing_since: float | None = None
        self._unknown_since = 0.0
        self._unknown = 0

    def note(self, verdict: Verdict, *, repeatable: bool, started: float, now: float) -> None:
        """Note what an attempt came to.

        :param repeatable: whether the request is tried again although it may have been done.
        :param started: when it started; many that one lost connection, or one restart, made unknown count as one.
        """
        if verdict.outcome in (Outcome.ACCEPTED, Outcome.REJECTED):
            self._failing_since, self._unknown = None, 0
            return
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self.patience:
            self._open(f"nothing was accepted for {now - self._failing_since:.0f} s", verdict)
        if verdict.outcome is Outcome.UNKNOWN and not repeatable:
            self._note_unknown(verdict, started, now)

    def _note_unknown(self, verdict: Verdict, started: float, now: float) -> None:
        if not self._unknown:
            self._unknown_since = now
        elif started < self._unknown_since:
            return
        self._unknown += 1
        if self._unknown > MAX_UNKNOWN_IN_A_ROW:
            self._open(f"{MAX_UNKNOWN_IN_A_ROW} sends in a row ended as unknown (check the connection's host)", verdict)

    def _open(self, why: str, verdict: Verdict) -> None:
        if self.opened is None:
            reason = f"given up: {why}; last: {verdict.reason}"
            self.opened = Verdict(Outcome.NOT_SENT, reason, retry_after=verdict.retry_after)
            log.error("The remaining notifications are %s", reason)
