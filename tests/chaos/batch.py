"""A large batch on a real Airflow: killed again and again, and marked as failed by a person.

``python -m tests.chaos.batch --rows 50000 --kills 10 --seed 7`` plays both and prints the result. The exit status is 1
if anything was wrong. With ``--folder``, the journal is in a ``journal_path``. Before Airflow 3.3, it always is.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_2_cluster import Airflow2
from tests.airflow_cluster import Airflow, running_airflow
from tests.chaos.database import a_database
from tests.chaos.stage import DAGS, HAS_STORE, IS_AIRFLOW_2

DAG_ID, TASK = "chaos_batch", "send"
FIRST_PASS = 1_000_001
TWO_CHUNKS = 2000
LATENCY = 0.03
SECONDS = 900.0
MAX_LATE = 15 if IS_AIRFLOW_2 else 1
"""Seconds from the click to the last request. Airflow 2.11 tells a task with its next heartbeat, 5 s later or more."""
DOUBT = re.compile(r"unknown: try (\d+) may have sent it")


@dataclass
class Outcome:
    """The result of one batch.

    :param text: the result as a text.
    :param problems: what is wrong.
    :param late: seconds from a person's click to the last request; ``None`` if nobody clicked.
    """

    text: str
    problems: list[str] = field(default_factory=list)
    late: float | None = None


class Stage:
    """A sandbox, an Airflow, and a file of rows.

    :param count: how many rows there are, each for another pass.
    """

    def __init__(self, home: Path, airflow: Airflow, sandbox: RunningSandbox, count: int) -> None:
        self.airflow, self.sandbox, self.count = airflow, sandbox, count
        self._rows, self._report = home / "rows.jsonl", home / "report.jsonl"
        self._latency = LATENCY
        with self._rows.open("w") as file:
            file.writelines(json.dumps({"pass_id": FIRST_PASS + n, "points": n}) + "\n" for n in range(count))

    def begin(self, latency: float = LATENCY) -> str:
        """Start a run on a sandbox that has delivered nothing yet; return the run's id.

        :param latency: seconds before each answer.
        """
        self.sandbox.reset()
        self._latency = latency
        self.hold()
        self._report.unlink(missing_ok=True)
        return self.airflow.trigger(DAG_ID, conf={"rows": str(self._rows), "report": str(self._report)})

    def process(self, run_id: str, try_number: int) -> psutil.Process:
        """Wait until a try runs, let it send, and return its process."""

        def look() -> psutil.Process | None:
            task = self.airflow.task(DAG_ID, run_id, TASK)
            assert task["state"] not in ("success", "failed"), f"it ended in try {task['try_number']}"
            is_there = task["state"] == "running" and task["try_number"] == try_number and task["pid"]
            return psutil.Process(task["pid"]) if is_there else None

        process = self.airflow.wait(look, f"try {try_number} to run", seconds=SECONDS)
        self.sandbox.clear_faults()
        self.sandbox.add_fault("latency", latency=self._latency)
        return process

    def hold(self) -> None:
        """Let no request go on, so that no try ends before it was found, however late Airflow tells of it."""
        self.sandbox.add_fault("hold", stage="headers", method="POST")

    @property
    def posts(self) -> int:
        """How many requests the sandbox has received."""
        return int(self.sandbox.requests()["methods"]["POST"])

    def wait_for_posts(self, count: int) -> None:
        """Wait until the sandbox has received so many requests."""
        self.sandbox.wait_for(count, method="POST", timeout=SECONDS)

    def judge(self) -> tuple[Outcome, Counter[int]]:
        """Compare the report with the sandbox's deliveries. Also return how many rows each try left unknown."""
        lines = [json.loads(line) for line in self._report.read_text().splitlines()]
        delivered = self.sandbox.counts()
        status = {line["target"]["pass_id"]: line["status"] for line in lines}
        unknown = Counter(int(found[1]) for line in lines if (found := DOUBT.match(line.get("error") or "")))
        told = Counter(status.values())
        twice = sum(count > 1 for count in delivered.values())
        text = f"{self.count} rows: {dict(told)} in the report, {len(delivered)} delivered, {twice} of them twice"
        everybody = {str(FIRST_PASS + number) for number in range(self.count)}
        checks = {
            "somebody got it twice": not twice,
            "somebody is not in the report exactly once": set(status) == everybody and len(lines) == self.count,
            "the report says something else": set(told) <= {"sent", "failed", "unknown"},
            "'sent' was not delivered": all(name in delivered for name, word in status.items() if word == "sent"),
            "'failed' was delivered": not any(name in delivered for name, word in status.items() if word == "failed"),
        }
        return Outcome(text, [problem for problem, is_well in checks.items() if not is_well]), unknown


