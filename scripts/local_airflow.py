"""A temporary Airflow on SQLite that runs DAGs, for ``make demo`` and ``tests/airflow``.

The differences between the Airflow versions are in ``airflow_worker.py``, which also reads the results of a run. This
file does not import Airflow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

WORKER = Path(__file__).with_name("airflow_worker.py")


class TaskKey(NamedTuple):
    """Identifies a task instance within a run. The map index is -1 if the task is not mapped."""

    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class TaskResult:
    """How one task instance ended.

    :param started: when, as text that sorts.
    """

    state: str | None
    try_number: int
    max_tries: int
    started: str | None
    rendered_fields: dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """The results of a DAG run.

    :param state: the state of the run, such as ``success``.
    :param tasks: the task instances, by task id and map index.
    :param xcoms: the XComs, by task id, map index and key.
    :param log_text: everything that Airflow and the tasks logged during the run.
    """

    run_id: str
    state: str
    tasks: dict[TaskKey, TaskResult]
    xcoms: dict[tuple[TaskKey, str], Any]
    log_text: str

    def task(self, task_id: str, map_index: int = -1) -> TaskResult:
        """Return how a task instance ended."""
        return self.tasks[TaskKey(task_id, map_index)]

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return what a task pushed, ``None`` if it did not."""
        return self.xcoms.get((TaskKey(task_id, map_index), key))

    def mapped_xcoms(self, task_id: str, key: str = "return_value") -> list[Any]:
        """Return what the instances of a mapped task pushed, by map index."""
        return [self.xcom(task_id, key, task.map_index) for task in sorted(self.tasks) if task.task_id == task_id]


class ParseError(Exception):
    """There is no such DAG. The message has Airflow's import errors."""


class LocalAirflow:
    """An Airflow home with a database, and one Airflow process that runs DAGs in it, one after the other.

    :param home: an empty directory.
    :param dag_folders: directories with DAG files.
    :param env: more environment variables than the caller's, such as connections.
    """

    def __init__(self, home: Path, *, dag_folders: Iterable[Path], env: Mapping[str, str]) -> None:
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        for folder in dag_folders:
            (self.dags / folder.name).symlink_to(folder.resolve())
        self.log = home / "airflow.log"
        self.env = {**clean_environment(), **_settings(home, self.dags), **env}
        self._worker: subprocess.Popen[str] | None = None

    def __enter__(self) -> LocalAirflow:
        migration = self.command("db", "migrate")
        if migration.returncode:
            raise RuntimeError(f"'airflow db migrate' failed:\n{migration.stdout}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is None or self._worker.stdin is None:
            return
        with suppress(BrokenPipeError):
            self._worker.stdin.close()  # the process ends at the end of its input
        self._worker.wait()

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command. Its output is in ``stdout`` of the result, and in the log."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        with self.log.open("a") as log:
            log.write(done.stdout)
        return done

    def run_dag(
        self, dag_id: str, conf: object = None, env: Mapping[str, str] | None = None, *, dateless: bool = False
    ) -> RunResult:
        """Run a DAG of the folders to its end, and return its results.

        :param conf: the conf of the run.
        :param env: environment variables for this run only, such as connections.
        :param dateless: whether the run has no logical date, like a run that an asset starts (Airflow 3).
        :raises ParseError: if there is no such DAG.
        """
        start = self.log.stat().st_size
        answer = self._ask({"run": dag_id, "conf": conf, "env": dict(env or {}), "dateless": dateless})
        with self.log.open("rb") as log:
            log.seek(start)
            log_text = log.read().decode(errors="replace")
        if "run_id" not in answer:
            errors = "\n".join(answer["errors"].values()) or f"Airflow found {', '.join(answer['dags'])}"
            raise ParseError(f"there is no DAG {dag_id!r}: {errors}")
        return _run_result(answer, log_text)

    def import_errors(self, file: Path) -> list[str]:
        """Return the errors that Airflow shows for a DAG file."""
        return list(self._ask({"parse": str(file)})["errors"].values())

    def _ask(self, question: dict[str, Any]) -> Any:
        if self._worker is None:
            self._worker, self._answers = self._start_worker()
        assert self._worker.stdin is not None
        self._worker.stdin.write(json.dumps(question) + "\n")
        self._worker.stdin.flush()
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError(f"The process that runs the DAGs ended ({self._worker.wait()}); see {self.log}")
        return json.loads(answer)

    def _start_worker(self) -> tuple[subprocess.Popen[str], Any]:
        reader, writer = os.pipe()
        with self.log.open("a") as log:
            worker = subprocess.Popen(
                [sys.executable, str(WORKER), str(writer), str(self.dags)],
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                pass_fds=[writer],
            )
        os.close(writer)
        return worker, os.fdopen(reader)


def _run_result(answer: dict[str, Any], log_text: str) -> RunResult:
    tasks, xcoms = {}, {}
    for task in answer["tasks"]:
        key = TaskKey(*task["key"])
        tasks[key] = TaskResult(**task["result"])
        xcoms.update({(key, name): value for name, value in task["xcoms"].items()})
    return RunResult(answer["run_id"], answer["state"], tasks, xcoms, log_text)


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that point to the caller's own Airflow or packages."""
    foreign = ("AIRFLOW_", "_AIRFLOW_", "PASSNOTIFY_", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _settings(home: Path, dags: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
