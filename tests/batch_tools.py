"""Shared by the tests of batches: rows for the sandbox, and an operator that sends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator
from tests.stores import context_of

FIRST = 1_000_001
"""The first of the sandbox's extra passes."""
IN_FLIGHT = 32
"""So many requests of a try that was killed may still arrive afterwards: one for each connection."""


def context(store: Any = None, try_number: int = 1, max_tries: int = 3, *, clear_number: int = 0) -> Any:
    """Return the context of a task with three retries, like the tasks of :func:`batch`."""
    return context_of(store, try_number, max_tries, clear_number=clear_number)


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
