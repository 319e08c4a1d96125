"""The house, read from the syntax trees: which room imports which, and where Airflow is met."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "airflow_provider_passnotify"
PACKAGE = ROOT / NAME
FILES = sorted(PACKAGE.rglob("*.py"))

# Ground floor first. A room imports only from floors below it.
FLOORS = [
    {"targets"},
    {"api"},
    {"exceptions", "rows", "connection_form", "compat"},
    {"arguments", "retry_policy", "provider_info", "delivery"},
    {"delivery/batch", "hooks"},
    {"triggers", "notifications"},
    {"operators"},
    {"sensors", "transfers"},
]
APART = {"sandbox": set(), "testing": {"sandbox"}}
"""Rooms that stand beside the house, and what each may import of the package."""
NO_AIRFLOW = ("api", "rows")


def room_of(module: str) -> str:
    """Return the room of a module, given by its dotted name below the package."""
    parts = module.split(".")
    return "delivery/batch" if parts[:2] == ["delivery", "batch"] else parts[0]


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything that a file imports, at its top, lazily, or for types only."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):  # import_module(...), __import__(...)
            yield from (
                (node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def rooms_imported(file: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports_of(file):
        if name.startswith(f"{NAME}.") and not name.endswith(".__version__"):
            yield line, room_of(name.removeprefix(f"{NAME}."))


def own_room(file: Path) -> str:
    return room_of(".".join(file.relative_to(PACKAGE).with_suffix("").parts))


def test_every_room_has_its_floor() -> None:
    rooms = {own_room(file) for file in FILES if file.name != "__init__.py"}
    assert rooms == set().union(*FLOORS, APART)


def test_a_room_imports_only_from_floors_below_it() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {own} imports {other}"
        for file in FILES
        for line, other in rooms_imported(file)
        if (own := own_room(file)) in floor and other != own and floor.get(other, len(FLOORS)) >= floor[own]
    ]
    assert wrong == []


def test_what_stands_apart_imports_nothing_of_the_house() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {own} imports {other}"
        for file in FILES
        for line, other in rooms_imported(file)
        if (own := own_room(file)) in APART and other != own and other not in APART[own]
    ]
    assert wrong == []


@pytest.mark.parametrize("room", NO_AIRFLOW)
def test_no_airflow_here(room: str) -> None:
    """Not at the top of a file, not lazily, not for types."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert len(files) > 3
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in files
        for line, name in imports_of(file)
        if name.split(".")[0] == "airflow"
    ]
    assert wrong == []


def test_an_import_is_found_wherever_it_hides(tmp_path: Path) -> None:
    file = tmp_path / "hidden.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from airflow.sdk import Context\n"
        "def lazily():\n    import airflow.models\n    importlib.import_module('airflow.configuration')\n"
    )
    found = [name for _, name in imports_of(file) if name.startswith("airflow")]
    assert sorted(found) == ["airflow.configuration", "airflow.models", "airflow.sdk.Context"]


def test_contributing_names_every_room() -> None:
    """The drawing of the house in CONTRIBUTING.md has the folders and files that there are, and no others."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    drawing = re.search(rf"```text\n{NAME}/\n(.*?)```", text, re.DOTALL)
    assert drawing is not None
    named = set(re.findall(r"(?:^|  )([a-z_]+(?:/[a-z_]+)?(?:/|\.py))(?=\s|$)", drawing[1], re.MULTILINE))
    there = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    there |= {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {name for name in named if name.count("/") < 2} == there
    assert "delivery/batch/" in drawing[1]
