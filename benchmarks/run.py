"""Measures how fast our ways and other ways send notifications, and writes the page of the guide.

``python benchmarks/run.py [--quick]``. It needs the extra ``benchmark``. Nothing fails here.

Each measurement runs in a new process, against a server in another process on this machine. The variants take turns,
so that other load on the machine slows all of them. The medians of the repetitions are shown. A ratio is the median of
the ratios within one repetition.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import service

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "figures.md"
BASE, LIMIT = "http_hook", "libcurl"


@dataclass
class Variant:
    """One way of sending, and how many notifications it sends in one measurement, so that this takes a few seconds."""

    name: str
    words: str
    with_latency: int
    without_latency: int


VARIANTS = [
    Variant("mapped_tasks", "mapped HttpOperator tasks (dag.test)", 20, 0),
    Variant("http_hook", "HttpHook in a loop", 60, 1000),
    Variant("requests_loop", "requests.Session in a loop", 60, 2000),
    Variant("our_batch", "SendNotificationBatchOperator", 20_000, 20_000),
    Variant("sender", "its sender alone, without journal and report", 20_000, 20_000),
    Variant("aiohttp_loop", "aiohttp by hand", 20_000, 20_000),
    Variant("libcurl", "libcurl multi (C)", 20_000, 20_000),
]
SCENARIOS = [("50 ms of latency", 0.05, False), ("50 ms of latency, TLS", 0.05, True), ("No latency", 0.0, False)]
Figures = dict[str, list[dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer notifications; the page is not written")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds, share = (1, 0.25) if options.quick else (options.rounds, 1.0)
    text = "# Figures\n\nHow fast notifications go out, this provider and other ways side by side (`make bench`).\n\n"
    with tempfile.TemporaryDirectory() as folder:
        certificate = service.make_certificate(Path(folder, "certificate.pem"))
        for title, latency, tls in SCENARIOS:
            with service.serving(latency=latency, certificate=certificate if tls else None) as url:
                figures = measure(url, latency, rounds, share, Path(folder), certificate if tls else None)
            part = f"## {title}\n\n" + "\n".join(table(figures)) + "\n\n"
            print(part, flush=True)
            text += part
    text += about(rounds)
    if not options.quick:
        PAGE.write_text(text)
    print(about(rounds))


def measure(url: str, latency: float, rounds: int, share: float, folder: Path, certificate: Path | None) -> Figures:
    """Let the variants take turns. Return the results of each repetition."""
    figures: Figures = {}
    for round_number in range(rounds):
        for variant in VARIANTS:
            is_slow = variant.name == "mapped_tasks"
            count = variant.with_latency if latency else variant.without_latency
            if not count or (is_slow and (round_number or certificate)):
                continue
            count = count if is_slow else int(count * share)
            figures.setdefault(variant.name, []).append(run(variant.name, url, count, environment(folder, certificate)))
    return figures


def environment(folder: Path, certificate: Path | None = None) -> dict[str, str]:
    """Return the environment of a measurement: a new Airflow home in ``folder``, and our package on the path."""
    return os.environ | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "BENCHMARK_CA_FILE": str(certificate or ""),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }


def run(name: str, url: str, count: int, environment: dict[str, str]) -> dict[str, float]:
    """Run one variant in a process of its own."""
    command = [sys.executable, str(HERE / "variants.py"), name, url, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(figures: Figures) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    heads = ["", "a second", "to HttpHook", "to libcurl", "CPU s per 1,000", "peak MiB"]
    rows = [
        [
            variant.words,
            f"{_median(figures, variant.name, 'per_second'):,.1f}",
            _ratio(figures, variant.name, BASE),
            _ratio(figures, variant.name, LIMIT),
            f"{_median(figures, variant.name, 'cpu_per_1000'):.2f}",
            f"{_median(figures, variant.name, 'peak_mib'):.0f}",
        ]
        for variant in VARIANTS
        if variant.name in figures
    ]
    heads[0] = "way of sending"
    yield _line(heads)
    yield _line(["---", *["---:"] * (len(heads) - 1)])
    for row in rows:
        yield _line(row)


def about(rounds: int) -> str:
    """Say where the figures come from."""
    return (
        f"Medians of {rounds} rounds in turn, 256 connections where there are many; {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, Airflow {version('apache-airflow')}, aiohttp {version('aiohttp')}, "
        f"requests {version('requests')}; client and server on one machine, whose load average was "
        f"{os.getloadavg()[1]:.1f} at the end (on one that does other work, little but the CPU time says much). "
        "Ours includes reading the rows, the journal (15 ms a write), the report and the progress.\n"
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _median(figures: Figures, name: str, key: str) -> float:
    return median(one[key] for one in figures[name])


def _ratio(figures: Figures, name: str, base: str) -> str:
    pairs = zip(figures[name], figures[base], strict=False)
    return f"{median(one['per_second'] / other['per_second'] for one, other in pairs):.2f}"


if __name__ == "__main__":
    main()
