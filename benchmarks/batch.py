"""Our batch as a task runs it, with rows from a file, journal, report and progress, but without a scheduler."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

STORE_SECONDS = 0.015
"""How long one write to Airflow's ``task_state_store`` takes, in seconds."""


class StateStore:
    """Replaces Airflow's ``task_state_store``. It is as slow, and empty, as in a first try."""

    def get(self, _key: str) -> Any:
        time.sleep(STORE_SECONDS)

    def set(self, _key: str, value: Any, **_: object) -> None:
        json.dumps(value)
        time.sleep(STORE_SECONDS)


class TaskInstance:
    """Replaces Airflow's task instance. A batch checks now and then whether it is still running."""

    dag_id, task_id, run_id, map_index = "a_dag", "send", "a_run", -1
    try_number, max_tries = 1, 0

    def xcom_push(self, **_: object) -> None: ...

    def get_task_states(self, *_: object, **__: object) -> dict[str, Any]:
        time.sleep(STORE_SECONDS)
        return {self.run_id: {self.task_id: "running"}}


def write_rows(path: Path, count: int) -> Path:
    """Write a file of rows for ``count`` people."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"pass_id": number, "points": number}) + "\n")
    return path


def send(url: str, rows: Path, report: Path, **extra: Any) -> dict[str, Any]:
    """Execute the operator and return its summary; ``extra`` are options of the connection."""
    parts = urlsplit(url)
    connection = {"conn_type": "passnotify", "schema": parts.scheme, "host": parts.hostname, "port": parts.port}
    connection |= {"login": "key", "password": "secret", "extra": extra}
    os.environ["AIRFLOW_CONN_PASSNOTIFY_DEFAULT"] = json.dumps(connection)
    operator = SendNotificationBatchOperator(
        task_id="send",
        notifications=str(rows),
        target_type="pass",
        value="You have {points} points",
        notification_label="Points",
        report_path=str(report),
        max_failures=1.0,
    )
    return operator.execute({"ti": TaskInstance(), "task_state_store": StateStore()})  # type: ignore[typeddict-item]
