"""A round: one notification of one task instance, the fault that hits it, and the result."""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.airflow_cluster import ENDED
from tests.chaos.gate import Exchange, Gate, Point, Trap
from tests.chaos.stage import LOOK_EVERY, TASK, Stage, has_ended
from tests.chaos.watch import STATE, Process, Trail, gone

STORE, FOLDER = "store", "folder"
AT_MOST_ONCE, AT_LEAST_ONCE = MODES = ("at_most_once", "at_least_once")
LOG_TIMES = 60
BEGAN = ("Worker startup parse complete", "Started process")  # in the log of a try that began: Airflow 3, Airflow 2
Act = Callable[["Round"], Awaitable[None]]
Matches = Callable[[Exchange], bool]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at an exact moment.

    :param act: sets its traps, begins the round, and does its damage.
    :param line: the line of the guide that it plays (:mod:`tests.chaos.lines`), if it plays one.
    :param unknown: whether the next try may be unable to know if it was sent. Only then, ``at_least_once`` may send
        twice.
    :param surely_unknown: whether no try can know it. Then ``at_most_once`` fails, and ``at_least_once`` sends again.
    :param gives_up: whether it is right that nothing is sent, because a person or the API said so.
    :param deliveries: how many deliveries there must be, if that is certain.
    :param writes: what each try that writes anything must write into the journal, if that is certain.
    :param kinds: the DAGs for which it makes sense. The short form takes the first one.
    :param connection: ``gated`` by the proxy, ``direct`` to the sandbox, ``hasty`` with short time-outs, or to
        ``nowhere``.
    :param size: bytes of the message.
    :param short: whether it is in the short form.
    :param sends: whether the task is one that sends.
    :param alone: whether it hits every round that runs, so that it is played alone. It is not in the short form.
    :param stores: where the journal may be: in Airflow's ``store``, in a ``folder``.
    :param in_folder: what is different with a folder.
    :param in_airflow_2: what is different on Airflow 2.
    """

    name: str
    act: Act
    line: str = ""
    unknown: bool = False
    surely_unknown: bool = False
    gives_up: bool = False
    deliveries: int | None = None
    writes: tuple[tuple[str, ...], ...] | None = None
    kinds: tuple[str, ...] = ("plain", "mapped")
    modes: tuple[str, ...] = MODES
    connection: str = "gated"
    size: int = 1
    alone: bool = False
    sends: bool = True
    short: bool = True
    stores: tuple[str, ...] = (STORE, FOLDER)
    in_folder: Mapping[str, Any] = field(default_factory=dict)
    in_airflow_2: Mapping[str, Any] = field(default_factory=dict)

    def adapted(self, *, folder: bool, airflow_2: bool) -> Fault:
        """Return it as it is with this journal on this Airflow."""
        return replace(self, **(self.in_folder if folder else {}), **(self.in_airflow_2 if airflow_2 else {}))

    @property
    def told_apart(self) -> bool:
        """Whether the delivery mode makes a difference."""
        return self.unknown and not self.gives_up and self.modes == MODES


class Run:
    """One DAG run, with one round, or several where the task is mapped."""

    def __init__(self, stage: Stage, kind: str, mode: str, connection: str, size: int) -> None:
        self.stage, self.dag_id, self.run_id = stage, f"chaos_{kind}_{mode}", ""
        self.rounds: list[Round] = []
        self._conf = {"connection": connection, "size": size}
        self._ready, self._done, self._begun = 0, 0, asyncio.Event()
        self._playing: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def slot(self, slots: asyncio.Semaphore) -> AsyncIterator[None]:
        """Hold a slot for the whole run, from its first round to its last."""
        if self._playing is None:
            self._playing = asyncio.create_task(slots.acquire())
        await asyncio.shield(self._playing)
        try:
            yield
        finally:
            self._done += 1
            if self._done == len(self.rounds):
                self.stage.board.runs.discard(self.run_id)
                slots.release()

    async def begin(self) -> None:
        """Begin after every round has set the traps of its fault."""
        self._ready += 1
        if self._ready == len(self.rounds):
            passes = [round_.pass_id for round_ in self.rounds]
            self.run_id = f"run-{passes[0]}"
            self.stage.board.runs.add(self.run_id)
            conf = {**self._conf, "passes": passes}
            await self.stage.ask(lambda: self.stage.airflow.trigger(self.dag_id, conf=conf, run_id=self.run_id))
            self._begun.set()
        await self._begun.wait()

    async def ended(self) -> None:
        """Wait until Airflow has noticed that the last task of the run has ended."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}"
        while (await self.stage.ask(lambda: self.stage.airflow.api("GET", path)))["state"] not in ENDED:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)


