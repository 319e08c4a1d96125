"""``make test``: every check, the cheapest first, up to the first that fails; each is a target of the Makefile.

While one Airflow version is tested, the environment of the next is installed in the background.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path("build/test-results")


@dataclass
class Step:
    """One target of the Makefile, and how it went."""

    target: str
    seconds: float = 0
    counts: str = ""


class Installer(threading.Thread):
    """Makes one environment after the other in the background.

    :param versions: of Airflow.
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
        if self.log(version).with_suffix(".failed").exists():
            sys.exit(f"Airflow {version} could not be installed:\n{self.log(version).read_text()}")

    def stop(self) -> None:
        """End what still runs."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)


def main() -> None:
    """Run the steps, and close with a table and the total time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="+", help="of Airflow")
    parser.add_argument("--newest", required=True, help="the version that everything else is tested with")
    options = parser.parse_args()
    later = [version for version in options.versions if version != options.newest]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for old in RESULTS.iterdir():
        old.unlink()

    start = time.monotonic()
    steps = [Step(f".venv-{options.newest}/.installed")]
    steps += [Step(target) for target in ("lint", "types", "docs", "unit")]
    steps += [Step(f"airflow-{version}") for version in (options.newest, *later)] + [Step("system"), Step("chaos")]
    installer = Installer(later)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for number, step in enumerate(steps, start=1):
            version = step.target.removeprefix("airflow-")
            if version in installer.done:
                installer.wait(version)
            say(f"{number}/{len(steps)} make {step.target}")
            run(step)
            if number == 1:
                installer.start()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        installer.stop()
        print_table(steps)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    say(f"all passed in {minutes} min {seconds} s")


def run(step: Step) -> None:
    """Run a step; exit if it fails."""
    report = RESULTS / f"{step.target.replace('/', '-')}.xml"
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junit-xml={report}"
    start = time.monotonic()
    failed = subprocess.run(
        ["make", step.target], env={**os.environ, "PYTEST_ADDOPTS": options}, check=False
    ).returncode
    step.seconds = time.monotonic() - start
    step.counts = "failed" if failed else "passed"
    if report.exists():
        suite = ElementTree.parse(report).getroot()[0]
        total, failures, errors, skipped = (int(suite.get(n, 0)) for n in ("tests", "failures", "errors", "skipped"))
        wrong = failures + errors
        step.counts = f"{total - wrong - skipped} passed, {wrong} failed" + (f", {skipped} skipped" if skipped else "")
    if failed:
        sys.exit(f"make {step.target} failed")


def print_table(steps: list[Step]) -> None:
    """Print how each step went."""
    print()
    for step in steps:
        print(f"{step.target:<20} {step.counts or 'not run':<36} {step.seconds:6.0f} s")


def say(text: str) -> None:
    """Print a line that stands out."""
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    main()
