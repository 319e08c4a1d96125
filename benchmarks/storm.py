"""Many 429: the server accepts 100 requests a second, but the batch could send thousands.

``python benchmarks/storm.py [--rows 6000] [--limit 100]`` prints what was sent, and the share of the requests that got
a 429, before and after the sender had found the right rate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path

import batch
import service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--limit", type=int, default=100, help="requests accepted in each second")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--settling", type=int, default=10, help="seconds that do not count yet")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        service.serving(latency=options.latency, limit=options.limit) as url,
    ):
        rows = batch.write_rows(Path(folder, "rows.jsonl"), options.rows)
        summary = batch.send(url, rows, Path(folder, "report.jsonl"), max_connections=256)
        with urllib.request.urlopen(f"{url}/stats") as answer:
            accepted, refused = (Counter({int(key): n for key, n in part.items()}) for part in json.load(answer))
    seconds = range(min(accepted), max(accepted) + 1)
    print(f"{summary['sent']} of {summary['total']} sent, {summary['failed']} failed, {summary['unknown']} unknown")
    print(f"{len(seconds)} s, {sum(accepted.values()) / len(seconds):.0f} accepted a second of {options.limit} allowed")
    for words, part in (("settling", seconds[: options.settling]), ("settled", seconds[options.settling :])):
        no, yes = sum(refused[second] for second in part), sum(accepted[second] for second in part)
        print(f"{words}: {no} of {no + yes} requests refused, {no / max(1, no + yes):.2%}")


if __name__ == "__main__":
    main()
