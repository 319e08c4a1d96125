"""A whole Airflow 3.3 on this machine: api-server, scheduler, dag-processor and triggerer, each a process of its own.

::

    with running_airflow(tmp_path, dags_folder=DAGS, env={"AIRFLOW_CONN_PASSNOTIFY_DEFAULT": "..."}) as airflow:
        run_id = airflow.trigger("my_dag")
        airflow.wait_for_task("my_dag", run_id, "send", "deferred")
        airflow.kill("triggerer")
        airflow.start("triggerer")
        airflow.wait_for_run("my_dag", run_id, "success")

SQLite, LocalExecutor. What the processes print is in ``<home>/logs-of-processes/``.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests

from tests.servers import free_port

T = TypeVar("T")
COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server", "--host", "127.0.0.1", "--workers", "1"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
ROOT = Path(__file__).resolve().parents[1]
HANGS_SECONDS = 600.0
"""Whoever waits longer than this, waits for something that does not come, also on a slow and busy machine."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.25
REQUEST_SECONDS = 120.0
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class Airflow:
    """One Airflow: its processes and its REST API.

    :param home: an empty directory for its database, logs and configuration.
    :param dags_folder: where the DAG files are.
    :param env: more environment variables for every process.
    """

    components: Mapping[str, list[str]] = COMPONENTS
    api_root = "/api/v2"

    def __init__(self, home: Path, *, dags_folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({"admin": "admin"}))
        self._output = home / "logs-of-processes"
        self._output.mkdir()
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(home),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # by default 30 s, and then it is an import error
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
            **(env or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        # Otherwise a request may go out on a connection that the server closes at this moment, idle for 5 s.
        self._session.headers["Connection"] = "close"

    def prepare(self) -> None:
        """Make the database."""
        self.run("db", "migrate")

    def run(self, *arguments: str) -> str:
        """Run the ``airflow`` command to its end and return what it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments], env=self.env, cwd=self.home, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def start(self, name: str) -> None:
        """Start a component in a process group of its own."""
        assert name not in self.processes, f"{name} runs already"
        with (self._output / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self.components[name]],
                env=self.env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a component and all its child processes. After SIGKILL, it can be started again."""
        _signal_tree(self.processes[name].pid, number)
        if number == signal.SIGKILL:
            self.processes.pop(name).wait()

    def stop(self) -> None:
        """Stop everything, and make sure that no process of this home is left."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        psutil.wait_procs(self.below(), timeout=STOP_SECONDS)
        while left := self.below():  # one that starts another at that moment is found by the next turn
            for survivor in left:
                with suppress(psutil.NoSuchProcess):
                    survivor.kill()
            psutil.wait_procs(left)
        for name in [*self.processes]:
            self.processes.pop(name).wait()

    def below(self) -> list[psutil.Process]:
        """Return every process of this Airflow, even if its parent has ended.

        A process is in the session of a component, or it has begun a new session and has this home in its environment.
        """
        sessions = {process.pid for process in self.processes.values()}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if os.getsid(process.pid) in sessions or process.environ().get("AIRFLOW_HOME") == str(self.home):
                    found.append(process)
        return found

    def output(self, name: str) -> str:
        """Return what a component printed so far."""
        return (self._output / f"{name}.log").read_text(errors="replace")

    def api(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        """Call the REST API.

        :param path: after ``/api/v2``, such as ``/dags/my_dag/dagRuns``.
        :param parameters: of the query.
        """
        response = self._request(method, path, body, parameters)
        if response.status_code == 401:
            login = self._session.post(
                f"{self.url}/auth/token", json={"username": "admin", "password": "admin"}, timeout=REQUEST_SECONDS
            )
            login.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            response = self._request(method, path, body, parameters)
        if not response.ok:
            raise requests.HTTPError(f"{method} {path}: {response.status_code} {response.text}", response=response)
        return response.json() if response.content else None

    def healthy(self, *names: str) -> bool:
        """Whether the monitor calls all these components healthy."""
        health = self.api("GET", "/monitor/health")
        return all(health[name.replace("-", "_")]["status"] == "healthy" for name in names)

    def unpause(self, dag_id: str) -> None:
        """Wait until the DAG is known, and unpause it."""
        self.wait(lambda: self._unpause(dag_id), f"DAG {dag_id} to be parsed")

    def trigger(self, dag_id: str, *, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Wait until the DAG is known, unpause it, start a run, and return the run's id."""
        self.unpause(dag_id)
        body = {"logical_date": None, "conf": conf or {}, "dag_run_id": run_id}
        return str(self.api("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return every task instance of a run, mapped ones too."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task instance as the REST API has it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return dict(self.api("GET", path if map_index < 0 else f"{path}/{map_index}"))

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance as ``failed`` or ``success``, as the UI does."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.api("PATCH", path if map_index < 0 else f"{path}/{map_index}", {"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Clear a task instance, whatever its state, as the UI does."""
        self.api(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": [task_id if map_index < 0 else [task_id, map_index]],
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom's value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path, map_index=map_index, deserialize=True)["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return a try's log as text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        return json.dumps(self.api("GET", path, map_index=map_index, full_content=True)["content"], indent=1)

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: str | Collection[str],
        *,
        map_index: int = -1,
        seconds: float = HANGS_SECONDS,
    ) -> dict[str, Any]:
        """Wait until a task instance is in one of the states. If it ends in another state, raise."""
        wanted = {states} if isinstance(states, str) else set(states)

        def look() -> dict[str, Any] | None:
            task = self.task(dag_id, run_id, task_id, map_index)
            assert task["state"] in wanted or task["state"] not in ENDED, f"{task_id} ended as {task['state']}"
            return task if task["state"] in wanted else None

        return self.wait(look, f"{dag_id}.{task_id} to be {wanted}", seconds=seconds)

    def wait_for_deferral(self, dag_id: str, run_id: str, task_id: str, *, seconds: float = HANGS_SECONDS) -> None:
        """Wait until a task is deferred and the scheduler knows that its worker has ended.

        The worker's supervisor may run for 5 s after the task has ended. If the task resumes in this time, Airflow
        thinks that it was killed.
        """
        self.wait_for_task(dag_id, run_id, task_id, "deferred", seconds=seconds)
        self.wait(
            lambda: self.worker_has_ended(dag_id, run_id, task_id),
            f"the scheduler to hear of the end of the worker of {dag_id}.{task_id}",
            seconds=seconds,
        )

    def worker_has_ended(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Whether the scheduler knows that a worker of the task has ended."""
        key = f"TaskInstanceKey(dag_id='{dag_id}', task_id='{task_id}', run_id='{run_id}'"
        return any("Received executor event" in line and key in line for line in self.output("scheduler").splitlines())

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        states: str | Collection[str] = ("success", "failed"),
        *,
        seconds: float = HANGS_SECONDS,
    ) -> dict[str, Any]:
        """Wait until a run is in one of the states. If it ends in another state, raise."""
        wanted = {states} if isinstance(states, str) else set(states)

        def look() -> dict[str, Any] | None:
            run = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
            assert run["state"] in wanted or run["state"] not in ENDED, f"{run_id} ended as {run['state']}"
            return dict(run) if run["state"] in wanted else None

        return self.wait(look, f"run {run_id} of {dag_id} to be {wanted}", seconds=seconds)

    def wait(self, look: Callable[[], T | None], what: str, *, seconds: float = HANGS_SECONDS) -> T:
        """Call ``look`` until it returns something true. If the API is down, this counts as "not yet"."""
        end = time.monotonic() + seconds
        while True:
            with suppress(requests.ConnectionError, requests.Timeout):
                if found := look():
                    return found
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended by itself:\n{self.output(name)[-4000:]}"
            assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
            time.sleep(POLL_SECONDS)

    def _unpause(self, dag_id: str) -> bool:
        try:
            self.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != 404:
                raise
            for broken in self.api("GET", "/importErrors")["import_errors"]:
                raise AssertionError(broken["stack_trace"]) from None
            return False
        return True

    def _request(self, method: str, path: str, body: Any, parameters: Mapping[str, Any]) -> requests.Response:
        return self._session.request(
            method, f"{self.url}{self.api_root}{path}", json=body, params=parameters, timeout=REQUEST_SECONDS
        )


@contextmanager
def running_airflow(
    home: Path,
    *,
    dags_folder: Path,
    env: Mapping[str, str] | None = None,
    components: Collection[str] = tuple(COMPONENTS),
    kind: type[Airflow] = Airflow,
) -> Iterator[Airflow]:
    """Run an Airflow until the block ends, and then stop every process that it started.

    :param home: an empty directory.
    :param components: which of them to start; the rest can be started later.
    """
    airflow = kind(home, dags_folder=dags_folder, env=env)
    try:
        airflow.prepare()
        for name in components:
            airflow.start(name)
        watched = [name for name in components if name not in ("api-server", "webserver")]
        airflow.wait(lambda: airflow.healthy(*watched), f"{', '.join(components)} to be healthy")
        yield airflow
    finally:
        airflow.stop()


def _signal_tree(pid: int, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
