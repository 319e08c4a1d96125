"""``make test``: runs all checks, the cheapest first, and stops at the first failure. Each is a target of the Makefile.

What can stand a busy machine runs beside each other: the Airflow versions, the floor, the ceiling and the simulation
(three at a time), and a whole Airflow 3.3 and the chaos of 2.11. The output of each is shown when it has ended.
Meanwhile, the environments of the others are installed in the background. The last lines say what was skipped, what is
missing on this machine, and what failed.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path("build/test-results")
EXPECTED_MINUTES, MAX_MINUTES = 45, 60
"""The longest times on two cores. Above the first, the last lines say so. Above the second, they say it loudly."""
MAX_LINES = 12
"""So many lines of a failure are repeated at the end."""
EDGES = ("floor", "ceiling")
"""The lowest and the newest versions that the package allows. They need Pythons that a machine may not have."""


def plan(newest: str, versions: list[str]) -> list[tuple[int, list[str]]]:
    """Return groups of targets, and how many of a group run at the same time. A group begins when the last has passed.

    :param newest: the Airflow version that everything else is tested with.
    :param versions: all Airflow versions.
    """
    others = [version for version in versions if version != newest]
    airflows = [f"airflow-{version}" for version in (newest, *reversed(others))]  # the slowest first
    return [
        (1, ["lint", "types", "docs", "coverage", "fuzz", "sql", "storage", "browser"]),
        (3, [*EDGES, *airflows, "simulation"]),  # half of the time, these only wait
        (1, ["release-check"]),  # it installs into the newest Airflow's environment
        (2, ["system", "chaos-2.11"]),
        (1, [f"chaos-{newest}", "demo"]),
    ]


@dataclass
class Step:
    """One target of the Makefile, and how it went."""

    target: str
    seconds: float = 0
    counts: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    """How many tests were skipped, by reason."""
    failures: list[str] = field(default_factory=list)
    """The tests that failed, and the first lines of why."""
    note: str = ""
    """What the last lines say about it."""


class Installer(threading.Thread):
    """Makes one environment after the other in the background.

    :param versions: the Airflow versions.
    """

    def __init__(self, versions: list[str]) -> None:
        super().__init__(daemon=True)
        self.versions = versions
        self.done = {version: threading.Event() for version in versions}
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self) -> None:
        for version in self.versions:
            if self._stopped:
                return
            with self.log(version).open("wb") as log:
                self._process = subprocess.Popen(
                    ["make", f".venv-{version}/.installed"], stdout=log, stderr=log, start_new_session=True
                )
                failed = self._process.wait()
            if failed:
                self.log(version).with_suffix(".failed").touch()
            self.done[version].set()

    def log(self, version: str) -> Path:
        """Return the file with what the installation printed."""
        return RESULTS / f"install-{version}.log"

    def wait(self, version: str) -> None:
        """Wait until a version is installed; exit if it could not be."""
        if not self.done[version].is_set():
            say(f"waiting until Airflow {version} is installed ...")
        self.done[version].wait()
        if self._stopped:
            sys.exit("stopped")
        if self.log(version).with_suffix(".failed").exists():
            sys.exit(f"Airflow {version} could not be installed:\n{self.log(version).read_text()}")

    def stop(self) -> None:
        """End what still runs."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self._process.pid, signal.SIGTERM)
        for done in self.done.values():
            done.set()


