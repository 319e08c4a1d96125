"""Under a real scheduler: waiting in a triggerer that dies in between; an example that an asset starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_cluster import ENDED, Airflow, running_airflow

pytestmark = pytest.mark.skipif(
    tuple(map(int, __version__.split(".")[:2])) < (3, 3), reason="the four processes of Airflow 3.3"
)
DAGS = {"system": Path(__file__).parent / "dags", "examples": Path(__file__).parents[2] / "example_dags"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(ticket_seconds=0) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    env = {"AIRFLOW_CONN_PASSNOTIFY_DEFAULT": sandbox.connection}
    dags = tmp_path_factory.mktemp("dags")
    for name, folder in DAGS.items():
        (dags / name).symlink_to(folder)
    with running_airflow(tmp_path_factory.mktemp("airflow"), dags_folder=dags, env=env) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(sandbox: RunningSandbox) -> None:
    sandbox.reset()


def test_send_defer_resume_succeed(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = airflow.trigger("system_send")
    airflow.wait_for_deferral("system_send", run_id, "send")
    sandbox.wait_for(3, method="GET")  # the worker has looked once, the triggerer goes on
    sandbox.set_tickets(1001, final="COMPLETED", seconds=0)
    airflow.wait_for_run("system_send", run_id, "success")
    assert airflow.xcom("system_send", run_id, "send") == 1001
    assert sandbox.requests()["methods"]["POST"] == 1
    assert sandbox.counts()["123"] == 1


def test_a_triggerer_that_is_killed_and_started_again_goes_on(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run_id = airflow.trigger("system_send")
    airflow.wait_for_deferral("system_send", run_id, "send")
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


def test_an_asset_starts_the_example(airflow: Airflow, sandbox: RunningSandbox) -> None:
    airflow.unpause("passnotify_gate_change")
    airflow.trigger("passnotify_gate_feed", conf={"gate": "C 7"})

    def started() -> str | None:
        runs = airflow.api("GET", "/dags/passnotify_gate_change/dagRuns")["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    run_id = airflow.wait(started, "the asset to start the example")
    assert airflow.wait_for_run("passnotify_gate_change", run_id, "success")["logical_date"] is None
    shown = {entry["shows"]["value"] for entry in sandbox.deliveries()["passes"].values()}
    assert shown == {"BA 117: your gate is now C 7"}
