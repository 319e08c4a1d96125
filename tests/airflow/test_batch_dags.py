"""Batches in DAG runs of a real Airflow."""

from __future__ import annotations

import pytest
from airflow import __version__
from local_airflow import LocalAirflow, RunResult

from airflow_provider_passnotify.sandbox.server import RunningSandbox

AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])


def texts(sandbox: RunningSandbox) -> dict[str, list[str]]:
    """Return the messages that each pass received."""
    passes = sandbox.deliveries()["passes"]
    return {pass_id: [push["value"] for push in entry["received"]] for pass_id, entry in passes.items()}


@pytest.fixture
def batches(airflow: LocalAirflow, sandbox: RunningSandbox) -> RunResult:  # noqa: ARG001
    return airflow.run_dag("batches")


def test_rows_from_everywhere(batches: RunResult, sandbox: RunningSandbox) -> None:
    found = texts(sandbox)
    assert set(found["123"]) == {"{points} }} points", "5 in batches"}, batches.log_text
    assert found["124"] == ["6 in batches"]
    assert found["323"] == found["324"] == ["from mapped tasks"]
    assert found["223"] == found["224"] == found["225"] == ["shard"]
    assert batches.mapped_xcoms("shards", "sent") == [1, 2, 0]
    assert batches.task("no_list").state == "failed"
    assert "must be a list of mappings" in batches.log_text


def test_summary_of_a_failed_batch_can_be_handled(batches: RunResult, sandbox: RunningSandbox) -> None:
    assert batches.task("failing").state == "failed"
    handled = batches.xcom("handle")
    assert [(failure["row"], failure["status_code"]) for failure in handled["failures"]] == [(2, 404)]
    assert handled["tickets"] == batches.xcom("failing")["ticket_ids"]
    assert batches.xcom("failing", "total") == 2
    assert texts(sandbox)["423"] == ["partly"]


@pytest.mark.skipif(AIRFLOW == (3, 0), reason="Airflow 3.0 fails whatever takes a key that was not pushed")
def test_key_without_a_value_is_none(batches: RunResult) -> None:
    assert batches.xcom("take") == {"report": None}


def test_retry(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    """On Airflow 3.3, the retry sends the row that was not sent. Before 3.3, the failure is final."""
    sandbox.add_fault("status", status=429, retry_after=61, path="/124/", times=1)
    run = airflow.run_dag("retried_batch")
    found = texts(sandbox)
    assert found["123"] == found["125"] == ["try 1"], run.log_text
    if AIRFLOW >= (3, 3):
        assert run.task("send").state == "success", run.log_text
        assert found["124"] == ["try 2"]
        assert run.xcom("send", "sent") == 3
    else:
        assert (run.task("send").state, run.task("send").try_number) == ("failed", 1)
        assert "124" not in found


def test_waiting(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(seconds=0.5)
    run = airflow.run_dag("waiting_batch")
    assert run.xcom("send", "sent") == 2, run.log_text
    assert "2 of 2 tickets succeeded" in run.log_text
