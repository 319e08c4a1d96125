"""A real scheduler and one real triggerer: 1,000 deferred tasks, and one with 2,000 tickets.

    PYTHONPATH=. python benchmarks/triggerer.py [--tasks 1000] [--tickets 2000] [--rate 100]
    PYTHONPATH=. python benchmarks/triggerer.py --control

The second command is for comparison: 1,000 deferred tasks whose triggers do nothing.

The triggerer is started after all tasks have deferred, so that it starts all triggers at once. The tickets end 90 s
later. It prints how the tasks ended, the polls per second, the memory of the triggerer, and the lag of its event loop:
the longest in each second, how long its coroutines computed without a pause, and how long garbage collection took.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import requests

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_cluster import ENDED, Airflow, running_airflow
from tests.chaos.database import a_database

LATE = 0.1


def main() -> None:
    """Send, defer, start the triggerer, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--tickets", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--control", action="store_true", help="1,000 triggers that do nothing, in place of ours")
    options = parser.parse_args()
    with (
        running_sandbox(ticket_seconds=1e9) as sandbox,
        a_database() as database,
        tempfile.TemporaryDirectory() as home,
    ):
        connection = {**json.loads(sandbox.connection), "extra": {"requests_per_second": options.rate}}
        env = {
            **database,
            "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": json.dumps(connection),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "2000",
            "AIRFLOW__TRIGGERER__CAPACITY": "2000",
            "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "64",
        }
        dags = Path(__file__).parent / "waiting_dags"
        components = ("api-server", "scheduler", "dag-processor")
        with running_airflow(Path(home), dags_folder=dags, env=env, components=components) as airflow:
            lag_file = Path(home) / "lag.jsonl"
            if options.control:
                measure_control(airflow, lag_file)
            else:
                measure(airflow, sandbox, options, lag_file)
            print_blocked(airflow)


def measure(airflow: Airflow, sandbox: RunningSandbox, options: argparse.Namespace, lag_file: Path) -> None:
    """Run the DAG and print what was seen."""
    with requests.Session() as session:
        session.auth = sandbox.credential
        url = f"{sandbox.url}/v1/pass/123/notify"
        count = options.tasks + options.tickets
        tickets = [session.post(url, json={"value": "x"}).json()["ticketId"] for _ in range(count)]
    conf = {"each": tickets[: options.tasks], "many": tickets[options.tasks :], "lag_file": str(lag_file)}
    run_id = airflow.trigger("waiting", conf=conf)
    path = f"/dags/waiting/dagRuns/{run_id}/taskInstances"
    airflow.wait(lambda: _count(airflow, path, "deferred") >= options.tasks + 2, "all to defer", seconds=3600)
    polled = sandbox.requests()["methods"]["GET"]
    airflow.start("triggerer")
    airflow.wait(lambda: lag_file.exists(), "the triggerer to run")
    memory, rates, before, started = 0, [], polled, time.monotonic()
    while time.monotonic() < started + 90:
        time.sleep(1)
        now = sandbox.requests()["methods"]["GET"]
        rates.append(now - before)
        before = now
        memory = max(memory, _memory(airflow.processes["triggerer"].pid))
    waited = time.time()
    for ticket_id in tickets:
        sandbox.set_tickets(ticket_id, seconds=0)
    airflow.wait(lambda: _count(airflow, path, *ENDED) >= options.tasks + 2, "all but the watch to end", seconds=3600)
    lag_file.with_name(lag_file.name + ".stop").touch()
    airflow.wait(lambda: _count(airflow, path, *ENDED) >= options.tasks + 3, "all to end", seconds=3600)
    states = Counter(task["state"] for task in airflow.tasks("waiting", run_id))
    print(f"ends: {dict(states)} ({options.tasks} mapped, one with {options.tickets} tickets, their list, the watch)")
    print(f"polls: {sum(rates)} in {len(rates)} s, at most {max(rates)} in one (rate: {options.rate:g})")
    print_lag(lag_file, waited)
    print(f"memory of the triggerer's processes: {memory / 2**20:.0f} MiB")


def measure_control(airflow: Airflow, lag_file: Path) -> None:
    """Run the DAG whose triggers do nothing, and print what was seen."""
    run_id = airflow.trigger("idle", conf={"lag_file": str(lag_file)})
    path = f"/dags/idle/dagRuns/{run_id}/taskInstances"
    airflow.wait(lambda: _count(airflow, path, "deferred") >= 1001, "all to defer", seconds=3600)
    airflow.start("triggerer")
    airflow.wait(lambda: lag_file.exists(), "the triggerer to run")
    time.sleep(30)
    print_lag(lag_file, time.time())


def print_lag(lag_file: Path, waited: float) -> None:
    """Print what the watch saw.

    :param waited: until when the tasks waited.
    """
    lags = [json.loads(line) for line in lag_file.read_text().splitlines()]
    spans = {"waiting": [x for x in lags if x["at"] < waited], "ending": [x for x in lags if x["at"] >= waited]}
    for name, lines in spans.items():
        for key in ("lag", "computed", "collected"):
            values = sorted(1000 * line[key] for line in lines) or [0.0]
            worst = ", ".join(f"{value:.0f}" for value in values[-5:])
            print(f"{name}: {key}, most in each second: median {values[len(values) // 2]:.0f} ms, the worst {worst} ms")
        late = ", ".join(f"{n} s: {1000 * x['lag']:.0f} ms" for n, x in enumerate(lines) if x["lag"] > LATE)
        print(f"{name}: late by more than {1000 * LATE:.0f} ms in the second(s): {late or 'none'}")


def print_blocked(airflow: Airflow) -> None:
    """Print what Airflow itself says about the loop."""
    blocked = [line for line in airflow.output("triggerer").splitlines() if "async thread was blocked" in line]
    print(f"the triggerer's own warnings of a blocked loop: {len(blocked)}")


def _count(airflow: Airflow, path: str, *states: str) -> int:
    return sum(int(airflow.api("GET", path, state=state, limit=1)["total_entries"]) for state in states)


def _memory(pid: int) -> int:
    top = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [top, *top.children(recursive=True)])


if __name__ == "__main__":
    main()
