"""A whole Airflow 2 on this machine: webserver, scheduler and triggerer; what differs from :mod:`.airflow_cluster`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.airflow_cluster import Airflow


class Airflow2(Airflow):
    """One Airflow 2: its processes, and its REST API. It needs a database that is not SQLite."""

    components: Mapping[str, list[str]] = {
        "webserver": ["webserver", "--workers", "1"],
        "scheduler": ["scheduler", "--skip-serve-logs"],
        "triggerer": ["triggerer", "--skip-serve-logs"],
    }
    api_root = "/api/v1"

    def __init__(self, home: Path, *, dags_folder: Path, env: Mapping[str, str] | None = None) -> None:
        super().__init__(home, dags_folder=dags_folder, env=env)
        self.env = {
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
            "AIRFLOW__WEBSERVER__SECRET_KEY": self.env["AIRFLOW__API__SECRET_KEY"],
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}:{self.env['PATH']}",  # the webserver starts gunicorn by name
            **{name: value for name, value in self.env.items() if name != "PATH"},
        }
        self._session.auth = ("admin", "admin")

    def prepare(self) -> None:
        """Make the database, and its one user."""
        super().prepare()
        names = ("--username", "admin", "--password", "admin", "--firstname", "A", "--lastname", "B")
        self.run("users", "create", *names, "--role", "Admin", "--email", "admin@example.com")
        self.run("dags", "reserialize")

    def healthy(self, *names: str) -> bool:
        """Whether the monitor calls all these components healthy."""
        health = self._session.get(f"{self.url}/health", timeout=30).json()
        return all(health[name]["status"] == "healthy" for name in names)

    def trigger(self, dag_id: str, *, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Wait until the DAG is known, unpause it, start a run, and return the run's id."""
        self.unpause(dag_id)
        body: dict[str, Any] = {"conf": conf or {}, **({"dag_run_id": run_id} if run_id else {})}
        return str(self.api("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance as ``failed`` or ``success``, as the UI does."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        body = {"new_state": state, "dry_run": False}
        self.api("PATCH", path if map_index < 0 else f"{path}/{map_index}", body)

    def _request(self, method: str, path: str, body: Any, parameters: Mapping[str, Any]) -> requests.Response:
        if method == "GET":
            return super()._request(method, path, None, parameters)
        return super()._request(method, path, {} if body is None else body, parameters)
