"""Memory and time of a batch of ten thousand rows against one of a million.

``python benchmarks/scale.py [--rows 10000 1000000]``: each batch in a process of its own, without latency.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import run
import service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    options = parser.parse_args()
    print(f"{'rows':>10}  {'seconds':>8}  {'a second':>8}  {'CPU s per 1,000':>15}  {'peak MiB':>8}")
    with tempfile.TemporaryDirectory() as folder, service.serving() as url:
        for rows in options.rows:
            figures = run.run("our_batch", url, rows, run.environment(Path(folder)))
            per_second = figures["per_second"]
            print(
                f"{rows:>10,}  {rows / per_second:>8.1f}  {per_second:>8,.0f}  "
                f"{figures['cpu_per_1000']:>15.2f}  {figures['peak_mib']:>8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
