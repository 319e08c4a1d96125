"""``make mutation``: break the heart in small ways, one after the other, and see whether a test notices.

``python scripts/mutation.py MINUTES`` runs mutmut (see [tool.mutmut] in pyproject.toml) for so long, and goes on where
it stopped the time before. What nobody noticed is in build/mutation.txt; ``mutmut show NAME`` prints it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

MUTMUT = str(Path(sys.executable).with_name("mutmut"))
SURVIVORS = Path("build/mutation.txt")


def main() -> None:
    """Run mutmut, and print how many of its changes were noticed, by file."""
    minutes = float(sys.argv[1])
    process = subprocess.Popen([MUTMUT, "run"], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        print(f"{minutes:g} minutes are over", flush=True)
    finally:
        stop(process)
    lines = subprocess.run([MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    results = [line.strip().rpartition(": ")[::2] for line in lines.splitlines() if ": " in line]
    counts = Counter((name.partition(".x")[0], status) for name, status in results if status != "not checked")
    for (module, status), count in sorted(counts.items()):
        print(f"{module:<55} {status:<12} {count:>5}")
    unnoticed = [name for name, status in results if status == "survived"]
    SURVIVORS.parent.mkdir(exist_ok=True)
    SURVIVORS.write_text("".join(f"{name}\n" for name in unnoticed))
    checked = sum(counts.values())
    print(f"{checked} of {len(results)} tried, {len(unnoticed)} not noticed by any test (see {SURVIVORS})")
    if not checked:
        sys.exit("mutmut tried nothing")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End mutmut and its workers."""

    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    main()
