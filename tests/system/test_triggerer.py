"""Waiting in a real triggerer, also when it dies in between."""

from __future__ import annotations

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow_cluster import ENDED, Airflow

pytestmark = pytest.mark.skipif(__version__.startswith("2."), reason="the four processes of Airflow 3")


def defer(airflow: Airflow, dag_id: str, **conf: int) -> str:
    """Start a run of a DAG with the one task "send"; return the run's id once the task is in the triggerer."""
    run_id = airflow.trigger(dag_id, conf=conf)
    airflow.wait_for_deferral(dag_id, run_id, "send")
    return run_id


def test_send_defer_resume_succeed(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    sandbox.wait_for(3, method="GET")  # the worker has looked once, the triggerer goes on
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send", run_id, "success")
    assert airflow.xcom("system_send", run_id, "send") == 1001
    assert sandbox.requests()["methods"]["POST"] == 1
    assert sandbox.counts()["123"] == 1


def test_a_triggerer_that_is_killed_and_started_again_goes_on(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    sandbox.wait_for(3, method="GET")
    airflow.kill("triggerer")
    polls = sandbox.requests()["methods"]["GET"]
    airflow.start("triggerer")
    sandbox.wait_for(polls + 2, method="GET", timeout=120)
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send", run_id, "success")
    assert airflow.xcom("system_send", run_id, "send") == 1001
    assert sandbox.requests()["methods"]["POST"] == 1
    assert sandbox.counts()["123"] == 1


def test_a_sensor_ends_alike_in_every_mode(airflow: Airflow, sandbox: RunningSandbox) -> None:
    tickets = {}
    for name, behaviour in {"hanging": {"hang": True}, "failed": {"final": "FAILED"}, "done": {}}.items():
        sandbox.set_tickets(**behaviour, seconds=0)  # type: ignore[arg-type]
        answer = requests.post(f"{sandbox.url}/v1/pass/124/notify", json={"value": name}, auth=sandbox.credential)
        tickets[name] = answer.json()["ticketId"]
    run_id = airflow.trigger("system_sensors", conf=tickets)
    airflow.wait(
        lambda: all(task["state"] in ENDED for task in airflow.tasks("system_sensors", run_id)),
        "all sensors to end",
        seconds=300,
    )
    ends: dict[str, dict[str, tuple[str, int]]] = {}
    for task in airflow.tasks("system_sensors", run_id):
        name, _, mode = task["task_id"].partition(".")
        if mode == "reschedule" and task["try_number"] > 1:
            continue  # Airflow's scheduler now and then takes what reschedules within a second for a failed try
        if (name, mode, task["state"]) == ("execution_timeout_soft", "poke", "skipped"):
            continue  # Airflow skips where execution_timeout strikes during a poll: see the guide's page on the sensor
        ends.setdefault(name, {})[mode] = (task["state"], task["try_number"])
    print(*ends.items(), sep="\n")
    once, twice = ("failed", 1), ("failed", 2)
    expected = {
        "timeout": once,
        "timeout_soft": ("skipped", 1),
        "execution_timeout": twice,
        "execution_timeout_soft": twice,
        "failed": once,
        "failed_soft": ("skipped", 1),
        "unknown": once,
        "unknown_soft": ("skipped", 1),
        "done": ("success", 1),
    }
    assert ends == {name: dict.fromkeys(ends[name], end) for name, end in expected.items()}
    for mode in ("poke", "reschedule", "deferrable"):
        [state] = airflow.xcom("system_sensors", run_id, f"done.{mode}")
        assert (state["id"], state["state"]) == (tickets["done"], "succeeded")
        [state] = airflow.xcom("system_sensors", run_id, f"failed.{mode}")
        assert (state["id"], state["state"]) == (tickets["failed"], "failed")
