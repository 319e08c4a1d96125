"""A trigger that watches the event loop of the triggerer it runs in."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

TICK = 0.005


class LagTrigger(BaseTrigger):
    """Write three figures each second, each the largest in that second.

    How late the loop was; how long its coroutines computed without a pause (CPU time of the thread without garbage
    collection); how long a garbage collection took.

    :param path: the file to write to. A file of that name with ``.stop`` ends the trigger.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.lag.LagTrigger", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        pauses = Pauses()
        gc.callbacks.append(pauses)
        stop, file = Path(self.path + ".stop"), Path(self.path)
        loop = asyncio.get_running_loop()
        try:
            while not stop.exists():  # noqa: ASYNC240
                lag, computed, second = 0.0, 0.0, loop.time() + 1
                pauses.longest = 0.0
                while (before := loop.time()) < second:
                    cpu, collecting = time.thread_time(), pauses.cpu
                    await asyncio.sleep(TICK)
                    lag = max(lag, loop.time() - before - TICK)
                    computed = max(computed, time.thread_time() - cpu - (pauses.cpu - collecting))
                line = {"at": time.time(), "lag": lag, "computed": computed, "collected": pauses.longest}
                with file.open("a") as output:  # noqa: ASYNC230
                    output.write(json.dumps(line) + "\n")
        finally:
            gc.callbacks.remove(pauses)
        yield TriggerEvent("stopped")


class IdleTrigger(BaseTrigger):
    """Do nothing until it is stopped. This shows what a triggerer costs without us.

    :param path: a file that stops it.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.lag.IdleTrigger", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while not Path(self.path).exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(10)
        yield TriggerEvent("stopped")


class Pauses:
    """Python's garbage collection. It takes long if the process has much in memory, and most of this is Airflow."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.cpu = 0.0
        """CPU seconds of this thread, the sum of all collections."""
        self._thread = threading.get_ident()
        self._began = (0.0, 0.0)

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        now = (time.perf_counter(), time.thread_time())
        if phase == "start":
            self._began = now
            return
        self.longest = max(self.longest, now[0] - self._began[0])
        if threading.get_ident() == self._thread:
            self.cpu += now[1] - self._began[1]
