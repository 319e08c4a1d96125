"""Once for all tests: an Airflow of their own, in a folder that is thrown away."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

DAGS = Path(__file__).parent / "dags"

# Before anything imports Airflow.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-")
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

pytest_plugins = ["airflow_provider_passnotify.testing"]


@pytest.fixture(scope="session")
def dags():
    """All DAGs of the folder, by dag_id."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    try:
        from airflow.dag_processing.dagbag import DagBag  # Airflow 3.2 and later
    except ImportError:
        from airflow.models.dagbag import DagBag
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    return bag.dags
