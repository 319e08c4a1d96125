"""A process of a task: real code that stops before each change of the world, and continues when the world says so.

It runs in greenlets, so a switch takes only a microsecond and a history is the same each time. A greenlet stops in
:meth:`Process.do`. A killed process changes nothing in the world, even if its code still runs ``finally`` blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import greenlet

if TYPE_CHECKING:
    from tests.simulation.world import World

Fates = dict[str, tuple[float, Callable[[], Any]]]
"""The possible results of a step: a weight, and the change of the world. The first one is without trouble."""


class Killed(greenlet.GreenletExit):
    """SIGKILL."""


class Operation:
    """Something that a process is about to do.

    :param name: for the trace.
    :param fates: its possible results.
    """

    __slots__ = ("error", "fates", "finish", "name", "strand", "value")

    def __init__(self, name: str, fates: Fates) -> None:
        self.name, self.fates = name, fates
        self.value: Any = None
        self.error: BaseException | None = None
        self.strand: greenlet.greenlet | None = None
        self.finish: Callable[[Operation], None] | None = None

    def __str__(self) -> str:
        return self.name

    def run(self, fate: str) -> None:
        """Do it to the world."""
        try:
            self.value = self.fates[fate][1]()
        except Exception as error:  # noqa: BLE001 (the process gets it)
            self.error = error


class Process:
    """One process of one try.

    :param world: the world of the process.
    :param body: its code. The return value is the result of the task.
    """

    def __init__(self, world: World, number: int, body: Callable[[Process], Any]) -> None:
        self.world, self.number = world, number
        self.pending: list[Operation] = []
        self.is_dead = False
        self.has_ended = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._hub = greenlet.getcurrent()
        self._body = body
        self._main = greenlet.greenlet(self._run)
        self.wake: Callable[[], bool] | None = None
        """Whether the main strand, which waits for others, has something to do now."""
        self.beside: Callable[[], None] | None = None
        """What a thread of the process has to do."""
        self.timer: Operation | None = None
        """The clock going on, where it waits for that, too."""
        self.timer_rang = False
        self.is_restarted = False
        """Whether its task was cleared while it ran, on an Airflow that does not tell that from any other clear."""
        self.is_given_up = False
        self.is_stopping = False
        self.on_stop: Callable[[], None] = lambda: None
        """What SIGTERM does (``on_kill``)."""
        self.folder: Any = None
        """The real folder, which all sends of the process share."""
        self.report: list[dict[str, Any]] | None = None
        self.counts: Any = None

    def __repr__(self) -> str:
        return f"p{self.number}"

    def start(self) -> None:
        """Run until the next step."""
        self._main.switch()
        self._go_on()

    @property
    def next(self) -> list[Operation]:
        """What it may do next."""
        return [*self.pending, self.timer] if self.timer is not None else self.pending

    def do(self, operation: Operation) -> Any:
        """Stop until the world has done it. Then return the result, or raise it if it is an exception."""
        if self.is_dead:
            raise Killed
        operation.strand = greenlet.getcurrent()
        self.pending.append(operation)
        self._hub.switch()
        if self.is_dead:
            raise Killed
        if operation.error is not None:
            raise operation.error
        return operation.value

    def carry_out(self, operation: Operation, fate: str) -> None:
        """Let the world do it, and the process go on."""
        if operation is not self.timer:
            self.pending.remove(operation)
        operation.run(fate)
        if self.is_dead:  # killed by it
            return
        if operation.finish is not None:
            operation.finish(operation)
        elif operation.strand is not None:
            operation.strand.switch()
        self._go_on()

    def wait(self) -> None:
        """Stop the main strand until :attr:`wake` says so; meanwhile :attr:`beside` may run."""
        self._hub.switch()
        if self.is_dead:
            raise Killed

    def kill(self) -> None:
        """SIGKILL."""
        self.is_dead = True
        strands = {operation.strand for operation in self.pending if operation.strand is not None}
        self.pending = []
        for strand in [*strands, self._main]:
            if strand:
                strand.throw(Killed)

    def _run(self) -> None:
        try:
            self.result = self._body(self)
        except Killed:
            return
        except BaseException as error:  # noqa: BLE001 (the world looks at it; a time-out is no Exception)
            self.error = error
        self.has_ended = True

    def _go_on(self) -> None:
        while not self.is_dead and not self.has_ended:
            if self.beside is not None:
                body, self.beside = self.beside, None
                greenlet.greenlet(body).switch()
            elif self.wake is not None and self.wake():
                self._main.switch()
            else:
                return
