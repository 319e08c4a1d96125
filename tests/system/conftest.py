"""One sandbox and one whole Airflow for all tests of this folder; each test finds the sandbox as new.

An Airflow takes about 40 seconds to start. ``test_make_airflow.py`` starts one of its own, since that is what it tests;
so does ``tests/chaos``, which kills all parts of it. ``test_airflow_2.py`` has a small Airflow 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_cluster import ROOT, Airflow, running_airflow

FOLDERS = {"system": Path(__file__).parent / "dags", "examples": ROOT / "example_dags"}


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(ticket_seconds=0) as running:
        yield running


@pytest.fixture(scope="session")
def airflow(session_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """All processes of the Airflow that is installed here."""
    dags = tmp_path_factory.mktemp("dags")
    for name, folder in FOLDERS.items():
        (dags / name).symlink_to(folder)
    connection = json.loads(session_sandbox.connection)
    env = {
        "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": session_sandbox.connection,
        "AIRFLOW_CONN_CLOSED": json.dumps({**connection, "host": "http://127.0.0.1:9", "extra": {"max_retries": 0}}),
    }
    with running_airflow(tmp_path_factory.mktemp("airflow"), dags_folder=dags, env=env) as running:
        yield running
