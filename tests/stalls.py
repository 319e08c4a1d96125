"""For tests with short time-outs: they say nothing if the machine stood still while they ran."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

TICK_SECONDS = 0.01
MAX_PAUSE_SECONDS = 0.05
"""Shorter than any time-out in the tests."""
MAX_TRIES = 10


class _UnlessStalled:
    """Suppresses an error if this process stood still meanwhile: it was stopped, or others had the processor."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._ended.set()
        self._thread.join()
        return kind is not None and issubclass(kind, Exception) and self._longest > MAX_PAUSE_SECONDS

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            before = self._note(before)
        self._note(before)

    def _note(self, before: float) -> float:
        now = time.monotonic()
        self._longest = max(self._longest, now - before - TICK_SECONDS)
        return now


def again_if_stalled(function: T) -> T:
    """Call a function again if it failed and the machine stood still meanwhile. Any other failure counts at once."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for _ in range(MAX_TRIES - 1):
            with _UnlessStalled():
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        for _ in range(MAX_TRIES - 1):
            with _UnlessStalled():
                return await function(*args, **kwargs)
        return await function(*args, **kwargs)

    return call_async if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]
