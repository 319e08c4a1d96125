"""A rate limit without I/O: it says how long to wait, the transports wait."""

from __future__ import annotations


class RateLimiter:
    """Spaces calls evenly, so that a limit per second holds in every part of a second.

    :param per_second: the rate; ``None`` for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Take the next free moment and return the seconds until it comes.

        :param now: a monotonic clock, in seconds.
        """
        moment = max(now, self._next)
        self._next = moment + self._interval
        return moment - now
