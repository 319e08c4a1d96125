"""A store for the journal, and the context of a task: the same ones for all tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

try:
    from airflow.sdk.io import attach as attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach as attach  # type: ignore[import-not-found, no-redef]


class Store:
    """Keeps values from try to try as JSON, like Airflow's ``task_state_store``.

    :param before_set: called with the number of the write. It can raise to refuse the write.
    """

    def __init__(self, before_set: Callable[[int], None] = lambda _: None) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[timedelta | None] = []
        self.writes = 0
        self.before_set = before_set
        self.refuse: Callable[[Any], bool] = lambda _: False
        """Called with a value before it is written. If it returns true, ``set`` raises instead."""
        self.unreadable = False

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""
        if self.unreadable:
            raise RuntimeError("the store cannot be read")
        text = self._load(key)
        return None if text is None else json.loads(text)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Write the value, or raise."""
        self.writes += 1
        self.before_set(self.writes)
        if self.refuse(value):
            raise RuntimeError("the store refused")
        self._save(key, json.dumps(value, allow_nan=False))
        self.retentions.append(retention)

    def _load(self, key: str) -> str | None:
        return self.values.get(key)

    def _save(self, key: str, text: str) -> None:
        self.values[key] = text


class FileStore(Store):
    """The same in a folder, with one file for each key, so that it survives the process.

    :param before_set: as for :class:`Store`.
    """

    def __init__(self, folder: Path, before_set: Callable[[int], None] = lambda _: None) -> None:
        super().__init__(before_set)
        self.folder = folder

    def _load(self, key: str) -> str | None:
        file = self.folder / key
        return file.read_text() if file.exists() else None

    def _save(self, key: str, text: str) -> None:
        new = self.folder / f"{key}.new"
        new.write_text(text)
        new.replace(self.folder / key)


class TaskInstance:
    """The part of a task instance that the operators use."""

    def __init__(self, try_number: int, max_tries: int) -> None:
        self.try_number, self.max_tries = try_number, max_tries
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


def context_of(
    store: Any = None, try_number: int = 1, max_tries: int = 0, *, retries: int | None = None, clear_number: int = 0
) -> Any:
    """Return the part of Airflow's context that is read. Without a store, it is that of Airflow before 3.3.

    :param retries: the retries of the running task; ``None`` for a context without a task.
    """
    context: dict[str, Any] = {
        "ti": TaskInstance(try_number, max_tries),
        "dag_run": SimpleNamespace(clear_number=clear_number),
    }
    if retries is not None:
        context["task"] = SimpleNamespace(retries=retries)
    return context if store is None else {**context, "task_state_store": store}
