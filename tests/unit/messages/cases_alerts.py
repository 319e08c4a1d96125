"""The notifier: what became of an alert, and what is refused at parse."""

from __future__ import annotations

import asyncio
from typing import Any

from fsspec import AbstractFileSystem

from airflow_provider_passnotify.delivery.at_most_every import AlertLimit
from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier
from airflow_provider_passnotify.sandbox.server import running_sandbox
from tests.servers import NOTHING, TICKET
from tests.unit.messages.stage import Stage, api_error, case

ALERT: dict[str, Any] = {"target_type": "pass", "pass_id": 123, "value": "The task failed"}


def _alert(stage: Stage, *answers: Any, times: int = 1, **arguments: Any) -> None:
    with stage.answering(*answers):
        for _ in range(times):
            PassNotifyNotifier(**{**ALERT, **arguments})({"dag_run": {}})


def _limit(stage: Stage) -> dict[str, Any]:
    return {"at_most_every": 86400 * 365, "dedupe_key": "load", "journal_path": str(stage.folder)}


@case
def alert_sent(stage: Stage) -> None:
    _alert(stage)


@case
def alert_held_back(stage: Stage) -> None:
    _alert(stage, times=2, **_limit(stage))


@case
def alert_rejected(stage: Stage) -> None:
    _alert(stage, api_error(404, "There is no pass 123."))


@case
def alert_unknown(stage: Stage) -> None:
    _alert(stage, NOTHING)


@case
def alert_template(stage: Stage) -> None:
    _alert(stage, value="{{ ti.task_id }} failed")


@case
def alert_template_comes_to_nothing(stage: Stage) -> None:
    _alert(stage, value="{{ '' }}")


@case
def alert_without_a_connection(stage: Stage) -> None:
    _alert(stage, passnotify_conn_id="nowhere")


@case
def alert_and_the_triggerer_is_stopped(stage: Stage) -> None:
    async def run(sandbox: Any) -> None:
        task = asyncio.ensure_future(PassNotifyNotifier(**ALERT).async_notify({}))  # type: ignore[arg-type]
        await asyncio.to_thread(sandbox.wait_for, held=1)
        task.cancel()
        await asyncio.wait([task])

    with running_sandbox() as sandbox:
        stage.patch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        sandbox.add_fault("hold", stage="accepted")
        asyncio.run(run(sandbox))


@case
def alert_of_a_deadline_tried_again_at_once(stage: Stage) -> None:
    """The triggerer sends it."""
    with stage.answering(api_error(429, "Too many.", Retry_After="0"), TICKET) as server:
        stage.connect(server.url, extra={"max_retries": 1})
        asyncio.run(PassNotifyNotifier(**ALERT).async_notify({}))  # type: ignore[arg-type]


@case
def alert_memory_cannot_be_used(stage: Stage) -> None:
    (stage.folder / "file").write_text("")
    _alert(stage, **{**_limit(stage), "journal_path": str(stage.folder / "file")})


@case
def alert_memory_cannot_be_given_back(stage: Stage) -> None:
    def release(_: AlertLimit) -> None:
        raise OSError(5, "Input/output error")

    stage.patch.setattr(AlertLimit, "release", release)
    _alert(stage, api_error(404, "There is no pass 123."), **_limit(stage))


@case
def alert_memory_cannot_tell_who_was_first(stage: Stage) -> None:
    import fsspec
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    class NeverFirst(MemoryFileSystem):
        protocol = "neverfirst"
        pipe_file = AbstractFileSystem.pipe_file

    fsspec.register_implementation("neverfirst", NeverFirst, clobber=True)
    attach("neverfirst", fs=NeverFirst())
    _alert(stage, **{**_limit(stage), "journal_path": "neverfirst://alerts"})


@case
def alert_memory_takes_everything_for_new(stage: Stage) -> None:
    stage.patch.setattr("airflow_provider_passnotify.delivery.at_most_every._LocalFiles.create", lambda *_: True)
    _alert(stage, **_limit(stage))


@case
def alert_at_most_every_without_a_key(stage: Stage) -> None:
    _alert(stage, at_most_every=60)


@case
def alert_at_most_every_without_a_path(stage: Stage) -> None:
    _alert(stage, at_most_every=60, dedupe_key="load")


@case
def alert_key_without_at_most_every(stage: Stage) -> None:
    _alert(stage, dedupe_key="load")


@case
def alert_with_an_xcom(stage: Stage) -> None:
    class XCom:
        def iter_references(self) -> None: ...

    _alert(stage, value=XCom())
