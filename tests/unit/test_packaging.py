"""What is built and shipped, and what Airflow reads about it."""

from __future__ import annotations

import configparser
import email
import importlib
import json
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from airflow_provider_passnotify import __version__
from airflow_provider_passnotify.api.options import OPTIONS
from airflow_provider_passnotify.provider_info import get_provider_info
from tests.wheels import ROOT, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("dist")))


def read(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {
        "airflow_provider_passnotify",
        f"airflow_provider_passnotify-{__version__}.dist-info",
    }
    package = ROOT / "airflow_provider_passnotify"
    kinds = (".py", ".html", ".css", ".js", ".svg")
    sources = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.suffix in kinds}
    assert "airflow_provider_passnotify/sandbox/static/page.html" in sources
    assert sources <= set(names)
    assert "airflow_provider_passnotify/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if re.search(r"(^|/)tests?/|__pycache__|NOTE", name)]


def test_the_metadata(wheel: zipfile.ZipFile) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))
    info = get_provider_info()
    assert metadata["Name"] == info["package-name"] == "airflow-provider-passnotify"
    assert [metadata["Version"]] == info["versions"] == [__version__]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
    assert metadata.get_all("Project-URL") == ["Documentation, https://github.com/urbanairship/api-specs"]
    assert {"sql", "sandbox", "dev"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_floor_is_the_lowest_that_is_allowed(wheel: zipfile.ZipFile) -> None:
    floor = dict(line.split("==") for line in (ROOT / "constraints/floor.txt").read_text().splitlines())
    needed = [
        Requirement(line) for line in email.message_from_string(read(wheel, "METADATA")).get_all("Requires-Dist", [])
    ]
    lowest = {
        requirement.name: Version(bound.version)
        for requirement in needed
        for bound in requirement.specifier
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("sandbox", "sql"))
    }
    assert len(lowest) > 10
    assert {name: Version(floor[name]) for name in lowest} == lowest, "run make constraints"


def test_the_entry_points(wheel: zipfile.ZipFile) -> None:
    entry_points = configparser.ConfigParser(delimiters="=")
    entry_points.read_string(read(wheel, "entry_points.txt"))
    for section, name in (("apache_airflow_provider", "provider_info"), ("console_scripts", "passnotify-sandbox")):
        module, _, attribute = entry_points[section][name].partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_the_version_stands_in_one_place() -> None:
    package = ROOT / "airflow_provider_passnotify"
    files = [*package.rglob("*.py"), ROOT / "pyproject.toml"]
    assert [file.name for file in files if f'"{__version__}"' in file.read_text()] == ["__init__.py"]


def test_the_provider_info_is_what_airflow_expects() -> None:
    import jsonschema

    schema = json.loads((Path(airflow.__path__[0]) / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema=schema)
    json.dumps(get_provider_info())


def test_every_module_that_the_provider_info_names_exists() -> None:
    info: dict[str, Any] = get_provider_info()
    package = "airflow_provider_passnotify"
    for room in ("hooks", "operators", "sensors", "triggers"):
        exists = find_spec(f"{package}.{room}.passnotify") is not None
        named = [module for entry in info.get(room, ()) for module in entry["python-modules"]]
        assert named == ([f"{package}.{room}.passnotify"] if exists else [])
    assert [entry["python-module"] for entry in info["transfers"]] == [f"{package}.transfers.sql_to_passnotify"]
    assert find_spec(f"{package}.transfers.sql_to_passnotify") is not None
    for path in info["notifications"]:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_the_connection_type() -> None:
    (connection_type,) = get_provider_info()["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == connection_type["connection-type"] == "passnotify"
    assert hook.hook_name == connection_type["hook-name"]
    assert hook.get_ui_field_behaviour()["relabeling"] == connection_type["ui-field-behaviour"]["relabeling"]
    assert set(connection_type["conn-fields"]) == set(OPTIONS)
    assert all(field["label"] and field["description"] for field in connection_type["conn-fields"].values())
