"""Every target type, sent to and deleted from."""

from __future__ import annotations

from local_airflow import LocalAirflow, RunResult

from airflow_provider_passnotify.sandbox.server import RunningSandbox

REACHED = {
    "pass": {"123"},
    "external_pass": {"126"},
    "segment": {"423", "424", "425"},
    "tag": {"123", "124", "125"},
    "template": {"223", "224", "225"},
    "external_template": {"323", "324", "325"},
}


def states(run: RunResult) -> dict[str, str | None]:
    return {task.task_id: result.state for task, result in run.tasks.items()}


def test_each_send_reaches_its_passes_and_returns_its_ticket(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("send_to_every_target")
    assert states(run) == dict.fromkeys(REACHED, "success"), run.log_text
    tickets: dict[str, set[int]] = {}
    reached: dict[str, set[str]] = {}
    for pass_id, entry in sandbox.deliveries()["passes"].items():
        for push in entry["received"]:
            target_type = push["value"].removeprefix("to ")
            tickets.setdefault(target_type, set()).add(push["ticketId"])
            reached.setdefault(target_type, set()).add(pass_id)
            assert push["label"] == "News"
    assert reached == REACHED
    assert {target_type: {run.xcom(target_type)} for target_type in REACHED} == tickets
    assert all(type(run.xcom(target_type)) is int for target_type in REACHED)
    assert len(set().union(*tickets.values())) == len(REACHED)


def test_each_delete_clears_its_passes_and_returns_a_ticket(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    assert airflow.run_dag("send_to_every_target").state == "success"
    run = airflow.run_dag("delete_from_every_target")
    assert states(run) == dict.fromkeys(REACHED, "success"), run.log_text
    deliveries = sandbox.deliveries()["passes"]
    assert set(deliveries) == set().union(*REACHED.values())
    assert {pass_id: entry["shows"] for pass_id, entry in deliveries.items()} == dict.fromkeys(deliveries)
    assert sandbox.requests()["methods"]["DELETE"] == len(REACHED)
    tickets = [run.xcom(target_type) for target_type in REACHED]
    assert sorted(tickets) == list(range(min(tickets), min(tickets) + len(REACHED)))  # as the sandbox numbers them
