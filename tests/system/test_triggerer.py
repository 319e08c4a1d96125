"""Waiting in a real triggerer: what docs/waiting.md says of it, also when it dies in between."""

from __future__ import annotations

import json

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow_cluster import ENDED, HANGS_SECONDS, Airflow

pytestmark = pytest.mark.skipif(__version__.startswith("2."), reason="the four processes of Airflow 3")


def defer(airflow: Airflow, dag_id: str, **conf: int) -> str:
    """Start a run of a DAG with the one task "send"; return the run's id once the task is in the triggerer."""
    run_id = airflow.trigger(dag_id, conf=conf)
    airflow.wait_for_deferral(dag_id, run_id, "send")
    return run_id


def test_send_defer_resume_succeed(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    sandbox.wait_for(3, method="GET", timeout=HANGS_SECONDS)  # the worker has looked once, the triggerer goes on
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send", run_id, "success")
    assert airflow.xcom("system_send", run_id, "send") == 1001
    assert sandbox.requests()["methods"]["POST"] == 1
    assert sandbox.counts()["123"] == 1


def test_a_triggerer_that_is_killed_and_started_again_goes_on(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    sandbox.wait_for(3, method="GET", timeout=HANGS_SECONDS)
    airflow.kill("triggerer")
    polls = sandbox.requests()["methods"]["GET"]
    airflow.start("triggerer")
    sandbox.wait_for(polls + 2, method="GET", timeout=HANGS_SECONDS)
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
    )
    ends: dict[str, dict[str, tuple[str, int]]] = {}
    for task in airflow.tasks("system_sensors", run_id):
        name, _, mode = task["task_id"].partition(".")
        modes = ends.setdefault(name, {})
        if mode == "reschedule" and task["try_number"] > 1:
            continue  # Airflow's scheduler now and then takes what reschedules within a second for a failed try
        if (name, task["state"]) == ("execution_timeout_soft", "skipped"):
            continue  # Airflow skips where execution_timeout strikes during a poll: see the guide's page on the sensor
        modes[mode] = (task["state"], task["try_number"])
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


def test_polls_that_fail_fail_nothing(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    polls = sandbox.requests()["methods"]["GET"]
    sandbox.add_fault("status", method="GET", status=500, times=1)
    sandbox.add_fault("close_after", method="GET", times=1)
    sandbox.add_fault("status", method="GET", status=429, retry_after=1, times=1)
    sandbox.add_fault("body", method="GET", times=1)
    sandbox.wait_for(polls + 6, method="GET", timeout=HANGS_SECONDS)
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send", run_id, "success")
    assert sandbox.requests()["methods"]["POST"] == 1


def test_a_refused_credential_fails_at_once(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send")
    sandbox.add_fault("status", method="GET", status=401)
    airflow.wait_for_run("system_send", run_id, "failed")
    assert "HTTP 401" in airflow.task_log("system_send", run_id, "send")
    assert sandbox.requests()["methods"]["POST"] == 1


def test_a_connection_that_is_gone_fails_after_three_look_ups(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    airflow.api("POST", "/connections", {"connection_id": "stored", **json.loads(sandbox.connection)})
    run_id = defer(airflow, "system_send_stored")
    airflow.kill("triggerer")
    airflow.api("DELETE", "/connections/stored")
    airflow.start("triggerer")
    airflow.wait_for_run("system_send_stored", run_id, "failed")
    told = airflow.task_log("system_send_stored", run_id, "send")
    assert "Looked up 3 times in a row" in told
    assert "stored" in told
    assert sandbox.requests()["methods"]["POST"] == 1


def test_a_hung_ticket_holds_up_no_other_task(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    hung = defer(airflow, "system_send")
    sandbox.add_fault("hold", method="GET", stage="headers", path="/ticket/1001$")
    sandbox.wait_for(held=1, timeout=HANGS_SECONDS)
    other = defer(airflow, "system_send_other")
    sandbox.set_tickets(1002, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send_other", other, "success")
    assert airflow.task("system_send", hung, "send")["state"] == "deferred"
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    sandbox.clear_faults()
    airflow.wait_for_run("system_send", hung, "success")


def test_a_retry_after_a_failed_ticket_sends_again(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = defer(airflow, "system_send_again")
    sandbox.set_tickets(final="COMPLETED", seconds=0)
    sandbox.set_tickets(1001, final="FAILED", seconds=0)
    airflow.wait_for_run("system_send_again", run_id, "success")
    assert airflow.xcom("system_send_again", run_id, "send") == 1002
    assert sandbox.requests()["methods"]["POST"] == 2
