"""Tries of a task, each a process of its own whose journal is in a bucket. Imported once, by the server that forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import s3fs  # noqa: F401 (costs a second, once)
from airflow.providers.amazon.aws.fs import s3  # noqa: F401

from airflow_provider_passnotify.api.client import PassNotifyClient
from airflow_provider_passnotify.delivery.at_most_every import AlertLimit
from airflow_provider_passnotify.delivery.folder import ObjectFiles
from airflow_provider_passnotify.delivery.storage import storage_path
from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from tests.stores import context_of

RETRIES = 5
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.storage.tries"])
assert storage_path("/").fs  # asks all providers for their file systems, once
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # where that server finds it


def send(path: str, try_number: int, **more: Any) -> Any:
    """Run a try of a single send; return its ticketId."""
    operator = SendNotificationOperator(
        task_id="send", target_type="pass", pass_id=123, value="Gate 7", retries=RETRIES, journal_path=path
    )
    return operator.execute(context_of(None, try_number, RETRIES, retries=RETRIES, **more))


def send_batch(path: str, try_number: int, **more: Any) -> Any:
    """Run a try of a batch of three; return its summary."""
    operator = SendNotificationBatchOperator(
        task_id="batch",
        notifications=[{"pass_id": number} for number in (123, 124, 125)],
        target_type="pass",
        value="Gate 7",
        retries=RETRIES,
        journal_path=path,
        max_failures=1.0,
    )
    return operator.execute(context_of(None, try_number, RETRIES, retries=RETRIES, **more))


KINDS = {"single": send, "batch": send_batch}


def attempt(kind: str, path: str, try_number: int) -> str:
    """Run a try in this process, and return what came of it as text."""
    try:
        return f"done {KINDS[kind](path, try_number)}"
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


def run(kind: str, path: str, try_number: int, env: dict[str, str], step: str = "") -> tuple[str, int | None]:
    """Run a try in a new process; return what came of it, and how the process ended.

    :param step: before or after which it kills itself, such as ``after try.1.intent``.
    """
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_run, args=(kind, path, try_number, env, step, theirs))
    process.start()
    theirs.close()
    try:
        said = str(ours.recv())
    except EOFError:
        said = ""
    process.join()
    return said, process.exitcode


def _run(kind: str, path: str, try_number: int, env: dict[str, str], step: str, pipe: Connection) -> None:
    os.environ.update(env)
    _strike(step)
    pipe.send(attempt(kind, path, try_number))


def claim(path: str, env: dict[str, str], pipe: Connection) -> None:
    """Try to be the one that rings."""
    os.environ.update(env)
    pipe.send(AlertLimit(path, ("key", "/pass/123/notify"), 86400.0 * 365).claim({}) is None)


def _strike(step: str) -> None:
    write, call = ObjectFiles.write, PassNotifyClient.call

    def reach(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def note_write(files: ObjectFiles, name: str, data: bytes) -> None:
        reach(f"before {name}")
        write(files, name, data)
        reach(f"after {name}")

    def note_call(client: PassNotifyClient, *args: Any, **kwargs: Any) -> Any:
        reach("before POST")
        answer = call(client, *args, **kwargs)
        reach("after answer")
        return answer

    ObjectFiles.write, PassNotifyClient.call = note_write, note_call  # type: ignore[method-assign, assignment]
