"""The example DAGs run as they are, against the sandbox."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__
from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox

EXAMPLES = Path(__file__).parents[2] / "example_dags"
FILES = sorted(EXAMPLES.glob("*.py"))
AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
DATELESS = AIRFLOW >= (3, 0)
"""Where runs without a logical date exist, the examples are run without one."""


def texts(sandbox: RunningSandbox) -> dict[str, list[str]]:
    """Return the messages that each pass received."""
    passes = sandbox.deliveries()["passes"]
    return {pass_id: [push["value"] for push in entry["received"]] for pass_id, entry in passes.items()}


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


def test_campaign(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_campaign", dateless=DATELESS)
    assert run.state == "success", run.log_text
    sends = [run.xcom(task_id) for task_id in ("send_to_tag", "send_to_template", "send_to_customer")]
    assert run.xcom("list_tickets") == [*sends, *run.mapped_xcoms("send_to_passes")]
    passes = sandbox.deliveries()["passes"]
    given = {push["ticketId"] for entry in passes.values() for push in entry["received"]}
    assert given == set(run.xcom("list_tickets"))
    assert {pass_id for pass_id, entry in passes.items() if entry["shows"] is None} == {"123", "124", "125"}
    assert run.xcom("delete_from_tag") > max(given)


def test_flash_sale(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_flash_sale", dateless=DATELESS, conf={"text": "30% off"})
    assert run.state == "success", run.log_text
    assert texts(sandbox) == {"123": ["30% off"], "124": ["30% off"], "125": ["30% off"]}


def test_flash_sale_that_is_over(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_flash_sale", dateless=DATELESS, conf={"ends": "2026-01-01T18:00:00+01:00"})
    assert run.task("tell_everybody").state == "skipped", run.log_text
    assert texts(sandbox) == {}


def test_clean_up(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(seconds=0)
    airflow.run_dag("passnotify_flash_sale", dateless=DATELESS)
    run = airflow.run_dag("passnotify_clean_up", dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert {entry["shows"] for entry in sandbox.deliveries()["passes"].values()} == {None}
    assert run.xcom("is_gone")[0]["state"] == "succeeded"


def test_gate_change(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    """(That the asset starts it is seen in ``tests/system``.)"""
    feed = airflow.run_dag("passnotify_gate_feed", dateless=DATELESS)
    if "AirflowInactiveAsset" not in feed.log_text:  # dag.test() of Airflow 3.0 makes no asset active
        assert feed.state == "success", feed.log_text
    run = airflow.run_dag("passnotify_gate_change", dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert run.xcom("tell_passengers", "total") == 0
    assert texts(sandbox) == {}


def test_failures_again(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_failures_again", dateless=DATELESS)
    assert run.state == "success", run.log_text
    found = texts(sandbox)
    assert found["123"] == ["You have 1250 points", "Points count double today"]
    assert found["125"] == ["Points count double today", "See your points in the app"]
    assert run.xcom("send_points", "failures")[0]["row"] == 3
    report = Path(run.xcom("send_points", "report")).read_text().splitlines()
    assert [json.loads(line)["status"] for line in report] == ["sent", "sent", "failed", "sent"]


def test_file(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_file", dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert texts(sandbox) == {"126": ["You have 320 points"]}


def test_points(airflow: LocalAirflow, sandbox: RunningSandbox, points_db: dict[str, str]) -> None:
    run = airflow.run_dag("passnotify_points", env=points_db, dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert texts(sandbox) == {
        "124": ["You have 0 points"],
        "223": ["You have 7 points"],
        "224": ["You have 8 points"],
    }


def test_shards(airflow: LocalAirflow, sandbox: RunningSandbox, points_db: dict[str, str]) -> None:
    run = airflow.run_dag("passnotify_shards", env=points_db, dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert set(texts(sandbox)) == {"123", "124", "223", "224", "225"}
    assert run.mapped_xcoms("send_in_shards", "sent") == [2, 1, 0, 2]


def test_hook(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    sandbox.set_tickets(seconds=0)
    run = airflow.run_dag("passnotify_hook", dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert run.xcom("look_up").startswith("COMPLETED since ")
    closing = ["The kitchen closes at ten."]
    assert texts(sandbox) == {"123": ["Your table is ready."], "223": closing, "224": closing}


def test_alert(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    """Two tasks fail; the phone rings once."""
    run = airflow.run_dag("passnotify_alert", dateless=DATELESS, conf={"broken": [2, 3]})
    assert run.state == "failed", run.log_text
    assert texts(sandbox) == {"123": ["passnotify_alert: load has failed"]}
    assert airflow.run_dag("passnotify_alert", dateless=DATELESS).state == "success"


def test_first(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("passnotify_first", dateless=DATELESS)
    assert run.state == "success", run.log_text
    assert set(texts(sandbox)) == {"123", "124", "125"}


def test_every_example_is_run() -> None:
    tested: set[Any] = set(
        re.findall(
            r"run_dag\(\s*\"(passnotify_\w+)\"", "".join(map(Path.read_text, Path(__file__).parent.glob("test_*.py")))
        )
    )
    ids = {dag_id for file in FILES for dag_id in re.findall(r"dag_id=\"(\w+)\"", file.read_text())}
    assert tested == ids
