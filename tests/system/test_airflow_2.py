"""What only Airflow 2's own scheduler, DAG processor and triggerer show: limits, assets, and the callbacks of a DAG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_2_cluster import Airflow2
from tests.airflow_cluster import ENDED, Airflow, running_airflow
from tests.chaos.database import a_database
from tests.system.test_alerts import logged, received

pytestmark = pytest.mark.skipif(not __version__.startswith("2."), reason="Airflow 2 only")
ROOT = Path(__file__).parents[2]


def ends(airflow: Airflow, dag_id: str) -> dict[str, tuple[str, int]]:
    """Wait until every task of the DAG's one run has ended, and return how, and at which try."""

    def look() -> dict[str, tuple[str, int]] | None:
        runs = airflow.api("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        tasks = airflow.tasks(dag_id, runs[0]["dag_run_id"]) if runs else []
        has_ended = tasks and all(task["state"] in ENDED for task in tasks)
        return {task["task_id"]: (task["state"], task["try_number"]) for task in tasks} if has_ended else None

    return airflow.wait(look, f"{dag_id} to end")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    dags = tmp_path_factory.mktemp("dags")
    alerts = ROOT / "tests" / "system" / "dags" / "passnotify_alerts.py"
    for file in (ROOT / "tests" / "airflow" / "dags", ROOT / "example_dags", alerts):
        (dags / file.name).symlink_to(file)
    with a_database() as database:
        if not database:
            pytest.skip("LocalExecutor needs PostgreSQL here")
        env = {**database, "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": sandbox.connection}
        with running_airflow(
            home, dags_folder=dags, env=env, components=tuple(Airflow2.components), kind=Airflow2
        ) as airflow:
            yield airflow


def test_limits_mean_the_same_in_each_mode(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    answer = requests.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "x"}, auth=sandbox.credential)
    for dag_id in ("tickets_limits", "tickets_execution_limits"):
        airflow.trigger(dag_id, conf={"ticket": answer.json()["ticketId"]})
    found = {**ends(airflow, "tickets_limits"), **ends(airflow, "tickets_execution_limits")}
    print(*sorted(found.items()), sep="\n")
    for mode in ("poke", "deferrable"):
        assert found[f"timeout_{mode}"] == ("failed", 1)
        assert found[f"timeout_soft_{mode}"] == ("skipped", 1)
        assert found[f"execution_timeout_{mode}"] == ("failed", 2)
        # Airflow skips what strikes during a look; on a busy machine that may be the one look before a deferral, too.
        assert found[f"execution_timeout_soft_{mode}"] in [("failed", 2), ("skipped", 1), ("skipped", 2)]


def test_an_asset_starts_the_example(airflow: Airflow, sandbox: RunningSandbox) -> None:
    sandbox.reset()
    airflow.unpause("passnotify_gate_change")
    airflow.trigger("passnotify_gate_feed", conf={"gate": "C 7"})
    assert ends(airflow, "passnotify_gate_change")["tell_passengers"][0] == "success"
    assert {entry["shows"]["value"] for entry in sandbox.deliveries()["passes"].values()} == {
        "BA 117: your gate is now C 7"
    }


def test_callbacks_of_a_task_and_of_its_dag(airflow: Airflow, sandbox: RunningSandbox) -> None:
    """The scheduler gives those of a DAG to its DAG processor, in whose log they are."""
    sandbox.reset()
    airflow.trigger("alert_failure")
    assert ends(airflow, "alert_failure")["fail"] == ("failed", 2)
    airflow.wait(lambda: "125" in received(sandbox), "the DAG's own alert")
    told = "alert to pass 125: sent, ticketid"
    airflow.wait(lambda: told in logged(airflow, "logs/scheduler"), "the DAG processor's log")
    airflow.trigger("alert_success")
    airflow.wait(lambda: "126" in received(sandbox), "the alert of the next DAG")
    assert received(sandbox) == {  # each once, although the DAG processor has run on
        "123": ["fail is tried again", "succeed is done"],
        "124": ["fail has failed in try 2"],
        "125": ["alert_failure: task_failure"],
        "126": ["alert_success: success"],
    }
