"""Which modules are loaded when the provider's modules are imported, each time in a new process."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

import airflow_provider_passnotify

IMPORTED_BY_DAGS = [
    f"airflow_provider_passnotify.{room}"
    for room in (
        "operators.passnotify",
        "sensors.passnotify",
        "triggers.passnotify",
        "transfers.sql_to_passnotify",
        "notifications.passnotify",
        "hooks.passnotify",
    )
]
HEAVY = ["requests", "aiohttp", "urllib3", "fastapi", "uvicorn", "sqlalchemy", "wtforms", "flask_appbuilder"]
PUBLIC = {
    "hooks.passnotify": ["PassNotifyHook", "PassNotifyAsyncHook"],
    "operators.passnotify": [
        "SendNotificationOperator",
        "DeleteNotificationOperator",
        "SendNotificationBatchOperator",
        "DeleteNotificationBatchOperator",
    ],
    "sensors.passnotify": ["NotificationTicketSensor"],
    "triggers.passnotify": ["NotificationTicketTrigger"],
    "transfers.sql_to_passnotify": ["SqlToPassNotifyOperator"],
    "notifications.passnotify": ["PassNotifyNotifier"],
    "targets": ["TargetType", "PassTarget", "ExternalPassTarget", "SegmentTarget", "TagTarget", "TemplateTarget"],
    "exceptions": ["PassNotifyError"],
    "sandbox": [],
    "testing": ["running_sandbox", "passnotify_sandbox"],
}


def loaded_by(*statements: str) -> list[set[str]]:
    """Return the modules that are loaded after each statement."""
    code = "import sys\n" + "".join(f"{statement}\nprint('>', *sys.modules)\n" for statement in statements)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()[1:]) for line in result.stdout.splitlines() if line.startswith(">")]


@pytest.mark.skipif(
    find_spec("airflow.sdk") is None, reason="before Airflow 3, importing Airflow loads requests itself"
)
@pytest.mark.parametrize("module", IMPORTED_BY_DAGS)
def test_a_dag_file_loads_nothing_heavy(module: str) -> None:
    before, after = loaded_by("import airflow.sdk", f"import {module}")
    assert {"requests", "aiohttp"}.isdisjoint(before)
    assert [name for name in HEAVY if name in after - before] == []


def test_every_module_can_be_imported_without_a_warning() -> None:
    names = [
        module.name
        for module in pkgutil.walk_packages(airflow_provider_passnotify.__path__, "airflow_provider_passnotify.")
        if ".sandbox" not in module.name
    ]
    assert len(names) > 20
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    command = [sys.executable, "-W", "error:::airflow_provider_passnotify", "-c", code, *names]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_public_names(module: str, names: list[str]) -> None:
    imported = importlib.import_module(f"airflow_provider_passnotify.{module}")
    assert [name for name in names if not hasattr(imported, name)] == []
