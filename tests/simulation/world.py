"""A simulated Airflow with one task instance, its processes, and all that may happen to them.

What stands here was seen on real Airflows; where this world and a real one differ, this one is wrong.

* Every try has a process; a process that was given up goes on as an orphan until it ends or is killed.
* ``task_state_store``: a process that is no longer the task's gets the default from ``get``, and ``set`` raises. Each
  write may be lost, may arrive and get no answer, may arrive later, or twice.
* A clear sets ``max_tries`` to the tries so far plus ``retries``; that of a running task does not, and its process may
  go on until the next try starts. Where ``clear_number`` rises, it does so for clears of other tasks of the run, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.delivery.task import TaskTry
from tests.simulation.api import Push
from tests.simulation.checks import Checks
from tests.simulation.choices import Action
from tests.simulation.folders import Objects
from tests.simulation.process import Fates, Operation, Process
from tests.simulation.settings import Settings
from tests.simulation.single import Deferred, resume_one

Body = Callable[["World", Process], Any]
Late = tuple[str, Callable[[], None]]
TOLD = (str, int, Process, Operation)
"""Of what happens, the trace tells these."""
OPEN = {"running", "restarting"}
OVER = {"success", "failed"}


class SupersededError(Exception):
    """What Airflow answers to a process that is no longer the task's."""


