"""The sensor's limits under Airflow 2's own scheduler and triggerer: its ``dag.test()`` ends at a time-out."""

from __future__ import annotations

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow_cluster import ENDED, Airflow

pytestmark = pytest.mark.skipif(not __version__.startswith("2."), reason="Airflow 2 only")
DAG_IDS = ("tickets_limits", "tickets_execution_limits")


def test_limits_mean_the_same_in_each_mode(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    answer = requests.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "x"}, auth=sandbox.credential)
    conf = {"ticket": answer.json()["ticketId"]}
    runs = {dag_id: airflow.trigger(dag_id, conf=conf) for dag_id in DAG_IDS}

    def tasks() -> list[dict[str, object]]:
        return [task for dag_id, run_id in runs.items() for task in airflow.tasks(dag_id, run_id)]

    airflow.wait(lambda: all(task["state"] in ENDED for task in tasks()), "all sensors to end", seconds=240)
    ends = {task["task_id"]: (task["state"], task["try_number"]) for task in tasks()}
    print(*sorted(ends.items()), sep="\n")
    for mode in ("poke", "deferrable"):
        assert ends[f"timeout_{mode}"] == ("failed", 1)
        assert ends[f"timeout_soft_{mode}"] == ("skipped", 1)
        assert ends[f"execution_timeout_{mode}"] == ("failed", 2)
        soft = ends[f"execution_timeout_soft_{mode}"]  # in poke mode, a time-out during a poke skips the task
        assert soft == ("failed", 2) or (mode == "poke" and soft[0] == "skipped")
