"""The file system through which tasks reach the folder of :mod:`tests.chaos.folder`. It stands in ``journal_path``."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from tests.stores import attach

PROTOCOL, ROOT, BEGAN = "gated", "journal", "/began"
VARIABLE = "CHAOS_FOLDER"
"""The environment variable with host and port of the gate."""
PATIENCE = 600.0


class GatedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Whole files, by HTTP."""

    protocol = PROTOCOL

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:  # noqa: ARG002
        """Return the content of a file."""
        status, content = _ask("GET", f"/{path.strip('/')}")
        if status == 404:
            raise FileNotFoundError(path)
        return content

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Write a file."""
        _ask("PUT", f"/{path.strip('/')}", value)


def is_used() -> bool:
    """Whether the journal is in the folder."""
    return VARIABLE in os.environ


def attach_files() -> None:
    """Make the folder known to Airflow's object storage in this process."""
    fsspec.register_implementation(PROTOCOL, GatedFiles, clobber=True)
    attach(PROTOCOL, fs=GatedFiles())


def tell(context: Any) -> None:
    """Tell the gate which process runs a task. This is the task's ``on_execute_callback``."""
    ti = context["ti"]
    task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    known = {"task": task, "try": ti.try_number, "pid": os.getpid(), "pass": str(ti.task.pass_id)}
    _ask("POST", BEGAN, json.dumps(known).encode())


def _ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(os.environ[VARIABLE], timeout=PATIENCE)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status not in (200, 404):
        raise OSError(f"{method} {path}: {answer.status}")
    return answer.status, content
