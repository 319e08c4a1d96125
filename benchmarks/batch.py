"""Our batch as a task runs it: rows from a file, journal, report and progress, without a scheduler around it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

STORE_SECONDS = 0.015
"""What one write to Airflow's ``task_state_store`` takes."""


class StateStore:
    """Stands in for Airflow's ``task_state_store``: as slow, and empty, as in a first try, which reads nothing back."""

    def get(self, _key: str) -> Any:
        time.sleep(STORE_SECONDS)

    def set(self, _key: str, value: Any, **_: object) -> None:
        json.dumps(value)
        time.sleep(STORE_SECONDS)


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
    ti = SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda **_: None)
    return operator.execute({"ti": ti, "task_state_store": StateStore()})  # type: ignore[typeddict-item]
