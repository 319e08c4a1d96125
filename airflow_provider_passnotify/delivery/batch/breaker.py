"""Decides when a batch gives up its server: a circuit breaker. It has no I/O. Within a try, it does not close again."""

from __future__ import annotations

import logging

from airflow_provider_passnotify.api.protocol import Outcome, Verdict

log = logging.getLogger(__name__)

MAX_UNKNOWN_IN_A_ROW = 100
"""After so many unknown requests in a row, the other rows are left for a later try."""


class CircuitBreaker:
    """Opens after a minute without success, or after :data:`MAX_UNKNOWN_IN_A_ROW` sends in a row that ended as unknown.

    The second is for a host that is not the API, and for a gateway that cannot reach it. Each redirect or 502 makes
    one row unknown, so at full speed a million rows would become unknown. An answer that certainly comes from the API
    (accepted, rejected) resets both counts. All times are in seconds, of one monotonic clock.

    :param patience: seconds.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.opened: Verdict | None = None
        """The verdict for all further rows, after it has opened."""
        self._failing_since: float | None = None
        self._unknown_since = 0.0
        self._unknown = 0

    def note(self, verdict: Verdict, *, repeatable: bool, started: float, now: float) -> None:
        """Note what an attempt came to.

        :param repeatable: whether the request is tried again although it may have been done.
        :param started: when it started. If one lost connection or one restart makes many unknown, they count as one.
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
            reason = f"given up: {why}; the last answer: {verdict.reason}"
            self.opened = Verdict(Outcome.NOT_SENT, reason, retry_after=verdict.retry_after)
            log.error("The batch ends early: %s", reason)
