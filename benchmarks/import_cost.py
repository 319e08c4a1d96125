"""What importing the operators costs a DAG file, on top of ``import airflow.sdk``.

::

    python benchmarks/import_cost.py [rounds]

It prints medians of CPU seconds, because these depend less on other load than the time that passes. Each run is a new
process. Nothing fails here.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

MEASURE = """
import time
start = time.process_time()
import airflow.sdk
alone = time.process_time()
import airflow_provider_passnotify.operators.passnotify
print(alone - start, time.process_time() - alone)
"""


def measure() -> tuple[float, float]:
    """Return what ``airflow.sdk`` costs, and what the operators cost on top."""
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    alone, more = result.stdout.split()[-2:]
    return float(alone), float(more)


def main() -> None:
    """Print the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    costs = [measure() for _ in range(rounds + 1)][1:]  # the first fills the caches
    alone, more = (statistics.median(cost) for cost in zip(*costs, strict=True))
    ratio = statistics.median((alone + more) / alone for alone, more in costs)
    print(f"import airflow.sdk: {alone:.3f} s; the operators: {more:.3f} s more; ratio {ratio:.3f} ({rounds} rounds)")


if __name__ == "__main__":
    main()