def main() -> None:
    """Run the steps, and print a table and the total time at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="+", help="of Airflow")
    parser.add_argument("--newest", required=True, help="the version that everything else is tested with")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for old in RESULTS.iterdir():
        old.unlink()

    start = time.monotonic()
    install = Step(f".venv-{options.newest}/.installed")
    groups = [(n, [Step(target) for target in targets]) for n, targets in plan(options.newest, options.versions)]
    steps = [install, *(step for _, group in groups for step in group)]
    installer = Installer([version for version in options.versions if version != options.newest])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(install)
        installer.start()
        for at_once, group in groups:
            run_group(group, at_once, installer)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        installer.stop()
        print_table(steps)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    missing = [step.target for step in steps if step.counts == "NOT RUN"]
    say(f"all passed in {minutes} min {seconds} s" + (f", but NOT RUN: {', '.join(missing)}" if missing else ""))
    if minutes >= MAX_MINUTES:
        say(f"ALARM: no more than {MAX_MINUTES} minutes are allowed. Make a check faster, or move it to the night.")
    elif minutes >= EXPECTED_MINUTES:
        say(f"that is more than the expected {EXPECTED_MINUTES} minutes")


def run_group(steps: list[Step], at_once: int, installer: Installer) -> None:
    """Run steps; exit if one fails. Those that already run may end; no new one begins."""
    stopped = threading.Event()

    def run_next(step: Step) -> None:
        if stopped.is_set():
            return
        try:
            run_one(step, installer, quietly=at_once > 1)
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for future in [pool.submit(run_next, step) for step in steps]:
                future.result()
        finally:
            stopped.set()


def run_one(step: Step, installer: Installer, *, quietly: bool) -> None:
    """Run a step if its Python is here, and once its Airflow version is installed."""
    if step.target in EDGES and not has_python(step):
        step.counts = "NOT RUN"
        return
    version = step.target.partition("-")[2]
    if version in installer.done:
        installer.wait(version)
    run(step, quietly=quietly)


def has_python(step: Step) -> bool:
    """Return whether there is a Python for a step. What is missing is noted."""
    environment = {**os.environ, "UV": ".venv-uv/bin/uv"}
    found = subprocess.run(
        ["scripts/find-python.sh", step.target], env=environment, capture_output=True, text=True, check=False
    )
    step.note = found.stderr.strip()
    return found.returncode == 0


def run(step: Step, *, quietly: bool = False) -> None:
    """Run a step; exit if it fails.

    :param quietly: whether its output is shown at its end only.
    """
    say(f"make {step.target}")
    report = RESULTS / f"{re.sub('[/ =]', '-', step.target)}.xml"
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junit-xml={report}"
    start = time.monotonic()
    done = subprocess.run(
        ["make", *step.target.split()],
        env={**os.environ, "PYTEST_ADDOPTS": options},
        stdout=subprocess.PIPE if quietly else None,
        stderr=subprocess.STDOUT if quietly else None,
        text=True,
        errors="replace",  # what was killed may have printed half a character
        check=False,
    )
    step.seconds = time.monotonic() - start
    step.counts = "failed" if done.returncode else "passed"
    if quietly:
        say(f"make {step.target} printed:\n{done.stdout}")
    if report.exists():
        suite = ElementTree.parse(report).getroot()[0]
        step.skipped = Counter(skip.get("message", "").strip() for skip in suite.iter("skipped"))
        total, failures, errors, skipped = (int(suite.get(n, 0)) for n in ("tests", "failures", "errors", "skipped"))
        step.failures = [failure for case in suite.iter("testcase") for failure in why_failed(case)]
        wrong = failures + errors
        step.counts = f"{total - wrong - skipped} passed, {wrong} failed" + (f", {skipped} skipped" if skipped else "")
    if done.returncode:
        sys.exit(f"make {step.target} failed")


def why_failed(case: ElementTree.Element) -> list[str]:
    """Return the name of a test and the first lines of why it failed, once for each time that it failed."""
    name = f"{case.get('classname')}::{case.get('name')}"
    causes = [*case.iter("failure"), *case.iter("error")]
    return ["\n    ".join([name, *cause.get("message", "").splitlines()[:MAX_LINES]]) for cause in causes]


def print_table(steps: list[Step]) -> None:
    """Print how each step went. What failed comes last."""
    print()
    for step in steps:
        print(f"{step.target:<28} {step.counts or 'not run':<36} {step.seconds:6.0f} s")
    for step in steps:
        for reason, count in step.skipped.items():
            print(f"skipped in {step.target}, {count} x: {reason}")
    for step in steps:
        if step.note:
            print(f"{step.target}: {step.note}")
    for step in steps:
        for failure in step.failures:
            print(f"failed in {step.target}: {failure}")


def say(text: str) -> None:
    """Print a line that stands out."""
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    main()
