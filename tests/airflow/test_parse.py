"""A mistake that is already visible in the DAG file is an import error that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_airflow import LocalAirflow

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator

with DAG("parsed", schedule=None):
    {task}
"""
SEND = "SendNotificationOperator(task_id='send', {arguments})"
DELETE = "DeleteNotificationOperator(task_id='delete', {arguments})"


@pytest.fixture
def import_errors(airflow: LocalAirflow, tmp_path: Path):
    def parse(task: str) -> list[str]:
        file = tmp_path / "parsed.py"
        file.write_text(DAG_FILE.format(task=task))
        return airflow.import_errors(file)

    return parse


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("target_type='pass', value='x'", "pass_id"),
        ("target_type='pass', pass_id='', value='x'", "pass_id"),
        ("target_type='pass', pass_id='..', value='x'", "pass_id"),
        ("target_type='pass', pass_id=True, value='x'", "pass_id"),
        ("target_type='pass', pass_id='a\\nb', value='x'", "pass_id"),
        ("target_type='pass', pass_id=1, tag='t', value='x'", "tag"),
        ("target_type='pass', passid=1, value='x'", "passid"),
        ("target_type='passs', pass_id=1, value='x'", "target_type"),
        ("target_type='tag', tag='t', value='x'", "template_id"),
        ("target_type='pass', pass_id=1, value=''", "value"),
        ("target_type='pass', pass_id=1", "value"),
        ("target_type='pass', pass_id=1, value=5", "value"),
        ("target_type='pass', pass_id=1, value='x', label='L'", "notification_label"),
        ("target_type='pass', pass_id='..', value='{{{{ ds }}}}'", "pass_id"),
    ],
)
def test_a_bad_send_is_an_import_error_that_names_the_argument(import_errors, arguments: str, named: str) -> None:
    (error,) = import_errors(SEND.format(arguments=arguments.replace("{{{{", "{{").replace("}}}}", "}}")))
    assert named in error.splitlines()[-1]


def test_a_bad_delete_is_an_import_error_that_names_the_argument(import_errors) -> None:
    (error,) = import_errors(DELETE.format(arguments="target_type='pass', pass_id='..'"))
    assert "pass_id" in error.splitlines()[-1]


def test_a_misspelt_argument_of_a_mapped_send_is_an_import_error(import_errors) -> None:
    task = "SendNotificationOperator.partial(task_id='send', target_type='pass', value='x').expand(passid=[1])"
    (error,) = import_errors(task)
    assert "passid" in error


@pytest.mark.parametrize(
    "arguments",
    [
        "target_type='pass', pass_id=1, value='x'",
        "target_type='{{ params.kind }}', pass_id=1, value='{{ ds }}'",
        "target_type='segment', project_id=1, segment_id='s', template_id=2, value='x', notification_label=None",
        "target_type='template', template_id='id/12345', value='x'",
    ],
)
def test_a_good_send_parses(import_errors, arguments: str) -> None:
    assert import_errors(SEND.format(arguments=arguments)) == []
