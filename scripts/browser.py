"""Chromium and its driver for ``make browser``: those of the machine, or Debian's packages.

    python scripts/browser.py      get them if they are not there; exit status 1 and the reason where that is impossible

If this runs as root, Debian's packages are installed. If not, they are unpacked into ``build/browser``, together with
the libraries that the machine does not have.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "browser"
PACKAGES = ("chromium", "chromium-driver")
PATIENT = ("-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120")
"""Try a download again, and wait while another apt works."""


@dataclass(frozen=True)
class Browser:
    """Where a browser is, and what its driver needs in its environment."""

    chromium: str
    driver: str
    environment: dict[str, str]


def find() -> Browser | None:
    """Return the browser of this machine, or the one that was unpacked."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium and driver:
        return Browser(chromium, driver, dict(os.environ))
    chromium_file, driver_file = FOLDER / "usr/lib/chromium/chromium", FOLDER / "usr/bin/chromedriver"
    if chromium_file.exists() and driver_file.exists():
        folders = [*FOLDER.glob("usr/lib/*-linux-gnu*"), *FOLDER.glob("lib/*-linux-gnu*")]
        below = [path for folder in folders for path in folder.iterdir() if path.is_dir()]  # some keep theirs there
        libraries = os.pathsep.join(map(str, [*folders, *below]))
        return Browser(str(chromium_file), str(driver_file), {**os.environ, "LD_LIBRARY_PATH": libraries})
    return None


def install() -> str:
    """Get the browser. Return why that failed, or an empty text if it did not."""
    if shutil.which("apt-get") is None:
        return "there is no apt-get here"
    if os.geteuid():
        return unpack()
    steps = [
        ["apt-get", *PATIENT, "update", "-qq"],
        ["apt-get", *PATIENT, "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
    ]
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            return f"'{' '.join(step)}' failed: {done.stdout[-500:]}"
    return ""


def unpack() -> str:
    """Download what would be installed, and unpack it into the folder."""
    would = subprocess.run(
        ["apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    names = re.findall(r"^Inst (\S+)", would.stdout, re.MULTILINE)
    if would.returncode or not names:
        return f"apt-get knows no package chromium: {would.stdout[-500:]}"
    archives = FOLDER / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    for command in (
        ["apt-get", *PATIENT, "download", "-qq", *names],
        ["sh", "-c", 'for file in *.deb; do dpkg -x "$file" .. || exit 1; done'],
    ):
        done = subprocess.run(
            command, cwd=archives, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            return f"'{command[0]}' failed: {done.stdout[-500:]}"
    shutil.rmtree(archives)
    return ""


def main() -> None:
    """Get the browser unless it is there."""
    if find() is None:
        print("Getting Debian's chromium and chromium-driver ...", flush=True)
        problem = install()
        if problem or find() is None:
            sys.exit(f"There is no browser for the tests, and none could be got: {problem or 'it is still not found'}")


if __name__ == "__main__":
    main()
