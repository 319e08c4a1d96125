"""Places where a journal may live, for tests: one that keeps, and one that refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any


class Store:
    """Keeps values from try to try as Airflow's ``task_state_store`` does, as JSON.

    :param refuse: says of a value about to be written whether ``set`` raises instead.
    """

    def __init__(self, refuse: Callable[[Any], bool] = lambda _: False) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[timedelta | None] = []
        self.refuse = refuse
        self.unreadable = False

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""
        if self.unreadable:
            raise RuntimeError("the store cannot be read")
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Write the value, or raise."""
        if self.refuse(value):
            raise RuntimeError("the store refused")
        self.values[key] = json.dumps(value, allow_nan=False)
        self.retentions.append(retention)


def context_of(
    store: Any, try_number: int = 1, max_tries: int = 0, *, retries: int | None = None, clear_number: int = 0
) -> dict[str, Any]:
    """Return as much of Airflow's context as a journal reads; without a store it is that of Airflow before 3.3."""
    context: dict[str, Any] = {
        "ti": SimpleNamespace(try_number=try_number, max_tries=max_tries),
        "dag_run": SimpleNamespace(clear_number=clear_number),
    }
    if retries is not None:
        context["task"] = SimpleNamespace(retries=retries)
    return context if store is None else {**context, "task_state_store": store}
