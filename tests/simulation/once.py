"""Two real sends of one task, as with ``send_once``, with code of the user's own around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_passnotify.delivery.folder import path_segment
from airflow_provider_passnotify.delivery.journal import Delivery, Journal
from airflow_provider_passnotify.delivery.single import SinglePush
from tests.simulation.api import connect
from tests.simulation.process import Fates, Operation, Process
from tests.simulation.single import REQUESTS, task_store

if TYPE_CHECKING:
    from tests.simulation.world import World


class OwnCodeError(Exception):
    """The user's code failed."""


def requests_of(variant: int) -> list[int]:
    """Return the order of the requests. It is not the same in each try."""
    return [0, 1] if variant == 0 else [1, 0]


def send_two(world: World, process: Process) -> list[int]:
    """Do what a plain ``@task`` does that calls ``send_once`` twice."""
    remembered: set[str] = set()  # as in the session of a process
    return [
        _send(world, process, number, remembered, "own code fails" if place else "own code fails at once")
        for place, number in enumerate(requests_of(world.variants[process.number]))
    ]


def _send(world: World, process: Process, number: int, remembered: set[str], failure: str) -> int:
    def fail() -> None:
        raise OwnCodeError

    fates: Fates = {"": (1.0, lambda: None), failure: (0.05, fail)}
    process.do(Operation("own code", fates))
    request, settings = REQUESTS[number], world.settings
    identity = path_segment(f"send_once/target:{request.address}")
    push = SinglePush(
        request,
        Journal(
            task_store(world, process, identity=identity, remembered=remembered), resume=settings.on_clear == "resume"
        ),
        delivery=Delivery(settings.delivery),
        send_before=None,
    )
    return push.send(lambda: connect(world, process))
