"""``python -m tests.chaos --rounds 300 --seed 7``: plays 300 rounds on a real Airflow, and prints the table."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.driver import Driver, Plan, long_plan, short_plan
from tests.chaos.faults import faults_of
from tests.chaos.stage import HAS_STORE, IS_AIRFLOW_2, a_stage
from tests.chaos.table import table


def main() -> None:
    """Play the rounds and print the table. The exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how many (default: every fault once in each mode)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", help="only faults whose name contains this")
    parser.add_argument("--home", type=Path, help="an empty directory to keep Airflow's logs in")
    parser.add_argument("--folder", action="store_true", default=not HAS_STORE, help="keep the journal in a folder")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    faults = faults_of(folder=options.folder, airflow_2=IS_AIRFLOW_2)
    plans = short_plan(faults) if options.rounds is None else long_plan(faults, options.rounds, chance)
    plans = [plan for plan in plans if not options.only or options.only in plan.fault.name]
    with tempfile.TemporaryDirectory() as directory:
        home = options.home or Path(directory)
        home.mkdir(exist_ok=True)
        sys.exit(asyncio.run(_play(home, plans, chance, options.seed, folder=options.folder)))


async def _play(home: Path, plans: list[Plan], chance: random.Random, seed: int, *, folder: bool) -> int:
    _clean_up_on_sigterm()
    began = time.monotonic()
    async with a_stage(home, folder=folder) as stage:
        ready = time.monotonic()
        results = await Driver(stage, chance).play(plans)
    print(table(results))
    wrong = [result for result in results if result.problems]
    for result in wrong:
        print(f"WRONG: pass {result.pass_id}, {result.plan.fault.name}, {result.plan.mode}: {result.problems}")
    played = f"{len(results)} rounds in {time.monotonic() - ready:.0f} s, Airflow started in {ready - began:.0f} s"
    print(f"seed {seed}: {played}, {len(wrong)} wrong")
    return 1 if wrong else 0


def _clean_up_on_sigterm() -> None:
    """Let the first SIGTERM end the rounds. After that, ignore SIGTERM while cleaning up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)


if __name__ == "__main__":
    main()
