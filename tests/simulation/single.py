"""The real single send, in one process of the simulated task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.delivery.folder import Folder, ObjectFiles
from airflow_provider_passnotify.delivery.journal import Delivery, Journal
from airflow_provider_passnotify.delivery.single import SinglePush
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.targets import make_target
from tests.simulation.api import connect
from tests.simulation.folders import FileSystem
from tests.simulation.process import Fates, Operation, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

REQUESTS = [
    protocol.send_request(make_target("pass", {"pass_id": pass_id}), value="Gate 7") for pass_id in ("123", "124")
]


class WaitError(Exception):
    """The ticket failed, or did not end in time."""


class FinalWaitError(WaitError, AirflowFailException):
    """The same, without a retry."""


def task_store(world: World, process: Process, *, identity: str = "", remembered: set[str] | None = None) -> TaskStore:
    """Return the real journal of this try, with the simulated stores.

    :param identity: of the sender, if it is not the task's operator.
    :param remembered: where this process has written the memory of its try.
    """
    number, airflow = process.number, world.settings.airflow
    this_try = world.tries[number]
    if world.folders_used[number] and process.folder is None:
        files = ObjectFiles(FileSystem(world.objects[world.hosts[number]], process).root)
        owner = {"nonce": f"process {number}", "host": world.hosts[number], "pid": number, "at": "now"}
        process.folder = Folder(files, this_try, where="journal", owner=owner)
    return TaskStore(
        this_try,
        world.task_state_store(process),
        folder=process.folder,
        identity=identity,
        remembered=remembered,
        discards=airflow.discards_on_clear or airflow.clear_on_success,
        is_being_cleared=lambda: not airflow.has_history and world.is_being_cleared(process),  # 2.11 cannot be asked
    )


class Deferred(BaseException):
    """The task waits in the triggerer; no Exception in Airflow, either."""

    def __init__(self, ticket_id: int) -> None:
        super().__init__(ticket_id)
        self.ticket_id = ticket_id


def new_push(world: World, process: Process, variant: int) -> SinglePush:
    """Return the real send of this process.

    :param variant: which target it has.
    """
    settings = world.settings
    return SinglePush(
        REQUESTS[variant],
        Journal(task_store(world, process), resume=settings.on_clear == "resume"),
        delivery=Delivery(settings.delivery),
        send_before=None,
        waits=settings.waits,
    )


def resume_one(world: World, process: Process, ticket_id: int) -> int:
    """Do what ``SendNotificationOperator.execute_complete`` does, in a new process."""
    wait(world, process, new_push(world, process, world.variant), ticket_id)
    return ticket_id


def send_one(world: World, process: Process) -> Any:
    """Do what ``SendNotificationOperator.execute`` does."""
    settings = world.settings
    push = new_push(world, process, world.variants[process.number])
    process.on_stop = lambda: setattr(push, "stopped", True)
    ticket_id = push.send(lambda: connect(world, process))
    if settings.waits:
        try:
            if settings.defers:
                raise Deferred(ticket_id)
            wait(world, process, push, ticket_id)
        finally:
            push.waiting_ended()
    return ticket_id


def wait(world: World, process: Process, push: SinglePush, ticket_id: int) -> None:
    """Wait for the ticket."""
    error = FinalWaitError if push.retry_is_unsafe else WaitError

    def fail() -> bool:
        return world.end_ticket(ticket_id, fails=True)

    def time_out() -> None:
        raise error("the ticket did not end in time")

    def end() -> bool:
        return world.end_ticket(ticket_id)

    fates: Fates = {"": (1.0, end), "ticket failed": (0.05, fail), "times out": (0.05, time_out)}
    if not process.do(Operation("wait", fates)):
        push.ticket_failed("FAILED")
        raise error("the ticket failed")
