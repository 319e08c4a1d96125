"""A rate limit without I/O. It says how long to wait. The transports do the waiting."""

from __future__ import annotations


class RateLimiter:
    """Puts equal time between calls, so that the limit per second also holds within parts of a second.

    :param per_second: the rate; ``None`` for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Reserve the next free moment and return the seconds until then.

        :param now: a monotonic clock, in seconds.
        """
        moment = max(now, self._next)
        self._next = moment + self._interval
        return moment - now
