"""The connection form that this Airflow makes from the wheel: every option has a field with an explanation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_passnotify.api.options import OPTIONS
from tests.wheels import build_wheel

FORM = """
import json
try:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
except ImportError:  # Airflow 2: the form is of WTForms
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    hook = manager.hooks["passnotify"]
    prefix = "extra__passnotify__"
    fields = {
        name.removeprefix(prefix): {"label": widget.field.args[0], "description": widget.field.kwargs["description"]}
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith(prefix)
    }
    behaviour = manager.field_behaviours["passnotify"]
    password = [behaviour[words]["password"] for words in ("relabeling", "placeholders")]
else:
    (hook,) = [hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "passnotify"]
    fields = {
        name: {"label": field["schema"]["title"], "description": field["description"]}
        for name, field in (hook.extra_fields or {}).items()
    }
    standard = hook.standard_fields
    password = standard and [standard.password.title, standard.password.placeholder]
form = {"name": hook.hook_name, "fields": fields, "password": password}
print("FORM", json.dumps(form))
"""


def in_airflow(*command: str, home: Path, wheel: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment |= {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(wheel), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    result = subprocess.run(
        [sys.executable, *command], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel. This is the same as installing it."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("dist"))).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def form(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = in_airflow("-c", FORM, home=tmp_path_factory.mktemp("home"), wheel=installed)
    if "'flask_appbuilder' package is not installed" in output and airflow_version.startswith("3.0."):
        pytest.skip("Airflow 3.0 shows no provider's fields unless flask_appbuilder is installed")
    (line,) = (line for line in output.splitlines() if line.startswith("FORM "))
    return dict(json.loads(line.removeprefix("FORM ")))


def test_it_is_called_by_its_name(form: dict[str, Any]) -> None:
    assert form["name"] == "PassNotify"


def test_every_option_has_its_field(form: dict[str, Any]) -> None:
    assert form["fields"] == {
        option.name: {"label": option.label, "description": option.explanation} for option in OPTIONS.values()
    }


def test_the_password_field_says_what_goes_there(form: dict[str, Any]) -> None:
    assert form["password"] == ["Password (project secret)", "or, without a login, the Base64 key of both"]


@pytest.mark.parametrize("what", ["list", "hooks"])
def test_the_provider_is_listed(installed: Path, tmp_path: Path, what: str) -> None:
    output = in_airflow("-m", "airflow", "providers", what, "-o", "plain", home=tmp_path, wheel=installed)
    assert "passnotify" in output