def play_kills(stage: Stage, kills: int, chance: random.Random) -> Outcome:
    """Send a batch whose process is killed with SIGKILL at random moments."""
    run_id = stage.begin()
    for number in range(1, kills + 1):
        process = stage.process(run_id, number)
        posts = stage.posts
        room = (stage.count - kills * TWO_CHUNKS - posts) // (kills - number + 2)  # what each kill leaves unknown
        stage.wait_for_posts(posts + chance.randrange(1, max(2, room)))
        if number < kills:
            stage.hold()
        process.send_signal(signal.SIGKILL)
        print(f"killed try {number} after {stage.posts} requests", file=sys.stderr, flush=True)
    stage.airflow.wait_for_run(DAG_ID, run_id, {"success", "failed"}, seconds=SECONDS)
    outcome, unknown = stage.judge()
    last_try = stage.airflow.task(DAG_ID, run_id, TASK)["try_number"]
    outcome.text += f", after {last_try} tries; unknown by try: {dict(sorted(unknown.items()))}"
    if last_try != kills + 1:
        outcome.problems.append(f"{last_try} tries")
    if any(count > TWO_CHUNKS for count in unknown.values()):
        outcome.problems.append("more than two chunks unknown")
    return outcome


def play_marked_failed(stage: Stage) -> Outcome:
    """Send a batch that a person marks as failed midway."""
    # On 2.11 the task hears of it with its next heartbeat, 5 s later or more: it must not be done by then.
    run_id = stage.begin(latency=0.2)
    process = stage.process(run_id, 1)
    stage.wait_for_posts(stage.count // 10)
    clicked = time.time()
    stage.airflow.set_task_state(DAG_ID, run_id, TASK, "failed")
    psutil.wait_procs([process])
    last = datetime.fromisoformat(stage.sandbox.requests()["last"][-1]["at"]).timestamp()
    outcome, _ = stage.judge()
    outcome.late = last - clicked
    outcome.text += f"; the last request came {outcome.late:.2f} s after the click"
    if stage.posts == stage.count:
        outcome.problems.append("it was not stopped")
    if stage.airflow.task(DAG_ID, run_id, TASK)["state"] != "failed":
        outcome.problems.append("it did not stay failed")
    return outcome


@contextmanager
def a_stage(home: Path, rows: int, *, folder: bool) -> Iterator[Stage]:
    """Start the stage on the Airflow that is installed here, and stop it at the end.

    :param folder: whether the journal is in a folder, not in Airflow's store.
    """
    with running_sandbox(passes=rows) as sandbox, a_database() as database:
        connection = json.dumps({**json.loads(sandbox.connection), "extra": {"timeout": SECONDS}})
        env = {**database, "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": connection}
        if folder:
            env["AIRFLOW__PASSNOTIFY__JOURNAL_PATH"] = str(home / "journal")
        components = ("webserver", "scheduler") if IS_AIRFLOW_2 else ("api-server", "scheduler", "dag-processor")
        kind = Airflow2 if IS_AIRFLOW_2 else Airflow
        with running_airflow(home, dags_folder=DAGS, env=env, components=components, kind=kind) as airflow:
            yield Stage(home, airflow, sandbox, rows)


def main() -> None:
    """Play the batches and print the result. The exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.batch", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--folder", action="store_true", default=not HAS_STORE)
    options = parser.parse_args()
    plays: dict[str, Callable[[Stage], Outcome]] = {
        f"SIGKILL {options.kills} times": lambda stage: play_kills(stage, options.kills, random.Random(options.seed)),
        "marked failed": play_marked_failed,
    }
    wrong = 0
    with (
        tempfile.TemporaryDirectory() as directory,
        a_stage(Path(directory), options.rows, folder=options.folder) as stage,
    ):
        for name, play in plays.items():
            began = time.monotonic()
            outcome = play(stage)
            if outcome.late is not None and outcome.late > MAX_LATE:
                outcome.problems.append(f"a request started more than {MAX_LATE} s after the click")
            wrong += bool(outcome.problems)
            print(f"{name}: {outcome.text} ({time.monotonic() - began:.0f} s)")
            for problem in outcome.problems:
                print(f"WRONG: {problem}")
    print(f"seed {options.seed}, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
