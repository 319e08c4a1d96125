"""A batch whose process is killed with SIGKILL several times. Each try continues where the last one stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.batch_tools import IN_FLIGHT, report_lines
from tests.stores import FileStore

ROOT = Path(__file__).parents[3]
KILLS = 3
MAX_REQUESTS = 500
"""So many requests at most are received before a kill."""
MAX_UNKNOWN = 2 * 1000
"""Two chunks: so many rows at most are unknown after a kill."""
ROWS = (KILLS + 1) * (MAX_REQUESTS + MAX_UNKNOWN)
"""Enough for each try to send, however fast the machine is."""
CLOCK_STEP = timedelta(milliseconds=100)
"""A machine's clock may be set meanwhile. Each try takes some seconds, so another try's time would be noticed."""
TRY = """
import sys
from pathlib import Path
from airflow_provider_passnotify.exceptions import BatchFailedError
from tests.batch_tools import batch, context, passes
from tests.stores import FileStore
import random
folder, rows, try_number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
notifications = passes(rows)
random.Random(try_number).shuffle(notifications)  # a query without ORDER BY
operator = batch(notifications, value=f"Written by try {try_number}", report_path=str(folder.parent / "report.jsonl"))
try:
    operator.execute(context(FileStore(folder), try_number, 99))
except BatchFailedError as error:
    print(error)
"""


def start(store: FileStore, try_number: int, connection: str) -> subprocess.Popen[str]:
    env = {**os.environ, "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": connection, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TRY, str(store.folder), str(ROWS), str(try_number)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def in_doubt(store: FileStore, try_number: int) -> int:
    """Rows of a try that stand in the journal as in flight."""
    states: dict[str, str] = {}
    for stage in ("intent", "part", "outcome"):
        for file in store.folder.glob(f"*.try.{try_number}.chunk.*.{stage}"):
            states[file.name.removesuffix(f".{stage}")] = json.loads(file.read_text())["states"]
    return sum(value.count("i") for value in states.values())


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(passes=ROWS) as sandbox:
        sandbox.add_fault("latency", latency=0.03)
        yield sandbox


def test_nobody_twice_and_everyone_named(sandbox: RunningSandbox, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "journal")
    store.folder.mkdir()
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    unknown = []
    for try_number in range(1, KILLS + 1):
        process = start(store, try_number, sandbox.connection)
        sandbox.wait_for(sandbox.requests()["total"] + rng.randrange(IN_FLIGHT + 1, MAX_REQUESTS), timeout=120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        unknown.append(in_doubt(store, try_number))
        assert unknown[-1] <= MAX_UNKNOWN
        assert set(sandbox.counts().values()) == {1}
    print("unknown after each kill", unknown)
    assert any(unknown), "a kill may come between two chunks, but not each of them"

    last = start(store, KILLS + 1, sandbox.connection)
    output = last.communicate(timeout=300)[0]
    assert last.returncode == 0, output
    counts = sandbox.counts()
    lines = report_lines(tmp_path / "report.jsonl")
    by_pass = {line["target"]["pass_id"]: line for line in lines}
    assert set(counts.values()) == {1}
    assert len(lines) == len(by_pass) == ROWS
    told = Counter(line["status"] for line in lines)
    print(told)
    assert set(told) <= {"sent", "unknown"}
    assert told["unknown"] == sum(unknown)
    assert {pass_id for pass_id, line in by_pass.items() if line["status"] == "sent"} <= set(counts)
    assert ROWS - told["unknown"] <= len(counts) <= ROWS
    received = {pass_id: entry["received"][0] for pass_id, entry in sandbox.deliveries()["passes"].items()}
    senders = {push["value"] for push in received.values()}
    assert senders == {f"Written by try {number}" for number in range(1, KILLS + 2)}, "every try has sent"
    for pass_id, line in by_pass.items():
        if pass_id not in received:
            continue
        after_receipt = datetime.fromisoformat(line["at"]) - datetime.fromisoformat(received[pass_id]["at"])
        if line["status"] == "sent":
            assert received[pass_id]["value"] == f"Written by try {line['try_number']}"
            assert after_receipt >= -CLOCK_STEP
        else:
            assert after_receipt <= CLOCK_STEP, "its chunk began before it went out"
