"""The simulated API: what reached it, and what it answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.exceptions import PassNotifyConfigError
from tests.simulation.process import Fates, Operation, Process

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(slots=True)
class Push:
    """A message that reached phones.

    :param address: whom it is for.
    :param order: of which order of a person it is.
    :param ticket_failed: the API accepted it and nobody saw it; it may be sent again.
    :param ticket_succeeded: somebody was told so; it cannot fail any more.
    :param is_closed: its process asked whether the task is being cleared, and it was not: a clear from now on is one
        after the end. (Of ``send_once``: or it is recorded as sent.)
    :param is_forgotten: its intent was discarded by a clear while its task ran, and nothing was written after that.
    """

    address: str
    body: bytes
    ticket_id: int
    order: int
    process: Process
    ticket_failed: bool = False
    ticket_succeeded: bool = False
    is_closed: bool = False
    is_forgotten: bool = False


class TimedOut(BaseException):
    """``execution_timeout``: no Exception in Airflow, either."""


def post(world: World, process: Process, request: Request) -> Fates:
    """Return what may come of a POST; each fate returns a verdict."""

    def accept() -> Verdict:
        return Verdict(Outcome.ACCEPTED, ticket_id=world.ring(process, request))

    def ring_without_answer() -> Verdict:
        world.ring(process, request)
        return Verdict(Outcome.UNKNOWN, "read timeout")

    return {
        "accepted": (1.0, accept),
        "not sent": (0.06, lambda: Verdict(Outcome.NOT_SENT, "429", status_code=429)),
        "rejected": (0.02, lambda: Verdict(Outcome.REJECTED, "404", status_code=404)),
        "rings, no answer": (0.04, ring_without_answer),
        "lost, no answer": (0.03, lambda: Verdict(Outcome.UNKNOWN, "read timeout")),
    }


class Client:
    """What the single send calls."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process
        self.in_flight = False

    def call(self, request: Request, *, before_attempt: Callable[[], None] | None = None) -> Verdict:
        """POST once."""
        if before_attempt is not None:
            before_attempt()
        self.in_flight = True
        interrupted: Fates = {
            "interrupted": (0.01, lambda: None),
            "rings, interrupted": (0.01, lambda: self._world.ring(self._process, request) and None),
        }
        verdict: Any = self._process.do(
            Operation(f"POST {request.address}", {**post(self._world, self._process, request), **interrupted})
        )
        if verdict is None:
            raise TimedOut
        self.in_flight = False
        return verdict


def connect(world: World, process: Process) -> Any:
    """Return the client, or fail before anything is sent."""

    def fail() -> None:
        raise PassNotifyConfigError("The connection 'passnotify_default' has no host.")

    process.do(Operation("connect", {"": (1.0, lambda: None), "no connection": (0.04, fail)}))
    return Client(world, process)
