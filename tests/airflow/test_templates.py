"""Arguments that are known only at run time: Jinja, XComs, the connection."""

from __future__ import annotations

import pytest
from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox

CONF = {"target_type": "pass", "pass_id": "123", "value": "Über {{ x }}", "label": "L", "conn_id": "passnotify_default"}


def test_every_argument_can_be_templated_and_is_rendered_once(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("templated", conf=CONF)
    assert run.task("send").state == "success", run.log_text
    (push,) = sandbox.deliveries()["passes"]["123"]["received"]
    assert (push["value"], push["label"], push["ticketId"]) == ("Über {{ x }}", "L", run.xcom("send"))
    rendered = run.task("send").rendered_fields
    assert {name: rendered[name] for name in ("target_type", "pass_id", "value", "notification_label")} == {
        "target_type": "pass",
        "pass_id": "123",
        "value": "Über {{ x }}",
        "notification_label": "L",
    }
    assert rendered["tag"] is None


def test_the_connection_can_be_templated(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    with running_sandbox(login="another", password="one") as other:
        run = airflow.run_dag(
            "templated", conf={**CONF, "conn_id": "other"}, env={"AIRFLOW_CONN_OTHER": other.connection}
        )
        assert run.task("send").state == "success", run.log_text
        assert other.counts() == {"123": 1}
    assert sandbox.counts() == {}


def test_an_xcom_is_an_id_and_the_ticket_is_an_xcom(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("from_xcom", conf={"pass_id": 123})
    assert run.state == "success", run.log_text
    (push,) = sandbox.deliveries()["passes"]["124"]["received"]
    assert push["value"] == f"The first was ticket {run.xcom('first')}."


@pytest.mark.parametrize("pass_id", [None, "", " ", ".", "..", True, "None", "a\nb", 1.5, [123], {"a": 1}])
def test_a_bad_id_from_an_xcom_fails_at_once_and_sends_nothing(
    airflow: LocalAirflow, sandbox: RunningSandbox, pass_id: object
) -> None:
    run = airflow.run_dag("from_xcom", conf={"pass_id": pass_id})
    assert (run.task("first").state, run.task("first").try_number) == ("failed", 1)
    assert run.task("second").state == "upstream_failed"
    assert "InvalidNotificationError" in run.log_text
    assert "pass_id" in run.log_text
    assert sandbox.requests()["last"] == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"target_type": "passs"}, "target_type"),
        ({"target_type": "tag"}, "pass_id"),
        ({"pass_id": ".."}, "pass_id"),
        ({"value": ""}, "value"),
        ({"conn_id": "no_such_connection"}, "no_such_connection"),
    ],
)
def test_a_bad_template_fails_and_sends_nothing(
    airflow: LocalAirflow, sandbox: RunningSandbox, changed: dict[str, str], named: str
) -> None:
    run = airflow.run_dag("templated", conf={**CONF, **changed})
    assert run.task("send").state == "failed"
    assert named in run.log_text
    assert sandbox.requests()["last"] == []
