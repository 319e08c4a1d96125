"""The notifier where Airflow itself calls it: workers, DAG processor and triggerer."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow import __version__

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow_cluster import ENDED, Airflow

AIRFLOW = tuple(map(int, __version__.split(".")[:2]))
pytestmark = pytest.mark.skipif(__version__.startswith("2."), reason="the four processes of Airflow 3")
has_deadlines = pytest.mark.skipif(AIRFLOW < (3, 1), reason="deadlines exist from Airflow 3.1 on")


def received(sandbox: RunningSandbox) -> dict[str, list[str]]:
    """Return the texts that each pass received."""
    passes = sandbox.deliveries()["passes"]
    return {number: [push["value"] for push in entry["received"]] for number, entry in passes.items() if entry["count"]}


def logged(airflow: Airflow, *folders: str) -> str:
    """Return everything that Airflow has logged in these folders, in small letters."""
    files = [file for folder in folders for file in airflow.home.glob(f"{folder}/**/*.log") if file.is_file()]
    return "\n".join(file.read_text(errors="replace") for file in files).lower()


def wait_for_log(airflow: Airflow, *texts: str) -> None:
    """Wait until all these texts have been logged somewhere."""

    def all_there() -> bool:
        told = logged(airflow, "logs", "logs-of-processes")
        return all(text.lower() in told for text in texts)

    airflow.wait(all_there, f"{texts} in a log")


def test_callbacks_of_a_task_and_of_its_dag(airflow: Airflow, sandbox: RunningSandbox) -> None:
    run_id = airflow.trigger("alert_failure")
    airflow.wait_for_run("alert_failure", run_id, "failed")
    airflow.wait(lambda: len(received(sandbox)) == 3, "all alerts")  # the DAG's own may come before those of its task
    assert received(sandbox) == {
        "123": ["fail is tried again"],
        "124": ["fail has failed in try 2"],
        "125": ["alert_failure: task_failure"],
    }
    wait_for_log(airflow, *(f"Alert to pass {number}: sent, ticketId" for number in (123, 124, 125)))


def test_callbacks_of_a_success(airflow: Airflow, sandbox: RunningSandbox) -> None:
    run_id = airflow.trigger("alert_success")
    airflow.wait_for_run("alert_success", run_id, "success")
    airflow.wait(lambda: len(received(sandbox)) == 2, "both alerts")
    assert received(sandbox) == {"123": ["succeed is done"], "126": ["alert_success: success"]}


def test_a_wrong_connection_disturbs_nobody(airflow: Airflow, sandbox: RunningSandbox) -> None:
    run_id = airflow.trigger("alert_wrong")
    airflow.wait_for_run("alert_wrong", run_id, "failed")
    wait_for_log(
        airflow,
        "Alert to pass 124: not sent",
        "no_such_connection",
        "Alert to pass 125: not sent",
    )
    run_id = airflow.trigger("alert_success")  # whoever called the alerts is still there
    airflow.wait_for_run("alert_success", run_id, "success")
    airflow.wait(lambda: len(received(sandbox)) == 2, "the alerts of the next run")


def test_a_storm_rings_once(airflow: Airflow, sandbox: RunningSandbox, tmp_path: Path) -> None:
    run_id = airflow.trigger("alert_storm", conf={"folder": str(tmp_path)})
    airflow.wait_for_run("alert_storm", run_id, "failed")
    tasks = airflow.tasks("alert_storm", run_id)
    assert [task["state"] for task in tasks] == ["failed"] * 30

    def told(text: str) -> int:
        return logged(airflow, "logs/dag_id=alert_storm").count(text)

    airflow.wait(lambda: told("one was sent at") == 29, "all others to say why they did not send")
    # Whoever is first says so before it sends: the others may be done sooner.
    airflow.wait(lambda: told("alert to pass 124: sent, ticketid") == 1, "the one to say that it has sent")
    assert received(sandbox) == {"124": ["alert_storm has failures"]}


@has_deadlines
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_missed_deadline_rings(airflow: Airflow, sandbox: RunningSandbox, tmp_path: Path, kind: str) -> None:
    if kind == "sync" and AIRFLOW < (3, 2):
        pytest.skip("SyncCallback exists from Airflow 3.2 on")
    until = tmp_path / "done"
    run_id = airflow.trigger(f"deadline_{kind}", conf={"until": str(until)})
    airflow.wait(lambda: received(sandbox), f"the alert of {run_id}")
    until.touch()
    airflow.wait_for_run(f"deadline_{kind}", run_id, "success")
    [[text]] = received(sandbox).values()
    assert text.startswith(f"deadline_{kind} is late")


@has_deadlines
def test_deadlines_that_cannot_ring_say_so_and_leave_the_triggerer_running(
    airflow: Airflow, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    until = tmp_path / "done"
    runs = {
        dag_id: airflow.trigger(dag_id, conf={"until": str(until)}) for dag_id in ("deadline_wrong", "deadline_gap")
    }
    wait_for_log(
        airflow,
        "Alert to pass 123: not sent",
        "'ti' is undefined",
    )
    until.touch()
    airflow.wait(
        lambda: all(task["state"] in ENDED for dag_id, run in runs.items() for task in airflow.tasks(dag_id, run)),
        "both runs to end",
    )
    airflow.wait(lambda: airflow.healthy("triggerer"), "the triggerer to be healthy")
    assert received(sandbox) == {}
