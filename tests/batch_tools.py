"""What the tests of batches share: a store in a file, a task instance, and operators run against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

FIRST = 1_000_001
"""The first of the sandbox's extra passes."""


class FileStore:
    """A store that outlives the process, as Airflow's does.

    :param folder: one file for each key.
    :param before_set: called with the number of the write; it refuses the write by raising.
    """

    def __init__(self, folder: Path, before_set: Callable[[int], None] = lambda _: None) -> None:
        self.folder = folder
        self.before_set = before_set
        self.writes = 0

    def get(self, key: str) -> Any:
        file = self.folder / key
        return json.loads(file.read_text()) if file.exists() else None

    def set(self, key: str, value: Any, *, retention: object = None) -> None:  # noqa: ARG002
        self.writes += 1
        self.before_set(self.writes)
        new = self.folder / f"{key}.new"
        new.write_text(json.dumps(value, allow_nan=False))
        new.replace(self.folder / key)


class TaskInstance:
    """What the operators use of a task instance."""

    def __init__(self, try_number: int = 1, max_tries: int = 3) -> None:
        self.try_number, self.max_tries = try_number, max_tries
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


def context(store: Any = None, try_number: int = 1, max_tries: int = 3, *, clear_number: int = 0) -> dict[str, Any]:
    """Return a task's context; without a store it is that of Airflow before 3.3."""
    found: dict[str, Any] = {
        "ti": TaskInstance(try_number, max_tries),
        "dag_run": SimpleNamespace(clear_number=clear_number),
    }
    if store is not None:
        found["task_state_store"] = store
    return found


def passes(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return a row for each of the sandbox's extra passes."""
    return [{"pass_id": FIRST + number, **fields} for number in range(count)]


def batch(notifications: Any, **options: Any) -> SendNotificationBatchOperator:
    """Return an operator with defaults for passes."""
    options = {"task_id": "batch", "target_type": "pass", "value": "Hello", "retries": 3, **options}
    return SendNotificationBatchOperator(notifications=notifications, **options)


def report_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a report."""
    return [json.loads(line) for line in path.read_text().splitlines()]
