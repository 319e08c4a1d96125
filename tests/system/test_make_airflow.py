"""``make airflow``: the addresses that it prints work, and it leaves nothing behind when it is stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from airflow import __version__

from tests.airflow_cluster import HANGS_SECONDS, REQUEST_SECONDS, ROOT, Airflow

pytestmark = pytest.mark.skipif(tuple(map(int, __version__.split(".")[:2])) != (3, 3), reason="it runs Airflow 3.3")


class Made:
    """A running ``make airflow``.

    :param temporary: its folder for temporary files.
    """

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        foreign = ("AIRFLOW_", "MAKE", "MFLAGS")
        self.process = subprocess.Popen(
            ["make", "airflow"],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
                "TMPDIR": str(temporary),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, text: str) -> str:
        """Return its output up to the line that contains this text. Fail if it ends before that."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if text in line:
                return printed
        raise AssertionError(f"it ended without {text!r}; it printed:\n{printed}")

    def below(self) -> list[psutil.Process]:
        """Return all processes that it has started and that are still running."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            kill([*self.below(), psutil.Process(self.process.pid)])
        self.process.wait()


def kill(processes: list[psutil.Process]) -> None:
    """Kill the processes that are still running."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def runs(process: psutil.Process) -> bool:
    """Whether a process still runs. (One that has ended stays on the list until its new parent has heard of it.)"""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    running = Made(tmp_path)
    hangs = threading.Timer(HANGS_SECONDS, running.kill)  # so that nobody waits for a line forever
    hangs.start()
    yield running
    hangs.cancel()
    running.kill()


def assert_stopped(made: Made, processes: list[psutil.Process]) -> None:
    """Wait until it has ended, and check that no process and no file is left."""
    made.read_until("All of it is stopped.")
    made.process.wait()
    left = [process for process in processes if runs(process)]
    kill(left)
    assert left == []
    assert [*made.temporary.iterdir()] == []


def test_ready_to_click(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    printed = made.read_until("Ctrl-C stops all of it.")
    assert "log in as admin, password admin" in printed
    airflow_url, sandbox_url = re.findall(r"http://127\.0\.0\.1:\d+", printed)
    assert requests.get(airflow_url, timeout=REQUEST_SECONDS).ok
    assert "<title>PassNotify sandbox</title>" in requests.get(sandbox_url, timeout=REQUEST_SECONDS).text

    airflow = Airflow(tmp_path_factory.mktemp("unused"), dags_folder=ROOT)  # for its REST calls only
    airflow.url = airflow_url
    assert airflow.api("GET", "/importErrors")["import_errors"] == []
    stored = airflow.api("GET", "/connections/passnotify_default")
    assert airflow.api("POST", "/connections/test", stored) == {
        "status": True,
        "message": "Works: the API was reached and takes the credential.",
    }
    run_id = airflow.trigger("passnotify_first")
    airflow.wait_for_run("passnotify_first", run_id, "success")
    passes = requests.get(f"{sandbox_url}/_sandbox/deliveries", timeout=REQUEST_SECONDS).json()["passes"]
    assert {number: entry["shows"]["value"] for number, entry in passes.items()} == dict.fromkeys(
        ("123", "124", "125"), "20% off any one regular priced item"
    )

    processes = made.below()
    assert len(processes) > 10, "the four of Airflow, and the workers of the scheduler"
    os.killpg(made.process.pid, signal.SIGINT)  # what Ctrl-C does in a terminal
    assert_stopped(made, processes)


def test_stopped_while_it_starts(made: Made) -> None:
    """SIGTERM arrives at ``make`` alone, which hands it on."""
    while not [*made.temporary.glob("passnotify-airflow-*/logs-of-processes/triggerer.log")]:  # it is started last
        assert made.process.poll() is None
        time.sleep(0.25)
    processes = made.below()
    made.process.terminate()
    assert_stopped(made, processes)
