"""The example DAGs run as they are, against the sandbox."""

from __future__ import annotations

from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox


def test_campaign(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_campaign")
    assert run.state == "success", run.log_text
    sends = [run.xcom(task_id) for task_id in ("send_to_tag", "send_to_template", "send_to_customer")]
    assert run.xcom("list_tickets") == [*sends, *run.mapped_xcoms("send_to_passes")]
    passes = sandbox.deliveries()["passes"]
    given = {push["ticketId"] for entry in passes.values() for push in entry["received"]}
    assert given == set(run.xcom("list_tickets"))
    assert {pass_id for pass_id, entry in passes.items() if entry["shows"] is None} == {"123", "124", "125"}
    assert run.xcom("delete_from_tag") > max(given)
