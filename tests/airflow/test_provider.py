"""What Airflow's own commands say about the provider."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from local_airflow import LocalAirflow

from airflow_provider_passnotify import __version__
from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.servers import closed_port

AIRFLOW = tuple(int(part) for part in airflow_version.split(".")[:2])


def listing(airflow: LocalAirflow, *command: str) -> list[dict[str, Any]]:
    """Return the JSON that an Airflow command prints. It may print log lines before and after."""
    done = airflow.command(*command, "--output", "json", env={"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"})
    assert done.returncode == 0, done.stdout
    found, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("[{"))
    return list(found)


def test_providers_list_names_it_and_its_version(airflow: LocalAirflow) -> None:
    found = [row for row in listing(airflow, "providers", "list") if "passnotify" in row["package_name"]]
    assert [(row["package_name"], row["version"]) for row in found] == [("airflow-provider-passnotify", __version__)]


def test_providers_hooks_names_the_connection_type(airflow: LocalAirflow) -> None:
    (row,) = (row for row in listing(airflow, "providers", "hooks") if row["connection_type"] == "passnotify")
    assert row["class"] == "airflow_provider_passnotify.hooks.passnotify.PassNotifyHook"
    assert row["conn_id_attribute_name"] == "passnotify_conn_id"
    assert row["package_name"] == "airflow-provider-passnotify"
    assert row["hook_name"] == "PassNotify"


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="before 3.1 Airflow makes up a link from the provider's name")
def test_the_provider_list_links_to_a_page_that_exists(airflow: LocalAirflow) -> None:
    (row,) = listing(airflow, "providers", "get", "airflow-provider-passnotify", "--full")
    link = row["documentation-url"].strip()  # Airflow 3.1 prints a blank before it
    assert link.startswith("https://github.com/urbanairship/api-specs")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "Connection success"),
        ({"password": "wrong"}, "credentials refused"),
        ({"host": "https://127.0.0.1"}, "TLS problem"),
        ({"host": "127.0.0.1", "schema": "http", "port": None}, "Unreachable"),
    ],
    ids=["works", "refused", "TLS", "unreachable"],
)
def test_connections_test_gives_four_answers(
    airflow: LocalAirflow, sandbox: RunningSandbox, changed: dict[str, Any], says: str
) -> None:
    fields = {**json.loads(sandbox.connection), **changed}
    if says == "TLS problem":
        fields["port"] = int(sandbox.url.rpartition(":")[2])
    with closed_port() as port:
        if says == "Unreachable":
            fields["port"] = port
        done = airflow.command("connections", "test", "tried", env={"AIRFLOW_CONN_TRIED": json.dumps(fields)})
    assert says in done.stdout  # the exit code is 0 in any case before 3.0
    assert sandbox.counts() == {}


def test_importing_the_operators_loads_no_http_library() -> None:
    code = """
import sys
import airflow.providers.common.compat.sdk as sdk
sdk.BaseOperator, sdk.BaseHook, sdk.DAG, sdk.task
before = set(sys.modules)
import airflow_provider_passnotify.operators.passnotify
print({"requests", "aiohttp", "urllib3", "wtforms"} & (set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
