"""How fast all workers together may send, without I/O: a smooth limit, lowered by refusals, restored gradually.

Own code because aiolimiter, the usual library, allows a burst at the start, has a fixed rate and cannot pause.
"""

from __future__ import annotations

import math

from airflow_provider_passnotify.api.back_off import back_off
from airflow_provider_passnotify.api.protocol import MAX_RETRY_AFTER_IN_WORKER

CUT = 0.8
"""What is left of the rate at which the server refused."""
RECOVERY = 10.0
"""Seconds until a lowered rate is back where it was refused; then it rises faster and faster."""
SLACK = 0.05
"""Seconds that a request may start late (timers and a busy loop do that) without the next ones being put off."""
_MIN_RATE = 1.0


class AdaptiveRateLimiter:
    """Hands out moments to start a request. Every time is that of one monotonic clock, in seconds.

    It is open, and costs nothing, as long as there is no limit and the server has refused nothing.
    After a refusal the rate follows the cubic curve of TCP (RFC 9438): soon back to just below the rate that was
    refused, long around it, so that few requests are refused, then up quickly, should the server's limit be gone.

    :param per_second: the rate that is never exceeded; ``None`` for no limit.
    :param workers: how many requests there are at once; the guess for a server that refused before it accepted any.
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
        """Take the next moment to start if it has come (then 0.0), else return the seconds until it may have."""
        if self._next > now:
            return self._next - now
        if now - self._resumed > 10 * RECOVERY:
            self._throttled_rate = math.inf
        moment = self._next if now - self._next < SLACK else now
        self._next = moment + 1 / self.rate(now)
        return 0.0

    def accepted(self, now: float) -> None:
        """Note that the server did what it was asked."""
        if now >= self._second_ends:
            self._accepted_before, self._accepted = self._accepted, 0
            self._second_ends = now + 1
        self._accepted += 1
        self._cuts_in_vain = 0

    def throttled(self, now: float, *, started: float, retry_after: float | None = None) -> bool:
        """Pause all and lower the rate, and return whether it was lowered.

        What had started before the last cut says nothing new: it only lengthens the pause.

        :param started: when the refused request started.
        :param retry_after: the pause that the server asks for, unless it is more than a worker should be held. In any
            case there is a short one, which doubles from cut to cut as long as nothing is accepted.
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