class World:
    """All of it.

    :param body: what a process of the task does.
    """

    def __init__(self, settings: Settings, body: Body) -> None:
        self.settings, self._body = settings, body
        self.checks = Checks(self)
        self.state = "scheduled"
        self.try_number = 0
        self.retries = self.max_tries = settings.retries
        self.max_tries_before: int | None = None
        self.clear_number = 0
        self.order = 0
        """How often a person has certainly ordered to send again."""
        self.is_misleading = False
        """Whether ``clear_number`` rose for something else than a clear of the task when it did not run."""
        self.was_cleared_while_running = False
        self.is_made_anew_beside = False
        """Whether the run was deleted and made anew while a process of it went on."""
        self.current: Process | None = None
        self.resumed: Process | None = None
        """The process that has deferred, since its trigger fired."""
        self.forgotten: Process | None = None
        """A process that was cleared while it ran, if nothing tells the next try so until it writes again."""
        self.processes: list[Process] = []
        self.tries: dict[int, TaskTry] = {}
        self.orders: dict[int, int] = {}
        self.variants: dict[int, int] = {}
        self.hosts: dict[int, int] = {}
        self.folders_used: dict[int, bool] = {}
        self.stored: dict[str, Any] = {}
        self.late_writes: list[Late] = []
        self.pushes: list[Push] = []
        self.has_folder = settings.folder
        self.host = 0
        self.objects = [Objects(), Objects()]
        self.variant = 0
        """Which target, or which rows, the next try has."""
        self.happened: set[str] = set()
        self.trace: list[str] = []
        self.addresses = ["/pass/123/notify", "/pass/124/notify"]

    # What a process sees

    def task_state_store(self, process: Process) -> TaskState | None:
        """Return Airflow's store, as the process gets it."""
        return TaskState(self, process) if self.settings.airflow.has_store else None

    def owns(self, process: Process) -> bool:
        """Whether Airflow has it as the process of the task."""
        # A task that was marked by a person may write until its process is gone.
        is_stopping = process.is_stopping and self.state in OVER
        is_renamed = self.state == "restarting" and self.settings.airflow.renames_at_restart
        return process is self.current and (self.state in OPEN or is_stopping) and not is_renamed

    def is_being_cleared(self, process: Process) -> bool:
        """Answer what ``get_task_states`` answers of the task instance, whoever asks."""

        def answer() -> bool:
            if self.state != "restarting":
                for push in self.pushes:
                    push.is_closed = push.is_closed or push.process is process
            return self.state == "restarting"

        is_restarting: bool = process.do(Operation("ask for the state", {"": (1.0, answer)}))
        return is_restarting

    def ring(self, process: Process, request: Request) -> int:
        """Let a message reach the phones; return its ticket."""
        ticket_id = 1000 + len(self.pushes)
        push = Push(request.address, request.body or b"", ticket_id, self.orders[process.number], process)
        self.checks.on_push(push)
        push.is_forgotten = process is self.forgotten
        self.pushes.append(push)
        return ticket_id

    def end_ticket(self, ticket_id: int, *, fails: bool = False) -> bool:
        """Return whether a ticket has succeeded; how it ends is decided once, and everybody is told the same.

        :param fails: whether it fails, should it not have ended yet.
        """
        for push in self.pushes:
            if push.ticket_id == ticket_id:
                push.ticket_failed = push.ticket_failed or (fails and not push.ticket_succeeded)
                push.ticket_succeeded = not push.ticket_failed
                return push.ticket_succeeded
        return not fails

    # What may happen

    def actions(self) -> list[Action]:
        """Return what may happen next; first, what happens without trouble. None at the end."""
        normal: list[Action] = []
        trouble: list[Action] = []
        live = [process for process in self.processes if process.next]
        live.sort(key=lambda process: process is not self.current)  # the task's own goes first
        for process in live:
            for operation in process.next:
                for fate, (weight, _) in operation.fates.items():
                    action = Action(fate, weight, self._carry_out, (process, operation, fate))
                    (trouble if normal else normal).append(action)
        if self.state == "deferred":
            (trouble if normal else normal).append(Action("trigger fires", 1.0, self._resume))
        elif self.try_number < self.settings.max_tries and self.state not in OVER and not self._is_running():
            (trouble if normal else normal).append(Action("start", 1.0, self._start))
            trouble.append(Action("a try that never reaches execute", 0.05, self._start_in_vain))
        trouble.extend(self._events(live))
        if not normal:
            # Nothing is left to do but what somebody does: the end is one way to go on.
            normal.append(Action("end", 1.0, self._end))
        return [*normal, *trouble]

    def _is_running(self) -> bool:
        return self.state in OPEN and self.current is not None and not (self.current.is_dead or self.current.has_ended)

    def _events(self, live: list[Process]) -> Iterator[Action]:
        for process in live:
            yield Action("killed", 0.3 if process.is_stopping else 0.03, self.kill, (process,))
        for objects in self.objects:
            for key, arrive in objects.late:
                yield Action("late write", 0.1, self._arrive, (key, objects.late, arrive))
        for key, arrive in self.late_writes:
            yield Action("late write", 0.1, self._arrive, (key, self.late_writes, arrive))
        if self.try_number == 0 or self.try_number >= self.settings.max_tries:
            return
        is_running = self._is_running()
        if is_running:
            yield Action("given up", 0.02, self._give_up)
            if self.current is not None and not self.current.is_stopping:
                yield Action("told to stop", 0.01, self._stop)
            if self.resumed is not None:
                yield Action("trigger fires twice", 0.02, self._resume_again)
        if is_running or self.state == "deferred":
            for state in sorted(OVER):
                yield Action(f"marked {state}", 0.005, self._mark, (state,))
        over = self.state in OVER
        # A finished task is cleared gladly, or nothing would come after it.
        yield Action("cleared", 0.5 if over else 0.02, self.clear)
        if self.settings.airflow.discards_on_clear:
            yield Action("cleared, state kept", 0.2 if over else 0.01, self._clear_and_keep)
        yield Action("cleared, run not reset", 0.1 if over else 0.01, self._clear_task_alone)
        if self.settings.airflow.counts_each_clear and not over:
            yield Action("another task of the run is cleared", 0.01, self._clear_another)
        for retries in (0, 1, 2, 3):
            if retries != self.retries:
                yield Action("retries edited", 0.004, self._edit_retries, (retries,))
        yield Action("other targets", 0.008, self._change_target)
        yield Action("folder off" if self.has_folder else "folder on", 0.008, self._toggle_folder)
        if self.has_folder:
            yield Action("another host", 0.01, self._change_host)
            first = self.resumed or self.current  # the process that sent, in this try
            is_watched = first is not None and self.folders_used[first.number]
            if is_running and is_watched and not self.settings.airflow.has_store:
                yield Action("started twice", 0.02, self._start_twice)
        if over:
            yield Action("run deleted and made anew", 0.02, self._recreate)

    def happen(self, action: Action) -> None:
        """Let something happen."""
        self.happened.add(action.name)
        details = [str(argument) for argument in action.arguments if isinstance(argument, TOLD)]
        self.trace.append(" ".join([action.name, *details]).strip())
        action.run(*action.arguments)

    # Events

    def _carry_out(self, process: Process, operation: Operation, fate: str) -> None:
        process.carry_out(operation, fate)
        self._look_at(process)

    def _look_at(self, process: Process) -> None:
        """See whether a process has ended, and what that means for the task."""
        if not process.has_ended or process.is_dead:
            return
        process.is_dead = True
        self.checks.on_end(process)
        if process is not self.current or self.state not in OPEN:
            return
        if self.state == "restarting":
            self._restart()
        elif isinstance(process.error, Deferred):
            self.state = "deferred"
            self.resumed = None
        elif process.error is None:
            self.state = "success"
            if self.settings.airflow.clear_on_success:
                self.stored.clear()
        else:
            self._fail(is_final=isinstance(process.error, AirflowFailException))

    def _restart(self) -> None:
        """The process of a task that was cleared while it ran is gone."""
        self.state = "scheduled"
        if self.settings.airflow.restart_is_a_clear:
            self.max_tries = self.try_number + self.retries

    def _fail(self, *, is_final: bool = False) -> None:
        if self.state == "restarting":
            self._restart()
        else:
            self.state = "up_for_retry" if not is_final and self.try_number <= self.max_tries else "failed"

    def _start(self) -> None:
        self._next_try()
        self._spawn()

    def _next_try(self) -> None:
        self.try_number += 1
        self.state = "running"
        self.current = self.resumed = None

    def _resume(self) -> None:
        """The triggerer has an event: the task goes on, the same try in a new process."""
        self.state, self.resumed, self.current = "running", self.current, None
        self._resume_again()

    def _resume_again(self) -> None:
        sender = self.resumed
        if sender is None or not isinstance(sender.error, Deferred):
            raise TypeError(f"{sender!r} did not defer")
        ticket_id = sender.error.ticket_id
        self._spawn(lambda world, process: resume_one(world, process, ticket_id), sender)

    def _stop(self) -> None:
        """SIGTERM: the process has a few seconds left."""
        if self.current is not None:
            self.current.is_stopping = True
            self.current.on_stop()

    def _mark(self, state: str) -> None:
        """A person marks the task; Airflow stops its process."""
        if self._is_running():
            self._stop()
        self.state = state

    def _spawn(self, body: Body | None = None, sender: Process | None = None) -> None:
        """Start a process.

        :param body: what it does, if that is not to send.
        :param sender: the process that has deferred, for which it goes on.
        """
        number = len(self.processes)
        process = Process(self, number, lambda p: (body or self._body)(self, p))
        self.processes.append(process)
        self.orders[number] = self.order
        self.variants[number], self.hosts[number] = self.variant, self.host
        self.folders_used[number] = self.has_folder
        airflow = self.settings.airflow
        self.tries[number] = TaskTry(
            try_number=self.try_number,
            max_tries=self.max_tries,
            retries=self.retries,
            clear_number=self.clear_number,
            max_tries_before=self.max_tries_before if airflow.has_history and self.try_number > 1 else None,
        )
        if self.current is None:
            self.current = process
            self.max_tries_before = self.max_tries
        if sender is not None:
            self.variants[number], self.orders[number] = self.variants[sender.number], self.orders[sender.number]
        process.start()
        self._look_at(process)

    def _start_in_vain(self) -> None:
        self._next_try()
        self.max_tries_before = self.max_tries
        self._fail()

    def _start_twice(self) -> None:
        # On one machine: a folder that only one of them has cannot tell it of the other.
        before, self.host = self.host, self.hosts[self.current.number] if self.current else self.host
        self._spawn()
        self.host = before

    def kill(self, process: Process) -> None:
        """SIGKILL, which Airflow notices."""
        process.kill()
        if process is self.current and self.state in OPEN:
            self._fail()

    def _give_up(self) -> None:
        """Airflow takes the process for dead, but it goes on."""
        if self.current is not None:
            self.current.is_given_up = True
        self._fail()

    def _arrive(self, key: str, writes: list[Late], arrive: Callable[[], None]) -> None:
        writes.remove((key, arrive))
        arrive()

    def clear(self, *, keeps: bool = False, counts: bool = True) -> None:
        """A person, or ``reset_dag_run``, clears the task.

        :param keeps: whether its state is kept although this Airflow would discard it.
        :param counts: whether the run is reset, too; only then ``clear_number`` rises.
        """
        run_is_over = self.state in OVER
        airflow = self.settings.airflow
        if self.state in OPEN:
            self.state = "restarting"
            self.is_misleading = self.was_cleared_while_running = True
            if airflow.restart_is_a_clear:
                stays = keeps or (airflow.has_store and not airflow.discards_on_clear)
                self._order_while_running(is_forgotten=not stays and not self.folders_used[self.current.number])
        else:
            self.max_tries = self.try_number + self.retries
            self.state = "scheduled"
            if self.settings.on_clear == "resend":
                self.order += 1
        if counts and (airflow.counts_each_clear or run_is_over):
            self.clear_number += 1
        if airflow.discards_on_clear and not keeps:
            self.stored.clear()

    def _order_while_running(self, *, is_forgotten: bool) -> None:
        """A clear of a running task that Airflow does not tell from any other: what is on its way counts for it."""
        if self.settings.on_clear == "resend":
            self.order += 1
        process = self.current
        if process is None or process.has_ended or process.is_dead:
            return
        for push in self.pushes:
            if push.process is process and not push.is_closed:
                push.order = self.order
        process.is_restarted = True
        self.orders[process.number] = self.order
        if is_forgotten:
            self._forget(process)

    def _forget(self, process: Process) -> None:
        self.forgotten = process
        for push in self.pushes:
            push.is_forgotten = push.is_forgotten or push.process is process

    def remember(self, process: Process, key: str) -> None:
        """A record was accepted that tells the next try what the process did."""
        if process is self.forgotten and (key.endswith(("outcome", "ended")) or ".chunk.0." in key):
            is_once = self.settings.is_once  # then a record tells of one of its sends
            self.forgotten = process if is_once else None
            for push in self.pushes:
                if push.process is process and (not is_once or quote(push.address, safe="") in key):
                    push.is_forgotten = False

    def close(self, process: Process, value: dict[str, Any]) -> None:
        """A record of ``send_once`` was accepted. Once it says "sent", nothing tells that the task still runs."""
        for push in self.pushes:
            if push.process is process and push.ticket_id == value.get("ticket_id") and not value.get("waiting"):
                push.is_closed = True

    def _clear_and_keep(self) -> None:
        self.clear(keeps=True)

    def _clear_task_alone(self) -> None:
        """By the REST API with ``reset_dag_runs: false``."""
        self.clear(counts=False)

    def _clear_another(self) -> None:
        self.clear_number += 1
        self.is_misleading = True

    def _edit_retries(self, retries: int) -> None:
        self.retries = retries

    def _change_target(self) -> None:
        self.variant = 1 - self.variant

    def _toggle_folder(self) -> None:
        self.has_folder = not self.has_folder

    def _change_host(self) -> None:
        self.host = 1 - self.host

    def _recreate(self) -> None:
        self.is_made_anew_beside |= any(process.next for process in self.processes)
        self.state, self.try_number, self.clear_number = "scheduled", 0, 0
        self.max_tries, self.max_tries_before = self.retries, None
        self.stored = {}
        self.late_writes = []
        self.order += 1
        self.current = None

    def _end(self) -> None:
        """Leave it at that."""
        self.checks.at_the_end()


