"""Plays histories of the simulated Airflow: ``python -m tests.simulation`` (``make simulation``). Options play more.

One seed is one history: ``python -m tests.simulation --seed 7`` plays it again and shows all that happened.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.choices import Deviations
from tests.simulation.explore import explore
from tests.simulation.history import History, from_seed, play
from tests.simulation.settings import Settings

TOLD = 10


def main() -> None:
    """Play one history, or many. The exit status is 1 if a rule was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one history and show it")
    parser.add_argument("--settings", help="with --deviations: play this one history and show it")
    parser.add_argument("--deviations", default="0:0", help="place:way,place:way ...")
    parser.add_argument("--histories", type=int, default=50_000, help="at random (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="of those at random")
    parser.add_argument("--depth", type=int, default=1, help="play all with so many troubles (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.seed is not None:
        show(play(*from_seed(options.seed)))
    elif options.settings is not None:
        at = dict(tuple(map(int, part.split(":"))) for part in options.deviations.split(","))
        show(play(Settings.parse(options.settings), Deviations(at)))
    else:
        play_many(options)


def show(history: History) -> None:
    """Print one history."""
    print(history.settings)
    print(*history.trace, sep="\n")
    print(history.violation or "All that is promised held.")
    sys.exit(history.violation is not None)


def play_many(options: argparse.Namespace) -> None:
    """Play many histories, and print the results."""
    start = time.monotonic()
    found = explore(
        first_seed=options.first_seed, seeds=options.histories, depth=options.depth, processes=options.processes
    )
    print(
        f"{found.histories:,} histories ({options.histories:,} at random, the others all with {options.depth} or "
        f"{options.depth + 1} troubles), {found.steps:,} steps, {found.pushes:,} pushes, "
        f"{time.monotonic() - start:.0f} s."
    )
    print("In so many of them happened:")
    for name, count in sorted(found.happened.items()):
        if name:
            print(f"  {name:<36} {count:>9,}")
    for violation, how in found.violations[:TOLD]:
        print(f"VIOLATED: {violation}\n  python -m tests.simulation {how}")
    if found.violations:
        sys.exit(f"{len(found.violations)} histories broke what is promised.")
    print("All that is promised held in each of them.")


if __name__ == "__main__":
    main()
