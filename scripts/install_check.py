"""Tries the README in a fresh virtual environment: install, connect to a sandbox, run the first DAG, get a ticketId.

``install_check.py`` runs the README's own commands; with ``--wheel FILE`` that wheel is installed, not the clone.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def main() -> None:
    """Run the steps and print how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help="installed in place of the clone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="passnotify-install-") as folder:
        home = Path(folder)
        environment = fresh_environment(home)
        with step("a fresh virtual environment"):
            subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
        install = block("shell", "pip install")
        if options.wheel:
            install = install.replace("pip install .", f"pip install {options.wheel.resolve()}")
        with step(install):
            run(install, environment)
        (home / "dags").mkdir()
        code = block("python", "dag_id=")
        (home / "dags" / "first.py").write_text(code)
        with step("airflow db migrate"):
            run("airflow db migrate", environment)
        with sandbox(environment) as connection:
            command = block("shell", "airflow dags test")
            with step(command):
                output = run(command, {**environment, "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": connection})
        found = re.search(r"ticketId (\d+)", output)
        if not found:
            sys.exit(f"no ticketId in what '{command}' printed:\n{output[-4000:]}")
        print(f"first ticketId: {found.group(1)}")


def block(language: str, word: str) -> str:
    """Return the README's first block of code in a language that holds a word."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)\n```", README, re.DOTALL)
    return next(text for text in blocks if word in text)


def fresh_environment(home: Path) -> dict[str, str]:
    """Return the environment variables of a user who has only Python."""
    foreign = ("AIRFLOW", "_AIRFLOW", "PASSNOTIFY", "PYTHON", "VIRTUAL_ENV", "MAKE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "PATH": f"{home / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def sandbox(environment: dict[str, str]) -> Iterator[str]:
    """Run the installed sandbox, and yield the connection that it prints."""
    with subprocess.Popen(
        ["passnotify-sandbox", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT.anchor
    ) as process:
        try:
            assert process.stdout is not None
            printed = process.stdout.readline() + process.stdout.readline()
            yield printed.partition("AIRFLOW_CONN_PASSNOTIFY_DEFAULT=")[2].strip().strip("'")
        finally:
            process.terminate()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is done, and how long it took."""
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)


def run(command: str, environment: dict[str, str]) -> str:
    """Run a command in the clone and return what it printed. If it fails, print that and exit."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"'{command}' failed:\n{done.stdout[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
