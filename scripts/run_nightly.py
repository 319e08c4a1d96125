"""``make nightly``: what takes too long for each push. Every part runs, also after one that failed.

Each is a target of the Makefile. The last lines say how each went, what was skipped and why, and what the machine
lacks. ``make nightly SHORT=1`` plays each part for a few minutes at most.
"""

from __future__ import annotations

import subprocess
import sys
import time

from run_tests import RESULTS, Step, print_table, run, say

PARTS = (
    "floor",
    "ceiling",
    "sql-2.11",
    "mock-servers",
    "soak",
    "celery",
    "mutation",
    "fuzz-long",
    "simulation-long",
    "chaos-long",
    "chaos-long-2.11",
    "scale",
)


def main() -> None:
    """Run all parts, and exit with 1 if one failed."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    steps = [*(Step(target) for target in PARTS), *matrix(sys.argv[1:])]
    failed = []
    for step in steps:
        if step.counts:
            continue
        try:
            run(step)
        except SystemExit:
            failed.append(step.target)
    print_table(steps)
    say(f"{len(steps) - len(failed)} of {len(steps)} parts are well, after {(time.monotonic() - start) / 60:.0f} min")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def matrix(versions: list[str]) -> list[Step]:
    """Return a step for each Airflow on the lowest and on the highest Python that is here; what is missing is noted."""
    steps: list[Step] = []
    for airflow in versions:
        pythons = _find(airflow, "versions").stdout.split()
        for order in (sorted(pythons, key=_number), sorted(pythons, key=_number, reverse=True)):
            missing = []
            for python in order:
                found = _find(f"python{python}")
                if not found.returncode:
                    break
                missing.append(found.stderr.strip())
            step = Step(f"matrix AIRFLOW={airflow} ON={python}", note=" ".join(missing))
            if len(missing) == len(order):
                step.counts = "NOT RUN"
            if step.target not in [other.target for other in steps]:
                steps.append(step)
    return steps


def _number(version: str) -> int:
    return int(version.partition(".")[2])


def _find(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scripts/find-python.sh", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
