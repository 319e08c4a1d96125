"""The notifier in the callbacks of a real Airflow."""

from __future__ import annotations

from pathlib import Path

from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox


def test_callbacks_of_tasks_and_of_a_dag(airflow: LocalAirflow, sandbox: RunningSandbox, tmp_path: Path) -> None:
    run = airflow.run_dag("notifier", conf={"folder": str(tmp_path)})
    assert run.state == "failed", run.log_text
    passes = sandbox.deliveries()["passes"]
    received = {pass_id: [push["value"] for push in entry["received"]] for pass_id, entry in passes.items()}
    of_the_dag = received["125"]
    assert len(of_the_dag) == 1, run.log_text
    assert of_the_dag[0].startswith("notifier: ")
    assert sorted(received["123"]) == sorted([*(f"fail {index} failed" for index in range(12)), *of_the_dag])
    assert sorted(received["124"]) == sorted(["notifier has failures", *of_the_dag])
    assert received["126"] == ["succeed: 1"]
    assert "Alert to pass 126: sent, ticketId" in run.log_text
    assert run.log_text.count("'no_such_thing' is undefined") >= 12
    assert run.log_text.count("Alert to pass 124: not sent, because one was sent at") == 11
