"""An example that an asset starts: no ``dag.test()`` does that on every Airflow."""

from __future__ import annotations

import pytest
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow_cluster import Airflow

pytestmark = pytest.mark.skipif(__version__.startswith("2."), reason="test_airflow_2.py has the same for Airflow 2")


def test_an_asset_starts_the_example(airflow: Airflow, sandbox: RunningSandbox) -> None:
    airflow.unpause("passnotify_gate_change")
    airflow.trigger("passnotify_gate_feed", conf={"gate": "C 7"})

    def started() -> str | None:
        runs = airflow.api("GET", "/dags/passnotify_gate_change/dagRuns")["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    run_id = airflow.wait(started, "the asset to start the example")
    airflow.wait_for_run("passnotify_gate_change", run_id, "success")
    shown = {entry["shows"]["value"] for entry in sandbox.deliveries()["passes"].values()}
    assert shown == {"BA 117: your gate is now C 7"}
