"""``resume_from`` in DAG runs of a real Airflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox


def texts(sandbox: RunningSandbox) -> dict[str, list[str]]:
    """Return the messages that each pass received."""
    passes = sandbox.deliveries()["passes"]
    return {pass_id: [push["value"] for push in entry["received"]] for pass_id, entry in passes.items()}


def test_whom_a_report_names_is_left_out(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("resumed")
    assert run.state == "success", run.log_text
    found = texts(sandbox)
    assert {number: found[number] for number in ("123", "124", "125", "223")} == {
        "123": ["first"],
        "124": ["first"],
        "125": ["by_xcom"],
        "223": ["by_template"],
    }
    first, by_xcom = run.xcom("first", "report"), run.xcom("by_xcom", "report")
    assert run.xcom("by_xcom", "resume_from") == [{"report": first, "sent": 2, "unknown": 0}]
    assert (run.xcom("by_xcom", "left_out"), run.xcom("by_template", "left_out")) == (2, 3)
    assert [one["report"] for one in run.xcom("by_template", "resume_from")] == [first, by_xcom]
    lines = [json.loads(line) for line in Path(by_xcom).read_text().splitlines()]
    assert [(line["status"], line.get("report")) for line in lines] == [
        ("left_out", first),
        ("left_out", first),
        ("sent", None),
    ]
    assert all(line["at"].endswith("+00:00") and line["try_number"] == 1 for line in lines)


def test_mapped(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("resumed")
    found = texts(sandbox)
    assert run.xcom("all_shards", "left_out") == 2, run.log_text
    assert found["325"] == ["all_shards"]
    assert run.mapped_xcoms("own_shard", "left_out") == [1, 1]
    assert found["423"] == found["424"] == ["own_shard"]
    assert run.mapped_xcoms("given_shard", "left_out") == [1, 1]
    assert sorted(found["323"] + found["324"]) == ["given_shard"] * 2 + ["shards"] * 2


@pytest.fixture
def from_nothing(airflow: LocalAirflow, sandbox: RunningSandbox) -> dict[str, str | None]:  # noqa: ARG001
    run = airflow.run_dag("resumed_from_nothing")
    assert run.log_text.count("resume_from") > 5
    return {f"{key.task_id}{key.map_index}": task.state for key, task in run.tasks.items()}


def test_argument_that_comes_to_nothing_sends_nothing(
    from_nothing: dict[str, str | None], sandbox: RunningSandbox
) -> None:
    names = ["none-1", "empty-1", "partly-1", "text-1", "missing-1", "not_pushed-1", *(f"mapped{n}" for n in range(3))]
    assert {name: from_nothing[name] for name in names} == dict.fromkeys(names, "failed")
    assert texts(sandbox) == {}
