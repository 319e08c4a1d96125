"""One sandbox and one Airflow for all tests of this folder. The sandbox is reset for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_airflow import LocalAirflow

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "example_dags"

# A project of its own, which test_recipe.py runs.
collect_ignore = ["recipe"]

# Words that occur nowhere else, so that they can be found in logs.
LOGIN, PASSWORD = "project-key-7f3a", "project-secret-91c4"


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(login=LOGIN, password=PASSWORD) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, session_sandbox: RunningSandbox) -> Iterator[LocalAirflow]:
    """An Airflow of the version that is installed here, with all logging at DEBUG."""
    env = {
        "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": session_sandbox.connection,
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # by default 30 s, and then it is an import error
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    }
    folder = tmp_path_factory.mktemp("airflow")
    home, temporary = folder / "home", folder / "tmp"
    temporary.mkdir()
    env["TMPDIR"] = str(temporary)  # where the examples write their reports
    with LocalAirflow(home, dag_folders=[HERE / "dags", EXAMPLES], env=env) as airflow:
        yield airflow
