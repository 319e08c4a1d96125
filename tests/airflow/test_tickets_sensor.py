"""The sensor in DAG runs: its arguments, its result, and its limits, which mean the same in each mode."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from airflow import __version__
from local_airflow import LocalAirflow, RunResult, TaskKey

from airflow_provider_passnotify.sandbox.server import RunningSandbox

NEEDS_DAG_TEST_OF_3 = pytest.mark.skipif(
    __version__.startswith("2."), reason="Airflow 2's dag.test() ends at the first AirflowTaskTimeout"
)
ALL = ("hard_poke", "soft_poke", "hard_deferrable", "soft_deferrable")


def send(sandbox: RunningSandbox, count: int = 1, **behaviour: Any) -> list[int]:
    """Send notifications, and return their tickets, which continue as the arguments say."""
    sandbox.set_tickets(**{"seconds": 0, **behaviour})
    url = f"{sandbox.url}/v1/pass/123/notify"
    return [requests.post(url, json={"value": "x"}, auth=sandbox.credential).json()["ticketId"] for _ in range(count)]


def ends(run: RunResult) -> dict[str, tuple[str | None, int]]:
    return {key.task_id: (task.state, task.try_number) for key, task in run.tasks.items()}


@pytest.mark.parametrize("shape", ["id", "text", "list", "empty"])
def test_it_takes_an_id_a_list_or_nothing(airflow: LocalAirflow, sandbox: RunningSandbox, shape: str) -> None:
    first, second = send(sandbox, 2, seconds=1)
    given, expected = {
        "id": (first, [first]),
        "text": (str(first), [first]),
        "list": ([second, str(first), second], [second, first, second]),
        "empty": ([], []),
    }[shape]
    run = airflow.run_dag("tickets_given", conf={"tickets": given})
    assert run.state == "success", run.log_text
    assert "cannot be called outside TaskInstance" not in run.log_text
    assert run.xcom("rendered", "before") == "seen", "the user's own pre_execute"
    for task_id in (*ALL, "rendered"):
        states = run.xcom(task_id)
        assert [state["id"] for state in states] == expected
        assert all((state["status"], state["state"]) == ("COMPLETED", "succeeded") for state in states)
        assert all(state["created_at"].endswith("+00:00") for state in states)


def test_a_failed_ticket_fails_it_without_retry_once_all_have_ended(
    airflow: LocalAirflow, sandbox: RunningSandbox
) -> None:
    [failed] = send(sandbox, final="FAILED", children={"7": "gone"})
    [other] = send(sandbox, seconds=2)
    run = airflow.run_dag("tickets_given", conf={"tickets": [failed, other]})
    expected = {
        "hard_poke": "failed",
        "soft_poke": "skipped",
        "hard_deferrable": "failed",
        "soft_deferrable": "skipped",
    }
    assert {task_id: end for task_id, end in ends(run).items() if task_id in ALL} == {
        task_id: (state, 1) for task_id, state in expected.items()
    }
    assert f"1 of 2 tickets failed: {failed} (FAILED)." in run.log_text
    assert f'Children of {failed}: {{"7": "gone"}}.' in run.log_text
    for task_id in ALL:
        states = run.xcom(task_id)
        assert [(state["id"], state["state"]) for state in states] == [(failed, "failed"), (other, "succeeded")]
        assert states[0]["children"] == {"7": "gone"}


def test_an_unknown_ticket_fails_at_once_with_its_id(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    [hanging] = send(sandbox, hang=True)
    run = airflow.run_dag("tickets_given", conf={"tickets": [999_999, hanging]})
    assert {ends(run)[task_id] for task_id in ("hard_poke", "hard_deferrable")} == {("failed", 1)}
    assert {ends(run)[task_id] for task_id in ("soft_poke", "soft_deferrable")} == {("skipped", 1)}
    assert "Not looked up: ticket 999999: rejected (HTTP 404)." in run.log_text


@pytest.mark.parametrize("value", [None, "None", True, -1, "abc", [1, None], {"id": 1}, 1.5])
def test_what_is_no_ticket_id_fails_hard_and_at_once(
    airflow: LocalAirflow, sandbox: RunningSandbox, value: Any
) -> None:
    run = airflow.run_dag("tickets_given", conf={"tickets": value})
    assert {ends(run)[task_id] for task_id in ALL} == {("failed", 1)}
    if value in (None, "None"):
        assert "ticket_id came to nothing" in run.log_text
    else:
        name = "ticket_id[1]" if isinstance(value, list) else "ticket_id"
        assert f"{name} must be a ticketId, a whole number from 0" in run.log_text
    assert sandbox.requests()["methods"]["GET"] == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [("<html>", "without a JSON body"), ("[]", "is no JSON object"), ('{"ID": 1}', "has no status")],
)
def test_a_timeout_means_the_same_in_each_mode(
    airflow: LocalAirflow, sandbox: RunningSandbox, body: str, problem: str
) -> None:
    [ticket_id] = send(sandbox, raw=body)
    run = airflow.run_dag("tickets_limits", conf={"ticket": ticket_id})
    for mode in ("poke", "deferrable"):
        assert ends(run)[f"timeout_{mode}"] == ("failed", 1), "a sensor's timeout is final"
        assert ends(run)[f"timeout_soft_{mode}"] == ("skipped", 1)
    assert f"{ticket_id} (no answer yet)." in run.log_text
    assert "The last problem: " in run.log_text
    assert problem in run.log_text
    assert run.log_text.count("FinalTicketTimeoutError: ") >= 2


@NEEDS_DAG_TEST_OF_3
def test_execution_timeout_means_the_same_in_each_mode(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    [ticket_id] = send(sandbox, hang=True)
    run = airflow.run_dag("tickets_execution_limits", conf={"ticket": ticket_id})
    for mode in ("poke", "deferrable"):
        assert ends(run)[f"execution_timeout_{mode}"] == ("failed", 2), "it is not final"
        soft = ends(run)[f"execution_timeout_soft_{mode}"]  # in poke mode, a time-out during a poke skips the task
        assert soft == ("failed", 2) or (mode == "poke" and soft[0] == "skipped"), "soft_fail does not cover it"
    assert f"Ticket {ticket_id} did not end in time (execution_timeout)." in run.log_text


def test_the_example(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_wait")
    assert run.state == "success", run.log_text
    sent = run.mapped_xcoms("send_to_passes")
    assert [state["id"] for state in run.xcom("all_out")] == sent
    assert run.xcom("report") == 3
    assert sandbox.requests()["methods"]["POST"] == 5
    assert run.task("tell_everyone") == run.tasks[TaskKey("tell_everyone")]