@dataclass(eq=False)
class Round:
    """One notification and the fault that hits it.

    :param ordered: how often it is to be sent: once, and once more for each clear and each ticket that failed.
    """

    fault: Fault
    kind: str
    mode: str
    pass_id: str
    run: Run
    map_index: int
    chance: random.Random
    ordered: int = 1
    traps: list[Trap] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        """The stage on which it is played."""
        return self.run.stage

    @property
    def trail(self) -> Trail:
        """What the gates saw of it."""
        return self.stage.watch.trails[self.pass_id]

    async def begin(self) -> None:
        """Start the task. Set the traps before."""
        await self.run.begin()

    @property
    def path(self) -> str:
        """The path of its POST, as a regular expression for the sandbox."""
        return f"/pass/{self.pass_id}/notify$"

    def at_read(self, point: Point, **more: Any) -> Trap:
        """Catch the task when it reads the journal."""
        return self.at_journal_gate(self.stage.watch.is_read, point, **more)

    def at_folder_start(self, point: Point, **more: Any) -> Trap:
        """Catch the task when it writes its start into the folder."""
        return self.at_journal_gate(self.stage.watch.is_folder_start, point, **more)

    def at_write(self, state: str, point: Point, **more: Any) -> Trap:
        """Catch the task when it writes a state into the journal."""
        return self.at_journal_gate(lambda seen: self.stage.watch.state_in(seen) == state, point, **more)

    def at_resume(self, point: Point) -> Trap:
        """Catch the task when it comes back from the triggerer."""
        return self.at_journal_gate(
            lambda seen: self.stage.watch.is_start(seen) and len(self.trail.processes) > 1, point
        )

    def at_journal_gate(self, matches: Matches, point: Point, **more: Any) -> Trap:
        """Catch the task at the gate of the journal: of Airflow's execution API, or of the folder.

        :param more: see :class:`Trap`.
        """
        watch = self.stage.watch
        return self._trap(
            self.stage.journal, lambda seen: watch.pass_of(seen) == self.pass_id and matches(seen), point, **more
        )

    def at_post(self, point: Point) -> Trap:
        """Catch the POST."""
        path = f"/v1/pass/{self.pass_id}/notify"
        return self._trap(self.stage.api, lambda seen: seen.path == path, point)

    def at_ticket(self, point: Point, **more: Any) -> Trap:
        """Catch the polls of the ticket."""
        return self._trap(
            self.stage.api,
            lambda seen: self.trail.ticket_id > 0 and seen.path == f"/v1/ticket/{self.trail.ticket_id}",
            point,
            **more,
        )

    @staticmethod
    def is_state(seen: Exchange, state: str) -> bool:
        """Whether a request tells Airflow that a task instance now has this state."""
        return bool(STATE.match(seen.path)) and json.loads(seen.body)["state"] == state

    @property
    def process(self) -> Process:
        """The process that was started last."""
        return self.trail.processes[-1]

    async def clear(self) -> None:
        """Clear the task, as a person does in the UI."""
        run, index = self.run, self.map_index
        await self.stage.ask(lambda: self.stage.airflow.clear_task(run.dag_id, run.run_id, TASK, index))

    async def mark_failed(self) -> None:
        """Mark the task as failed, as a person does in the UI."""
        run, index = self.run, self.map_index
        await self.stage.ask(lambda: self.stage.airflow.set_task_state(run.dag_id, run.run_id, TASK, "failed", index))

    async def in_state(self, *states: str) -> None:
        """Wait until Airflow has the task in one of these states."""
        await self.stage.board.wait(self.run.run_id, self.map_index, lambda task: task["state"] in states)

    async def deferred(self) -> None:
        """Wait until the task is deferred and the scheduler knows that its worker has ended.

        If the task resumes before that, Airflow thinks that it was killed.
        """
        await self.in_state("deferred")
        while not self.stage.airflow.worker_has_ended(self.run.dag_id, self.run.run_id, TASK):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)

    async def ended(self, after_try: int = 0) -> str:
        """Wait until the task has ended, in a try later than ``after_try``, and return its state."""
        task = await self.stage.board.wait(
            self.run.run_id, self.map_index, lambda task: has_ended(task) and task["try_number"] > after_try
        )
        return str(task["state"])

    async def state_now(self) -> str:
        """Ask Airflow for the state of the task."""
        run, index = self.run, self.map_index
        task = await self.stage.ask(lambda: self.stage.airflow.task(run.dag_id, run.run_id, TASK, index))
        return str(task["state"])

    async def settled(self) -> None:
        """Wait until the task and all its processes have ended."""
        await self.ended()
        for process in [*self.trail.processes]:
            await gone(process.task)

    async def names_it(self) -> bool:
        """Whether the last try's log names the target. (Or an earlier log, if Airflow gave up before it began.)

        If a person marked it as failed, its supervisor may write the log after that.
        """
        for _ in range(LOG_TIMES):
            if await self._names_it_now():
                return True
            await asyncio.sleep(LOOK_EVERY)
        return False

    async def _names_it_now(self) -> bool:
        run, index = self.run, self.map_index
        last = self.stage.board.get(run.run_id, index)["try_number"]
        for number in range(last, 0, -1):
            log = await self.stage.ask(
                functools.partial(self.stage.airflow.task_log, run.dag_id, run.run_id, TASK, number, index)
            )
            if f"/v1/pass/{self.pass_id}/notify" in log:
                return True
            if any(mark in log for mark in BEGAN):
                return False
        return False

    def disarm(self) -> None:
        """Remove its traps, and let the requests go on that they hold."""
        for trap in self.traps:
            trap.release()

    def _trap(self, gate: Gate, matches: Matches, point: Point, **more: Any) -> Trap:
        trap = gate.trap(Trap(matches, point, **more))
        self.traps.append(trap)
        return trap
