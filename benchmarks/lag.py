"""A trigger that watches the event loop of the triggerer it runs in."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

TICK = 0.005


class LagTrigger(BaseTrigger):
    """Write, each second, by how much the loop was late at most, and what garbage collection had to do with it.

    :param path: of the file to write to; a file of that name with ``.stop`` ends it.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.lag.LagTrigger", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        began, collected = [0.0], [0.0]

        def collecting(phase: str, info: dict[str, int]) -> None:  # noqa: ARG001
            if phase == "start":
                began[0] = time.perf_counter()
            else:
                collected[0] = max(collected[0], time.perf_counter() - began[0])

        gc.callbacks.append(collecting)
        stop, file = Path(self.path + ".stop"), Path(self.path)
        loop = asyncio.get_running_loop()
        try:
            while not stop.exists():  # noqa: ASYNC240
                lag, computed, second = 0.0, 0.0, loop.time() + 1
                while (before := loop.time()) < second:
                    cpu = time.thread_time()
                    await asyncio.sleep(TICK)
                    lag = max(lag, loop.time() - before - TICK)
                    computed = max(computed, time.thread_time() - cpu)
                line = {"at": time.time(), "lag": lag, "computed": computed, "collected": collected[0]}
                collected[0] = 0.0
                with file.open("a") as output:  # noqa: ASYNC230
                    output.write(json.dumps(line) + "\n")
        finally:
            gc.callbacks.remove(collecting)
        yield TriggerEvent("stopped")
