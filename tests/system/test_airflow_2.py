"""The sensor's limits under Airflow 2's own scheduler and triggerer: its ``dag.test()`` ends at a time-out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.chaos.database import a_database

pytestmark = pytest.mark.skipif(not __version__.startswith("2."), reason="Airflow 2 only")
ROOT = Path(__file__).parents[2]
ENDED = {"success", "failed", "skipped", "upstream_failed"}


class Airflow2:
    """A scheduler and a triggerer on PostgreSQL.

    :param home: an empty directory.
    :param database: the settings of the database.
    :param connection: ``passnotify_default``.
    """

    def __init__(self, home: Path, database: dict[str, str], connection: str) -> None:
        self.address = database["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        self.env = {
            **kept,
            **database,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": connection,
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        self.home = home
        (home / "dags").mkdir()
        for folder in (ROOT / "tests" / "airflow" / "dags", ROOT / "example_dags"):
            (home / "dags" / folder.name).symlink_to(folder)

    def run(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "airflow", *arguments], env=self.env, cwd=self.home, check=True)

    def start(self, name: str, stack: ExitStack) -> None:
        with (self.home / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", name, "--skip-serve-logs"],
                env=self.env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)

    def ends(self, dag_id: str) -> dict[str, tuple[str, int]]:
        """Wait until every task of the DAG's one run has ended, and return how, and at which try."""
        import psycopg2

        end = time.monotonic() + 240
        while True:
            with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
                cursor.execute("select task_id, state, try_number from task_instance where dag_id = %s", (dag_id,))
                rows: list[Any] = cursor.fetchall()
            if rows and all(state in ENDED for _, state, _ in rows):
                return {task_id: (state, tries) for task_id, state, tries in rows}
            assert time.monotonic() < end, f"{rows}\n{(self.home / 'scheduler.log').read_text()[-4000:]}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow2]:
    with a_database() as database, ExitStack() as stack:
        if not database:
            pytest.skip("LocalExecutor needs PostgreSQL here")
        airflow = Airflow2(tmp_path_factory.mktemp("airflow"), database, sandbox.connection)
        airflow.run("db", "migrate")
        for name in ("scheduler", "triggerer"):
            airflow.start(name, stack)
        airflow.run("dags", "reserialize")
        yield airflow


def test_limits_mean_the_same_in_each_mode(airflow: Airflow2, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    answer = requests.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "x"}, auth=sandbox.credential)
    for dag_id in ("tickets_limits", "tickets_execution_limits"):
        airflow.run("dags", "unpause", dag_id)
        airflow.run("dags", "trigger", dag_id, "--conf", json.dumps({"ticket": answer.json()["ticketId"]}))
    ends = {**airflow.ends("tickets_limits"), **airflow.ends("tickets_execution_limits")}
    print(*sorted(ends.items()), sep="\n")
    for mode in ("poke", "deferrable"):
        assert ends[f"timeout_{mode}"] == ("failed", 1)
        assert ends[f"timeout_soft_{mode}"] == ("skipped", 1)
        assert ends[f"execution_timeout_{mode}"] == ("failed", 2)
        soft = ends[f"execution_timeout_soft_{mode}"]  # in poke mode, a time-out during a poke skips the task
        assert soft == ("failed", 2) or (mode == "poke" and soft[0] == "skipped")


def test_an_asset_starts_the_example(airflow: Airflow2, sandbox: RunningSandbox) -> None:
    sandbox.reset()
    for dag_id in ("passnotify_gate_change", "passnotify_gate_feed"):
        airflow.run("dags", "unpause", dag_id)
    airflow.run("dags", "trigger", "passnotify_gate_feed", "--conf", json.dumps({"gate": "C 7"}))
    assert airflow.ends("passnotify_gate_change")["tell_passengers"][0] == "success"
    assert {entry["shows"]["value"] for entry in sandbox.deliveries()["passes"].values()} == {
        "BA 117: your gate is now C 7"
    }
