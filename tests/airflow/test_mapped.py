"""``.partial(...).expand(...)`` and ``.expand_kwargs(...)``."""

from __future__ import annotations

from local_airflow import LocalAirflow, RunResult, TaskKey

from airflow_provider_passnotify.sandbox.server import RunningSandbox


def tickets_by_value(sandbox: RunningSandbox) -> dict[tuple[str, str], int]:
    """Return the ticket of each message that a pass received."""
    return {
        (pass_id, push["value"]): push["ticketId"]
        for pass_id, entry in sandbox.deliveries()["passes"].items()
        for push in entry["received"]
    }


def failed(run: RunResult) -> set[TaskKey]:
    return {task for task, result in run.tasks.items() if result.state != "success"}


def test_mapped_tasks_return_the_ticket_of_their_own_pass(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("mapped", conf={"choice": [323, "324"]})
    assert not failed(run), run.log_text
    tickets = tickets_by_value(sandbox)
    assert run.mapped_xcoms("literal") == [tickets[pass_id, "literal"] for pass_id in ("123", "124", "125")]
    assert run.mapped_xcoms("chosen") == [tickets[pass_id, "chosen"] for pass_id in ("323", "324")]
    assert run.mapped_xcoms("kwargs") == [tickets["223", "kwargs to a pass"], tickets["124", "kwargs to a tag"]]
    assert run.xcom("count") == 2
    passes = sandbox.deliveries()["passes"]
    assert {pass_id: passes[pass_id]["shows"] for pass_id in ("123", "223")} == {"123": None, "223": None}
    assert passes["124"]["shows"] is not None


def test_one_bad_id_of_many_fails_alone(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("mapped", conf={"choice": [323, "..", 325]})
    assert failed(run) == {TaskKey("chosen", 1)}
    assert {pass_id for pass_id, value in tickets_by_value(sandbox) if value == "chosen"} == {"323", "325"}
