"""The reference names everything public, module by module, and nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAME = "airflow_provider_passnotify"
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PUBLIC = (
    "exceptions",
    "hooks.passnotify",
    "notifications.passnotify",
    "operators.passnotify",
    "sensors.passnotify",
    "targets",
    "testing",
    "transfers.sql_to_passnotify",
    "triggers.passnotify",
)
RESULTS = {"api.tickets": {"StatusWords", "Ticket"}}
"""What a public method takes or returns; the rest of that module is private."""
WITH_METHODS = (
    "hooks.passnotify.PassNotifyHook",
    "hooks.passnotify.PassNotifyAsyncHook",
    "api.tickets.Ticket",
    "api.tickets.StatusWords",
    "testing.Sandbox",
)
NOT_FOR_USERS = {"get_config", "get_connection_form_widgets", "get_ui_field_behaviour"}
"""Called by the operators and triggers, and by Airflow's connection form."""
PYTEST = {"testing": {"passnotify_sandbox"}}
"""What is there only where pytest is."""


def calls() -> list[tuple[str, list[str]]]:
    """Return the page's calls of cog: the function, and its arguments."""
    found = [ast.parse(text, mode="eval").body for text in re.findall(r"\[\[\[cog (.*?) \]\]\]", REFERENCE)]
    return [(ast.unparse(c.func), [ast.literal_eval(a) for a in c.args]) for c in found if isinstance(c, ast.Call)]


def documented() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for function, (first, *rest) in calls():
        if function == "names":
            names.setdefault(first, set()).update(rest)
        else:
            module, _, name = first.rpartition(".")
            names.setdefault(module, set()).add(name)
    return names


def load(module: str) -> Any:
    return importlib.import_module(f"{NAME}.{module}")


def test_the_reference_names_what_is_public() -> None:
    public = {module: {*load(module).__all__} | PYTEST.get(module, set()) for module in PUBLIC}
    assert documented() == public | RESULTS


@pytest.mark.parametrize("module", PUBLIC)
def test_a_class_of_a_public_module_is_public_or_has_an_underscore(module: str) -> None:
    loaded = load(module)
    classes = {
        name
        for name, value in vars(loaded).items()
        if inspect.isclass(value) and value.__module__ == loaded.__name__ and not name.startswith("_")
    }
    assert classes <= {*loaded.__all__}


@pytest.mark.parametrize("path", WITH_METHODS)
def test_the_reference_names_the_methods_that_users_call(path: str) -> None:
    members = next(set(args[1:]) for function, args in calls() if function == "reference" and args[0] == path)
    module, _, name = path.rpartition(".")
    thing = getattr(load(module), name)
    theirs = {member for base in thing.__mro__ if not base.__module__.startswith(NAME) for member in dir(base)}
    own = {
        member
        for member, value in vars(thing).items()
        if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property))
    }
    assert own - theirs - members <= NOT_FOR_USERS
    assert members


def test_the_reference_says_that_the_rest_is_private() -> None:
    assert "Everything else in the\npackage, also without an underscore, is private" in REFERENCE
