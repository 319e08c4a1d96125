"""``python -m tests.soak --minutes 60``: send, delete and wait for that long, and exit with 1 if anything grew.

Each round is a batch on a server that cuts connections and answers, a send and a delete by the hook, and a
trigger that waits for tickets. All run in this process, as many tasks do in a triggerer.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass

import pendulum
import psutil

from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger
from tests.batch_tools import FIRST, batch, context, passes
from tests.stores import Store

ROWS, TICKETS = 2_000, 50
WARM_UP_ROUNDS = 3
MAX_GROWTH_MIB, MAX_NEW_FILES, MAX_NEW_THREADS = 32, 8, 4
TARGET = {"target_type": "pass", "pass_id": FIRST}


@dataclass
class Size:
    """What this process holds."""

    mib: float
    files: int
    threads: int

    @classmethod
    def now(cls) -> Size:
        gc.collect()
        process = psutil.Process()
        return cls(process.memory_info().rss / 2**20, process.num_fds(), threading.active_count())

    def __str__(self) -> str:
        return f"{self.mib:.0f} MiB, {self.files} files, {self.threads} threads"


def play_round(sandbox: RunningSandbox, number: int) -> None:
    """Send, delete and wait once, and compare what was told with what was delivered."""
    sandbox.reset()
    for action in ("close_before", "close_after", "cut_body"):
        sandbox.add_fault(action, times=3, method="POST")
    summary = batch(passes(ROWS), value=f"Round {number}", max_failures=1.0).execute(context(Store()))
    assert summary["sent"] + summary["failed"] + summary["unknown"] == ROWS, summary
    delivered = sandbox.counts()
    assert max(delivered.values()) == 1, "somebody got it twice"
    assert summary["sent"] <= len(delivered) <= summary["sent"] + summary["unknown"], summary
    sandbox.clear_faults()
    hook = PassNotifyHook()
    hook.send_notification(TARGET, value="one more")
    hook.delete_notification(TARGET)
    event = asyncio.run(wait_for(summary["ticket_ids"][:TICKETS]))
    assert event["status"] == "success", event


async def wait_for(ticket_ids: list[int]) -> dict[str, object]:
    """Return the event of a trigger that waits for these tickets."""
    end = pendulum.now("UTC").add(minutes=5).isoformat()
    async for event in NotificationTicketTrigger(ticket_ids, end=end, poll_interval=0.2).run():
        return dict(event.payload)
    raise AssertionError("the trigger gave no event")


def main() -> None:
    """Play rounds until the time is over, and say what grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    end = time.monotonic() + 60 * minutes
    logging.disable(logging.WARNING)
    with running_sandbox(passes=ROWS, ticket_seconds=0) as sandbox:
        os.environ["AIRFLOW_CONN_PASSNOTIFY_DEFAULT"] = sandbox.connection
        for number in range(WARM_UP_ROUNDS):
            play_round(sandbox, number)
        first, rounds = Size.now(), WARM_UP_ROUNDS
        print(f"after {rounds} rounds: {first}", flush=True)
        while time.monotonic() < end:
            play_round(sandbox, rounds)
            rounds += 1
        last = Size.now()
    print(f"after {rounds} rounds, {rounds * ROWS:,} rows: {last}")
    grew = {
        "memory": last.mib - first.mib > MAX_GROWTH_MIB,
        "open files": last.files - first.files > MAX_NEW_FILES,
        "threads": last.threads - first.threads > MAX_NEW_THREADS,
    }
    if wrong := [name for name, is_so in grew.items() if is_so]:
        sys.exit(f"grew: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