class TaskState:
    """Airflow's ``task_state_store``, as one process has it."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value; the default where there is none, or the process is not the task's."""
        world, process = self._world, self._process

        def read() -> Any:
            return world.stored.get(key, default) if world.owns(process) else default

        def fail() -> None:
            raise ConnectionError("the API server does not answer")

        fates: Fates = {"": (1.0, read), "fails": (0.004, fail)}
        return process.do(Operation(f"get {key}", fates))

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002
        """Write, or raise."""
        world, process = self._world, self._process
        stored = world.stored  # a run that is made anew has another one

        def write() -> None:
            if not world.owns(process):
                raise SupersededError("409: the task instance is not running, or another try is")
            world.stored[key] = value
            world.remember(process, key)
            if world.settings.is_once:
                world.close(process, value)

        def arrive() -> None:
            if world.owns(process) and stored is world.stored:
                stored[key] = value

        def fail() -> None:
            raise ConnectionError("the API server does not answer")

        def write_and_fail() -> None:
            write()
            fail()

        def come_late() -> None:
            world.late_writes.append((key, arrive))
            fail()

        def write_twice() -> None:
            write()
            world.late_writes.append((key, arrive))

        fates: Fates = {
            "": (1.0, write),
            "lost": (0.02, fail),
            "no answer": (0.02, write_and_fail),
            "late": (0.02, come_late),
            "twice": (0.01, write_twice),
        }
        process.do(Operation(f"set {key}", fates))
