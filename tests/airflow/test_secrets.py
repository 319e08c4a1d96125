"""No credential is in any log, error, rendered field or file of Airflow, even if everything logs at DEBUG."""

from __future__ import annotations

import base64
import json

import pytest
from local_airflow import LocalAirflow, RunResult

from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.airflow.conftest import LOGIN, PASSWORD

KEY = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
WRONG = "wrong-secret-55d0"
WRONG_KEY = base64.b64encode(f"{LOGIN}:{WRONG}".encode()).decode()
SECRETS = (PASSWORD, KEY, WRONG, WRONG_KEY)
CONF = {"target_type": "pass", "pass_id": "123", "value": "x", "label": "L", "conn_id": "passnotify_default"}


def check(airflow: LocalAirflow, run: RunResult) -> None:
    """Fail if there is a secret, or if the logs lack what only DEBUG shows."""
    assert "DEBUG" in run.log_text.upper()
    assert "/v1/pass/123/notify" in run.log_text  # of urllib3
    files = {str(file): file.read_text(errors="replace") for file in airflow.home.rglob("*") if file.is_file()}
    assert run.log_text in files[str(airflow.log)]
    texts = {**files, "rendered fields": json.dumps([task.rendered_fields for task in run.tasks.values()])}
    for name, text in texts.items():
        shown = [line for line in text.splitlines() if any(secret in line for secret in SECRETS)]
        assert [line for line in shown if not is_airflow_masking(line)] == [], name


def is_airflow_masking(line: str) -> bool:
    """Whether ``dag.test()`` wrote this line. At DEBUG, its supervisor logs the secrets that it is told to mask.

    It does this for the password of every connection. The real supervisor does not.
    """
    return "Sending request" in line and "msg=MaskSecret(" in line


def test_a_send_that_works(airflow: LocalAirflow, sandbox: RunningSandbox) -> None:
    run = airflow.run_dag("templated", conf=CONF)
    assert run.state == "success"
    assert sandbox.counts() == {"123": 1}
    check(airflow, run)


@pytest.mark.parametrize(
    "fields",
    [{"login": LOGIN, "password": WRONG}, {"password": WRONG_KEY}],
    ids=["login and password", "the key alone"],
)
def test_a_credential_that_is_refused(airflow: LocalAirflow, sandbox: RunningSandbox, fields: dict[str, str]) -> None:
    connection = json.dumps({"conn_type": "passnotify", "host": sandbox.url, **fields})
    run = airflow.run_dag("templated", conf={**CONF, "conn_id": "wrong"}, env={"AIRFLOW_CONN_WRONG": connection})
    assert (run.task("send").state, run.task("send").try_number) == ("failed", 1)
    assert "401" in run.log_text
    check(airflow, run)
