"""For tests with short time-outs: they say nothing if the machine stood still while they ran.

A test is repeated if this process stood still meanwhile. That one thread, or one of the processors, stood still is seen
by nobody. So any other failure is repeated once, with long time-outs: what depends on no delay fails again.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

TICK_SECONDS = 0.01
MAX_PAUSE_SECONDS = 0.05
"""Shorter than any time-out in the tests."""
MAX_TRIES = 10
LONGER = 10
"""So many times longer are the time-outs of the last try."""
_factor = 1


def patient(seconds: float) -> float:
    """Return a time-out of a test that may be repeated. It is longer in the last try."""
    return seconds * _factor


class _Try:
    """Suppresses an error, and notes whether this process stood still: it was stopped, or others had the processor."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def stalled(self) -> bool:
        """Whether this process stood still."""
        return self._longest > MAX_PAUSE_SECONDS

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._ended.set()
        self._thread.join()
        return kind is not None and issubclass(kind, Exception)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            before = self._note(before)
        self._note(before)

    def _note(self, before: float) -> float:
        now = time.monotonic()
        self._longest = max(self._longest, now - before - TICK_SECONDS)
        return now


@contextmanager
def _long_time_outs() -> Iterator[None]:
    global _factor
    _factor = LONGER
    try:
        yield
    finally:
        _factor = 1


def _tries() -> Iterator[_Try]:
    """Yield a try. It is followed by another one as long as the process stood still."""
    for _ in range(MAX_TRIES - 1):
        yield (this := _Try())
        if not this.stalled:
            return


def again_if_stalled(function: T) -> T:
    """Call a function again if it failed and the process stood still meanwhile. The last try has long time-outs.

    The function takes its time-outs from :func:`patient`.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for this_try in _tries():
            with this_try:
                return function(*args, **kwargs)
        with _long_time_outs():
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        for this_try in _tries():
            with this_try:
                return await function(*args, **kwargs)
        with _long_time_outs():
            return await function(*args, **kwargs)

    return call_async if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]
