"""How long to wait before the next attempt, if the server does not say it."""

from __future__ import annotations

import random

_FIRST, _MAX = 0.5, 30.0


def back_off(attempt: int) -> float:
    """Return the seconds to wait. They double with each attempt, up to a limit. Up to half is taken off at random.

    :param attempt: how many attempts have failed, from 1.
    """
    ceiling = min(_MAX, _FIRST * 2 ** min(attempt - 1, 10))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 (jitter)
