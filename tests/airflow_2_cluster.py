"""A whole Airflow 2 on this machine: webserver, scheduler and triggerer; what differs from :mod:`.airflow_cluster`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from tests.airflow_cluster import REQUEST_SECONDS, Airflow


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
            "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
            "AIRFLOW__WEBSERVER__SECRET_KEY": self.env["AIRFLOW__API__SECRET_KEY"],
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}:{self.env['PATH']}",  # the webserver starts gunicorn by name
            **{name: value for name, value in self.env.items() if name != "PATH"},
        }
        self._session.auth = ("admin", "admin")
        self._session.headers["Accept"] = "application/json"  # a log is plain text otherwise

    def prepare(self) -> None:
        """Make the database, and its one user."""
        super().prepare()
        names = ("--username", "admin", "--password", "admin", "--firstname", "A", "--lastname", "B")
        self.run("users", "create", *names, "--role", "Admin", "--email", "admin@example.com")
        self.run("dags", "reserialize")

    def healthy(self, *names: str) -> bool:
        """Whether the monitor calls all these components healthy."""
        answer = self._session.get(f"{self.url}/health", timeout=REQUEST_SECONDS)
        try:
            health = answer.json()
        except requests.JSONDecodeError:  # half of an answer, while gunicorn's workers start
            return False
        return all(health.get(name, {}).get("status") == "healthy" for name in names)

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

    def clear_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Clear a task instance, whatever its state, in the UI. (The REST API forgets the clear of a running task.)"""
        date = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["logical_date"]
        form = {"dag_id": dag_id, "task_id": task_id, "execution_date": date, "confirmed": "true"}
        if map_index >= 0:
            form["map_index"] = str(map_index)
        answer = self._send_form("/clear", form)
        assert answer == "1 task instances have been cleared", answer

    def _send_form(self, path: str, form: Mapping[str, str]) -> str:
        """Send a form of the UI, as a browser does, and return the message."""
        browser, token = self._browser
        headers = {"Accept": "application/json"}
        answer = browser.post(self.url + path, {**form, "csrf_token": token}, headers=headers, timeout=REQUEST_SECONDS)
        answer.raise_for_status()
        return answer.text

    @cached_property
    def _browser(self) -> tuple[requests.Session, str]:
        """A session of the UI that is logged in, and the token for its forms. (Few logins in a minute are allowed.)"""
        browser = requests.Session()
        browser.trust_env = False
        login = browser.get(f"{self.url}/login/", timeout=REQUEST_SECONDS)
        who = {"username": "admin", "password": "admin", "csrf_token": _csrf_token(login)}
        return browser, _csrf_token(browser.post(f"{self.url}/login/", who, timeout=REQUEST_SECONDS))

    def _request(self, method: str, path: str, body: Any, parameters: Mapping[str, Any]) -> requests.Response:
        if method == "GET":
            return super()._request(method, path, None, parameters)
        return super()._request(method, path, {} if body is None else body, parameters)


def _csrf_token(page: requests.Response) -> str:
    page.raise_for_status()
    found = re.search(r"""csrf_token["'][^>]*value=["']([^"']+)|csrfToken = '([^']+)'""", page.text)
    assert found is not None, page.text
    return found[1] or found[2]
