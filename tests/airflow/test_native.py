"""Text stays text in every Airflow. What renders to nothing is refused. A sensor knows which upstreams were skipped."""

from __future__ import annotations

import pytest
from local_airflow import LocalAirflow, TaskKey

from airflow_provider_passnotify.sandbox.server import RunningSandbox


@pytest.mark.parametrize("dag_id", ["texts_plain", "texts_native"])
def test_text_stays_text(airflow: LocalAirflow, sandbox: RunningSandbox, dag_id: str) -> None:
    run = airflow.run_dag(dag_id, conf={"text": "1_2_3", "texts": ["{{ 7 * 7 }}", "[1, 2]"]})
    assert {str(key) for key, task in run.tasks.items() if task.state != "success"} == {str(TaskKey("id"))}
    said = {pass_id: [m["value"] for m in seen["received"]] for pass_id, seen in sandbox.deliveries()["passes"].items()}
    assert said["123"] == ["1_2_3\n"], "neither 123 nor another text: the last line break stands"
    assert said["124"] == ["1_2_3"]
    assert sandbox.deliveries()["passes"]["124"]["received"][0]["label"] == "1_2_3"
    assert (said["125"], said["223"]) == (["1_2_3"], ["1_2_3"])
    assert sorted(said["323"]) == ["[1, 2]", "{{ 7 * 7 }}"], "upstream data holds no templates"
    assert said["324"] == ["1_2_3"]
    assert "/pass/1_2_3/notify" in run.log_text, "the id was asked for as it was written (and is not known)"


def test_what_comes_to_nothing_is_refused(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("nothing", conf={"nothing": None, "empty": "", "deadlines": [None, "2100-01-01T00:00:00Z"]})
    failed = {key for key, task in run.tasks.items() if task.state == "failed"}
    assert failed == {TaskKey("deadline"), TaskKey("value"), TaskKey("report"), TaskKey("expanded", 0)}, run.log_text
    for name in ("send_before", "value", "report_path"):
        assert f"{name} came to nothing" in run.log_text
    assert sandbox.counts() == {"123": 1, "124": 1}, "the label alone may be empty; one deadline was one"
    assert sandbox.deliveries()["passes"]["124"]["received"][0]["label"] is None


def test_what_expand_kwargs_takes_from_upstream(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    rows = [
        {"pass_id": "123", "value": "{{ 6 * 7 }}", "notification_label": None},
        {"pass_id": "223", "value": "x", "send_before": None},
    ]
    run = airflow.run_dag("expanded_kwargs", conf={"rows": rows})
    said = {pass_id: [m["value"] for m in seen["received"]] for pass_id, seen in sandbox.deliveries()["passes"].items()}
    said = {pass_id: texts for pass_id, texts in said.items() if texts}
    assert said == {"123": ["{{ 6 * 7 }}"], "124": ["42"]}, "upstream data holds no templates"
    assert run.task("upstream", 1).state == "failed", "a deadline that came to nothing is not taken as none"
    assert "send_before came to nothing" in run.log_text


def test_a_sensor_leaves_out_what_was_skipped(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("skipped_sends", conf={"skip": True, "gone": 323})
    assert run.task("late").state == run.task("late_batch").state == "skipped"
    assert run.task("wait").state == "success", run.log_text
    assert [ticket["id"] for ticket in run.xcom("wait")] == [run.xcom("sent")]
    assert "Left out: the ticketId of late, which was skipped" in run.log_text
    assert "Left out: the ticketId of late_batch, which was skipped" in run.log_text
    assert run.task("wait_for_all").state == "failed", "gone has sent, and its ticket is lost"
    assert "There is no ticketId of gone (success)" in run.log_text
    assert sandbox.counts() == {"123": 1, "323": 1}


def test_a_sensor_leaves_out_skipped_instances_of_a_mapped_task(airflow: LocalAirflow) -> None:
    run = airflow.run_dag("mapped_sends", conf={"ids": [123, 124]})
    assert run.task("some", 0).state == "skipped"
    each, some = run.mapped_xcoms("each"), run.xcom("some", map_index=1)
    for number, ids in enumerate((each, [*each, some], [some])):
        assert run.task(f"wait_{number}").state == "success", run.log_text
        assert [ticket["id"] for ticket in run.xcom(f"wait_{number}")] == ids
    assert "Left out: 1 ticketIds of some, which were skipped" in run.log_text


def test_a_sensor_fails_for_an_instance_of_a_mapped_task_that_failed(airflow: LocalAirflow) -> None:
    run = airflow.run_dag("mapped_sends", conf={"ids": [123, 999, 124]})
    assert run.task("each", 1).state == "failed"
    assert [run.task(f"wait_{number}").state for number in range(3)] == ["failed", "failed", "success"]
    assert "There are no ticketIds of 1 instances of each (failed)" in run.log_text


def test_a_sensor_waits_for_all_that_was_sent(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("skipped_sends", conf={"skip": False, "gone": 999})
    assert run.task("wait").state == "success", run.log_text
    ids = [run.xcom("sent"), run.xcom("late"), *run.xcom("late_batch", key="ticket_ids")]
    assert [ticket["id"] for ticket in run.xcom("wait")] == ids
    assert run.task("gone").state == run.task("wait_for_all").state == "failed"
    assert "There is no ticketId of gone (failed)" in run.log_text
    assert sandbox.counts() == {"123": 1, "124": 1, "125": 1}
