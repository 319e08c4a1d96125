"""An event loop whose time and threads are simulated."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.simulation.process import Killed, Operation, Process


class Loop(asyncio.BaseEventLoop):
    """Runs in the main strand of a process. When it would wait, the world continues.

    Functions that are given to an executor run one after the other in another strand, as in a thread.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._ready: deque[Any]  # asyncio's
        self._process, self._now = process, 0.0
        self._selector = self  # asyncio asks it what to do next
        self._calls: deque[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_calling = False

    def time(self) -> float:
        """Return the time, which advances only if nothing else can happen."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait until the world has done something for this process."""
        if timeout is None or timeout > 0:
            process = self._process
            if timeout is not None:
                process.timer = Operation("clock", {"": (0.05, lambda: self._pass(timeout))})
            process.wake = lambda: bool(self._ready) or process.timer_rang
            process.timer_rang = False
            hooks = sys.get_asyncgen_hooks()
            events._set_running_loop(None)  # other processes of this world have loops, too
            try:
                process.wait()
            finally:
                events._set_running_loop(self)
                sys.set_asyncgen_hooks(*hooks)
                process.wake, process.timer = None, None
        return []

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002
        func: Any,
        *args: Any,
    ) -> asyncio.Future[Any]:
        """Call a function that stops before it changes the world."""
        future: asyncio.Future[Any] = self.create_future()
        self._calls.append((future, func, args))
        if not self._is_calling:
            self._is_calling = True
            self._process.beside = self._call_all
        return future

    def abandon(self) -> None:
        """Remove the coroutines of a killed process, so that they cannot disturb the next history."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()  # type: ignore[union-attr]

    def _call_all(self) -> None:
        while self._calls:
            future, function, arguments = self._calls.popleft()
            try:
                result = function(*arguments)
            except Killed:
                raise
            except Exception as error:  # noqa: BLE001 (whoever waits gets it)
                future.set_exception(error)
            else:
                future.set_result(result)
        self._is_calling = False

    def _pass(self, seconds: float) -> None:
        self._now += seconds
        self._process.timer_rang = True

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits for it."""
