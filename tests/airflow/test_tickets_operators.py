"""``wait_for_completion`` in DAG runs: the XCom, a failed ticket, a time-out, and what a retry does."""

from __future__ import annotations

import pytest
from airflow import __version__
from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox

REMEMBERS = tuple(map(int, __version__.split(".")[:2])) >= (3, 3)
MODES = ("poke", "deferrable")


def test_the_xcom_stays_the_ticket_id(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(seconds=0)
    for ticket_id in range(1001, 1005):
        at_first = {"Status": "PROCESSING", "ID": ticket_id, "children": {}}
        sandbox.add_fault("body", path=f"/ticket/{ticket_id}$", body=at_first, times=1)
    run = airflow.run_dag("tickets_sends")
    assert run.state == "success", run.log_text
    tickets = [run.xcom(f"{verb}_{mode}") for verb in ("send", "delete") for mode in MODES]
    assert sorted(tickets) == [1001, 1002, 1003, 1004]
    requests = sandbox.requests()["methods"]
    assert (requests["POST"], requests["DELETE"]) == (2, 2)
    assert requests["GET"] == 8, "each polled twice"


def test_a_ticket_that_has_ended_at_the_first_look_needs_no_triggerer(
    airflow: LocalAirflow, sandbox: RunningSandbox
) -> None:
    sandbox.set_tickets(seconds=0)
    run = airflow.run_dag("tickets_sends")
    assert run.state == "success", run.log_text
    assert sandbox.requests()["methods"]["GET"] == 4
    assert "running trigger in line" not in run.log_text


@pytest.mark.parametrize("seconds", [0, 0.7], ids=["at the first poll", "later"])
def test_a_failed_ticket_fails_the_task_and_a_retry_sends_again(
    airflow: LocalAirflow, sandbox: RunningSandbox, seconds: float
) -> None:
    sandbox.set_tickets(seconds=seconds, final="FAILED", children={"5": "no device"})
    run = airflow.run_dag("tickets_retried")
    tries = 2 if REMEMBERS else 1  # before Airflow 3.3 a retry could not know, and every failure is final
    for mode in MODES:
        task = run.task(f"send_{mode}")
        assert (task.state, task.try_number) == ("failed", tries)
    assert sandbox.requests()["methods"]["POST"] == 2 * tries
    assert "TicketFailedError" in run.log_text
    assert 'Children of 1001: {"5": "no device"}.' in run.log_text


def test_a_time_out_names_the_last_status_and_a_retry_waits_on_without_sending(
    airflow: LocalAirflow, sandbox: RunningSandbox
) -> None:
    sandbox.set_tickets(final="Snoozing", seconds=0)
    run = airflow.run_dag("tickets_timed_out")
    for mode in MODES:
        task = run.task(f"send_{mode}")
        assert (task.state, task.try_number) == ("failed", 2 if REMEMBERS else 1)
    assert sandbox.requests()["methods"]["POST"] == 2
    assert "TicketTimeoutError" in run.log_text
    for ticket_id in (1001, 1002):
        assert f"1 of 1 tickets did not end: {ticket_id} (Snoozing)." in run.log_text


@pytest.mark.skipif(__version__.startswith("2."), reason="Airflow 2's dag.test() ends at the first AirflowTaskTimeout")
def test_execution_timeout_ends_the_wait_in_each_mode(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(hang=True)
    run = airflow.run_dag("tickets_execution_timeout")
    assert {run.task(f"send_{mode}").state for mode in MODES} == {"failed"}
    assert "AirflowTaskTimeout" in run.log_text
    assert "did not end in time (timeout)" not in run.log_text
    assert sandbox.requests()["methods"]["POST"] == 2
