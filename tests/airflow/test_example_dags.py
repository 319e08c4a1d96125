"""The example DAGs run unchanged. The fixture for the tests of users shows what they send."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__
from local_airflow import LocalAirflow, RunResult

from airflow_provider_passnotify.testing import Sandbox

EXAMPLES = Path(__file__).parents[2] / "example_dags"
FILES = sorted(EXAMPLES.glob("*.py"))
AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
DATELESS = AIRFLOW >= (3, 0)
"""On an Airflow that has runs without a logical date, the examples are run without one."""


Run = Callable[..., RunResult]


@pytest.fixture
def run_dag(airflow: LocalAirflow, passnotify_sandbox: Sandbox) -> Run:
    """Return a function that runs a DAG. Its connection ``passnotify_default`` points to the sandbox of this test."""

    def run(dag_id: str, conf: object = None, **connections: str) -> RunResult:
        env = {"AIRFLOW_CONN_PASSNOTIFY_DEFAULT": passnotify_sandbox.connection, **connections}
        return airflow.run_dag(dag_id, conf, env, dateless=DATELESS)

    return run


def texts(sandbox: Sandbox) -> dict[int, list[str]]:
    """Return the messages that each pass received."""
    found: dict[int, list[str]] = {}
    for push in sandbox.deliveries():
        found.setdefault(push.pass_id, []).append(push.value)
    return found


@pytest.fixture
def points_db(tmp_path: Path) -> dict[str, str]:
    """A database of customers, as the connection ``points_db``."""
    database = tmp_path / "points.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE customers (pass_id INTEGER, points INTEGER, changed INTEGER)")
        rows = [(123, 5, 0), (124, None, 1), (223, 7, 1), (224, 8, 1), (225, 9, 0)]
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    return {"AIRFLOW_CONN_POINTS_DB": json.dumps({"conn_type": "sqlite", "host": str(database)})}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_first_lines_say_what_it_needs(file: Path) -> None:
    source = file.read_text()
    doc = ast.get_docstring(ast.parse(source)) or ""
    assert re.search(r"^Needs the connections? ``passnotify_default``", doc, re.MULTILINE)
    assert not re.search(r"\{\{ *(ds|ts|logical_date|data_interval|execution_date)", source), "needs a logical date"


def test_campaign(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_campaign")
    assert run.state == "success", run.log_text
    sends = [run.xcom(task_id) for task_id in ("send_to_tag", "send_to_template", "send_to_customer")]
    assert run.xcom("list_tickets") == [*sends, *run.mapped_xcoms("send_to_passes")]
    given = {push.ticket_id for push in passnotify_sandbox.deliveries()}
    assert given == set(run.xcom("list_tickets"))
    reached = texts(passnotify_sandbox)
    assert {pass_id for pass_id in reached if passnotify_sandbox.shows(pass_id) is None} == {123, 124, 125}
    assert run.xcom("delete_from_tag") > max(given)


def test_flash_sale(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_flash_sale", conf={"text": "30% off"})
    assert run.state == "success", run.log_text
    assert texts(passnotify_sandbox) == {123: ["30% off"], 124: ["30% off"], 125: ["30% off"]}


def test_flash_sale_that_is_over(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_flash_sale", conf={"ends": "2026-01-01T18:00:00+01:00"})
    assert run.task("tell_everybody").state == "skipped", run.log_text
    assert texts(passnotify_sandbox) == {}


def test_clean_up(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run_dag("passnotify_flash_sale")
    run = run_dag("passnotify_clean_up")
    assert run.state == "success", run.log_text
    assert {passnotify_sandbox.shows(pass_id) for pass_id in (123, 124, 125)} == {None}
    assert run.xcom("is_gone")[0]["state"] == "succeeded"


def test_gate_change(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    """(That the asset starts it is seen in ``tests/system``.)"""
    feed = run_dag("passnotify_gate_feed")
    if "AirflowInactiveAsset" not in feed.log_text:  # in dag.test() of Airflow 3.0, no asset is active
        assert feed.state == "success", feed.log_text
    run = run_dag("passnotify_gate_change")
    assert run.state == "success", run.log_text
    assert run.xcom("tell_passengers", "total") == 0
    assert texts(passnotify_sandbox) == {}


def test_failures_again(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_failures_again")
    assert run.state == "success", run.log_text
    found = texts(passnotify_sandbox)
    assert sorted(found[123]) == ["Points count double today", "You have 1250 points"], "sent at the same time"
    assert found[125] == ["Points count double today", "See your points in the app"]
    assert run.xcom("send_points", "failures")[0]["row"] == 3
    report = Path(run.xcom("send_points", "report")).read_text().splitlines()
    assert [json.loads(line)["status"] for line in report] == ["sent", "sent", "failed", "sent"]


def test_file(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_file")
    assert run.state == "success", run.log_text
    assert texts(passnotify_sandbox) == {126: ["You have 320 points"]}


def test_points(run_dag: Run, passnotify_sandbox: Sandbox, points_db: dict[str, str]) -> None:
    run = run_dag("passnotify_points", **points_db)
    assert run.state == "success", run.log_text
    assert texts(passnotify_sandbox) == {
        124: ["You have 0 points"],
        223: ["You have 7 points"],
        224: ["You have 8 points"],
    }


def test_shards(run_dag: Run, passnotify_sandbox: Sandbox, points_db: dict[str, str]) -> None:
    run = run_dag("passnotify_shards", **points_db)
    assert run.state == "success", run.log_text
    assert set(texts(passnotify_sandbox)) == {123, 124, 223, 224, 225}
    assert run.mapped_xcoms("send_in_shards", "sent") == [2, 1, 0, 2]


def test_hook(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_hook")
    assert run.state == "success", run.log_text
    assert run.xcom("look_up").startswith("COMPLETED since ")
    closing = ["The kitchen closes at ten."]
    assert texts(passnotify_sandbox) == {123: ["Your table is ready."], 223: closing, 224: closing}


def test_alert(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    """Two tasks fail; the phone rings once."""
    run = run_dag("passnotify_alert", conf={"broken": [2, 3]})
    assert run.state == "failed", run.log_text
    assert texts(passnotify_sandbox) == {123: ["passnotify_alert: load has failed"]}
    assert run_dag("passnotify_alert").state == "success"


def test_first(run_dag: Run, passnotify_sandbox: Sandbox) -> None:
    run = run_dag("passnotify_first")
    assert run.state == "success", run.log_text
    assert set(texts(passnotify_sandbox)) == {123, 124, 125}


def test_every_example_is_run() -> None:
    tested: set[Any] = set(
        re.findall(
            r"run_dag\(\s*\"(passnotify_\w+)\"", "".join(map(Path.read_text, Path(__file__).parent.glob("test_*.py")))
        )
    )
    ids = {dag_id for file in FILES for dag_id in re.findall(r"dag_id=\"(\w+)\"", file.read_text())}
    assert tested == ids
