"""Waiting for many tickets in one triggerer: the lag of its event loop, the polls per second, the memory per ticket.

    python benchmarks/waiting.py [--tasks 1000] [--tickets 2000] [--rate 100] [--seconds 60]

There is one event loop, as in a triggerer, with a trigger for each deferred task and one trigger with many tickets. The
sandbox runs in a separate process. All tickets end at about half of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pendulum
import requests

TICK = 0.005


def serve(pipe: Connection, seconds: float) -> None:
    """Run the sandbox until told to stop."""
    from airflow_provider_passnotify.sandbox.server import running_sandbox

    with running_sandbox(ticket_seconds=seconds) as sandbox:
        pipe.send((sandbox.url, sandbox.connection, sandbox.credential))
        pipe.recv()


@contextmanager
def sandbox_process(seconds: float) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Run the sandbox in a process, so that it does not share this one's interpreter lock."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, seconds))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join()


class Lag:
    """A coroutine that measures how late the event loop wakes it, and how much the loop computed in this time.

    The second is less than the first if the machine had other work to do.
    """

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.computed: list[float] = []
        self.collections: list[float] = []

    async def watch(self) -> None:
        """Sleep in a loop, and note by how much each sleep was too long."""
        loop = asyncio.get_running_loop()
        while True:
            before, computed = loop.time(), time.thread_time()
            await asyncio.sleep(TICK)
            self.lags.append(loop.time() - before - TICK)
            self.computed.append(time.thread_time() - computed)

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Note how long Python's garbage collection took. It takes long because Airflow has much in memory."""
        if phase == "start":
            self._began = time.perf_counter()
        elif info["generation"] == 2:
            self.collections.append(time.perf_counter() - self._began)

    def __str__(self) -> str:
        return f"{_spread(self.lags)}; computing at a stretch: {_spread(self.computed)}"


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    middle, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.999)]
    return f"median {1000 * middle:.1f} ms, 99.9 % {1000 * most:.1f} ms, worst {1000 * ordered[-1]:.1f} ms"


async def fire(ticket_ids: list[int], interval: float, seconds: float) -> dict[str, Any]:
    """Make one trigger from its serialized form, and run it to its event."""
    from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger

    end = pendulum.now("UTC").add(seconds=int(seconds)).isoformat()
    one = NotificationTicketTrigger(ticket_ids, end=end, poll_interval=interval)
    async for event in NotificationTicketTrigger(**one.serialize()[1]).run():
        return dict(event.payload)
    raise AssertionError("no event")


async def run(tickets: list[int], options: argparse.Namespace, polls: Any) -> None:
    """Wait for all tickets at once, and print the cost."""
    lag = Lag()
    single, many = tickets[: options.tasks], tickets[options.tasks :]
    watchdog = asyncio.create_task(lag.watch())
    gc.callbacks.append(lag.collected)
    started, memory = time.monotonic(), tracemalloc.get_traced_memory()[0] if options.memory else 0
    waits = [[ticket_id] for ticket_id in single] + ([many] if many else [])
    tasks = []
    for ids in waits:
        tasks.append(asyncio.create_task(fire(ids, options.interval, options.seconds * 10)))
        await asyncio.sleep(0)  # as the triggerer does
    rates = []
    before = await asyncio.to_thread(polls)
    while not all(task.done() for task in tasks):
        await asyncio.sleep(1)
        if options.memory and time.monotonic() - started > options.seconds / 2:
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] - memory
            print(f"memory: {used / len(tickets):.0f} bytes per waiting ticket ({len(waits)} triggers)")
            break
        now = await asyncio.to_thread(polls)
        rates.append(now - before)
        before = now
    events = await asyncio.gather(*tasks)
    watchdog.cancel()
    print(f"ends: {dict(Counter(event['status'] for event in events))} in {time.monotonic() - started:.1f} s")
    print(f"polls: {before}, at most {max(rates, default=0)} in a second (rate of the connection: {options.rate:g})")
    print(f"lag of the event loop: {lag}")
    print(f"full garbage collections: {len(lag.collections)}, worst {1000 * max(lag.collections, default=0):.1f} ms")
    print(f"largest event: {max(len(json.dumps(event)) for event in events)} bytes")


def main() -> None:
    """Send, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000, help="deferred tasks, with one ticket each")
    parser.add_argument("--tickets", type=int, default=2000, help="tickets of one more trigger")
    parser.add_argument("--rate", type=float, default=100.0, help="requests_per_second of the connection")
    parser.add_argument("--interval", type=float, default=5.0, help="poll_interval")
    parser.add_argument("--seconds", type=float, default=60.0, help="until the tickets end")
    parser.add_argument("--memory", action="store_true", help="measure memory instead (which slows everything down)")
    options = parser.parse_args()
    with sandbox_process(options.seconds) as (url, connection, credential):
        fields = {**json.loads(connection), "extra": {"requests_per_second": options.rate}}
        os.environ["AIRFLOW_CONN_PASSNOTIFY_DEFAULT"] = json.dumps(fields)
        with requests.Session() as session:
            session.auth = credential
            body, path = {"value": "x"}, f"{url}/v1/pass/123/notify"
            tickets = [session.post(path, json=body).json()["ticketId"] for _ in range(options.tasks + options.tickets)]
            # A triggerer has already imported, at its start, what Airflow imports for its first connection.
            from airflow.providers.common.compat.sdk import BaseHook

            BaseHook.get_connection("passnotify_default")
            import airflow_provider_passnotify.triggers.passnotify

            if options.memory:
                import airflow_provider_passnotify.api.async_client  # noqa: F401  # once per process, not per ticket

                tracemalloc.start()
            asyncio.run(run(tickets, options, lambda: session.get(f"{url}/_sandbox/requests").json()["methods"]["GET"]))


if __name__ == "__main__":
    main()
