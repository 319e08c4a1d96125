"""How fast all workers together may send, without I/O: a limit that drops when the server throttles, and recovers.

This is our own code: aiolimiter, the usual library, allows a burst at the start, has a fixed rate and cannot pause.
"""

from __future__ import annotations

import math

from airflow_provider_passnotify.api.back_off import back_off
from airflow_provider_passnotify.api.protocol import MAX_RETRY_AFTER_IN_WORKER

CUT = 0.8
"""The part of the rate that is left when the server throttles."""
RECOVERY = 10.0
"""Seconds until a lowered rate is back where the server throttled; then it rises faster and faster."""
SLACK = 0.05
"""Seconds that a request may start late (timers are not exact) without moving the next ones."""
_MIN_RATE = 1.0


class AdaptiveRateLimiter:
    """Hands out moments to start a request. Every time is that of one monotonic clock, in seconds.

    It is open, and costs nothing, as long as there is no limit and the server has not throttled.
    After that the rate follows the cubic curve of TCP (RFC 9438). It is soon back to just below the rate at which the
    server throttled. It stays near that rate for long, so that few requests are throttled. Then it rises quickly, in
    case the server's limit is gone.

    :param per_second: the rate that is never exceeded; ``None`` for no limit.
    :param workers: how many requests there are at once. It is the first guess if the server throttles before it has
        accepted anything.
    """

    def __init__(self, per_second: float | None, workers: int = 1) -> None:
        self._limit = per_second or math.inf
        self._workers = workers
        self._next = 0.0
        self._throttled_rate = math.inf
        self._cut_at = -math.inf
        self._resumed = 0.0
        self._cuts_in_vain = 0
        self._second_ends = 0.0
        self._accepted = self._accepted_before = 0

    @property
    def open(self) -> bool:
        """Whether every request may start at once, without asking :meth:`wait`."""
        return self._limit == self._throttled_rate == math.inf

    def rate(self, now: float) -> float:
        """Return the requests per second that are allowed now."""
        age = max(0.0, now - self._resumed) / RECOVERY - 1
        return min(self._limit, self._throttled_rate * (1 + (1 - CUT) * age**3))

    def wait(self, now: float) -> float:
        """Take the next moment to start, and return 0.0; if it has not come yet, return the seconds to wait."""
        if self._next > now:
            return self._next - now
        if now - self._resumed > 10 * RECOVERY:
            self._throttled_rate = math.inf
        moment = self._next if now - self._next < SLACK else now
        self._next = moment + 1 / self.rate(now)
        return 0.0

    def accepted(self, now: float) -> None:
        """Note that the server accepted a request."""
        if now >= self._second_ends:
            self._accepted_before, self._accepted = self._accepted, 0
            self._second_ends = now + 1
        self._accepted += 1
        self._cuts_in_vain = 0

    def throttled(self, now: float, *, started: float, retry_after: float | None = None) -> bool:
        """Pause all workers and lower the rate; return whether it was lowered.

        A request that had started before the last cut says nothing new: it only makes the pause longer.

        :param started: when the throttled request started.
        :param retry_after: the pause in seconds that the server asks for; ignored if it is longer than a worker may
            wait. There always is a short pause; it doubles from cut to cut while nothing is accepted.
        """
        pause = 0.0 if retry_after is None or retry_after > MAX_RETRY_AFTER_IN_WORKER else retry_after
        lower = started >= self._cut_at
        if lower:
            self._cut(now)
            pause = max(pause, back_off(self._cuts_in_vain))
        self._next = self._resumed = max(self._next, now + pause)
        return lower

    def _cut(self, now: float) -> None:
        seen = float(max(self._accepted, self._accepted_before))
        rate = self.rate(now)
        if rate == math.inf:
            rate = max(seen, self._workers)
        self._throttled_rate = max(_MIN_RATE, min(rate, max(seen, rate / 2)))
        self._cut_at = now
        self._accepted = self._accepted_before = 0
        self._cuts_in_vain += 1
