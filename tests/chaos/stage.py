"""The stage: a sandbox, a real Airflow, and two gates: one for the sandbox, one for the journal.

The journal is in Airflow's own store (3.3), or in a folder (every version).
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
from packaging.version import Version

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_2_cluster import Airflow2
from tests.airflow_cluster import ENDED, Airflow, running_airflow
from tests.chaos.database import a_database
from tests.chaos.folder import FolderGate, FolderWatch
from tests.chaos.folder_files import PROTOCOL, ROOT, VARIABLE
from tests.chaos.gate import Gate
from tests.chaos.watch import StoreWatch, Watch, send

T = TypeVar("T")
AIRFLOW = Version(version("apache-airflow"))
IS_AIRFLOW_2, HAS_STORE = Version("3") > AIRFLOW, Version("3.3") <= AIRFLOW
DAGS = Path(__file__).parent / "dags"
TASK = "push"
TICKET_SECONDS = 3.0
LOOK_EVERY = 0.5
WATCHED = ("scheduler", "triggerer") if IS_AIRFLOW_2 else ("scheduler", "dag-processor", "triggerer")
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    # Short, so that a dead supervisor is noticed within a round; longer than any other step of a round.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "30",  # these four are Airflow 2's names
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    # Airflow 2 tells of a dead supervisor again at each interval until its DAG processor has noticed. What comes late
    # hits the next try, so the interval is longer than the DAG processor needs on a busy machine.
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "40",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # A supervisor waits as long as a gate holds a request, but gives up soon if a gate refuses it.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "600",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.2",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "1",
    "AIRFLOW__WORKERS__SOCKET_CLEANUP_TIMEOUT": "5",
}


@dataclass
class Board:
    """The state of each task instance, kept up to date by asking Airflow for all of them at once."""

    states: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def get(self, run_id: str, map_index: int) -> dict[str, Any]:
        """Return a task instance as the REST API has it."""
        return self.states.get((run_id, map_index), {"state": None, "try_number": 0})

    async def wait(self, run_id: str, map_index: int, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a task instance is as wanted."""
        async with self.changed:
            await self.changed.wait_for(lambda: wanted(self.get(run_id, map_index)))
        return self.get(run_id, map_index)


class Stage:
    """Everything that a round needs.

    :param journal: the gate of the journal.
    :param api: the gate of the sandbox.
    """

    def __init__(self, airflow: Airflow, sandbox: RunningSandbox, journal: Gate, api: Gate, watch: Watch) -> None:
        self.airflow, self.sandbox, self.journal, self.api, self.watch = airflow, sandbox, journal, api, watch
        self.board = Board()
        self._outage = asyncio.Lock()
        self._below: list[psutil.Process] = []
        self._thread = ThreadPoolExecutor(1)  # the client of Airflow's REST API is not thread-safe

    @property
    def has_folder(self) -> bool:
        """Whether the journal is in a folder."""
        return isinstance(self.journal, FolderGate)

    @property
    def tries_of_a_request(self) -> int:
        """How often a request to the journal is repeated if it gets no answer."""
        return 1 if self.has_folder else 5  # a supervisor repeats it

    @property
    def is_sturdy(self) -> bool:
        """Whether Airflow's database can run many tasks at once."""
        return "sqlite" not in self.airflow.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]

    async def ask(self, call: Callable[[], T]) -> T:
        """Call Airflow's REST API without blocking the gates."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def deliveries(self, pass_id: str) -> int:
        """Return how often the sandbox delivered to a pass."""
        counts = await asyncio.to_thread(self.sandbox.counts)
        return counts.get(pass_id, 0)

    async def fault(self, action: str, **fields: Any) -> None:
        """Let something go wrong in the sandbox."""
        await asyncio.to_thread(lambda: self.sandbox.add_fault(action, **fields))

    async def fail_ticket(self, ticket_id: int) -> None:
        """Let a ticket end as failed."""
        await asyncio.to_thread(lambda: self.sandbox.set_tickets(ticket_id, seconds=TICKET_SECONDS, final="FAILED"))

    async def hang_ticket(self, ticket_id: int) -> None:
        """Let a ticket not end."""
        await asyncio.to_thread(lambda: self.sandbox.set_tickets(ticket_id, hang=True))

    async def end_ticket(self, ticket_id: int) -> None:
        """Let a ticket end well."""
        await asyncio.to_thread(lambda: self.sandbox.set_tickets(ticket_id, seconds=0, hang=False))

    @asynccontextmanager
    async def without(self, name: str, *, workers: bool = False) -> AsyncIterator[None]:
        """Kill a component of Airflow, and start it again when the block ends.

        :param workers: whether all its child processes die with it.
        """
        async with self._outage:
            top = psutil.Process(self.airflow.processes[name].pid)
            self._below += top.children(recursive=True)
            if workers:
                await self.ask(lambda: self.airflow.kill(name))
            else:
                top.kill()
                self.airflow.processes.pop(name).wait()
            try:
                yield
            finally:
                self.airflow.start(name)
                await self.ask(lambda: self.airflow.wait(lambda: self.airflow.healthy(*WATCHED), f"{name} to be back"))

    def end_all(self) -> None:
        """Make sure that no orphaned process is left."""
        self.watch.end_all()
        for process in self._below:
            send(process, signal.SIGKILL)

    async def keep_board(self) -> None:
        """Read the state of all task instances, in an endless loop."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self.board.runs:
                continue
            try:
                found = await self.ask(self._look)
            except requests.RequestException:
                continue  # the API server is down: one of the things that chaos does
            async with self.board.changed:
                for task in found:
                    self.board.states[task["dag_run_id"], task["map_index"]] = task
                self.board.changed.notify_all()

    def _look(self) -> list[dict[str, Any]]:
        body = {"dag_run_ids": [*self.board.runs], "task_ids": [TASK], "page_limit": 100}
        return list(self.airflow.api("POST", "/dags/~/dagRuns/~/taskInstances/list", body)["task_instances"])


def has_ended(task: dict[str, Any]) -> bool:
    """Whether a task instance has ended."""
    return task["state"] in ENDED


@asynccontextmanager
async def a_stage(home: Path, *, folder: bool) -> AsyncIterator[Stage]:
    """Start the stage on the Airflow that is installed here, and stop it at the end.

    :param folder: whether the journal is in a folder.
    """
    watch = FolderWatch() if folder else StoreWatch()
    loop = asyncio.get_running_loop()
    with running_sandbox(passes=100_000, ticket_seconds=TICKET_SECONDS) as sandbox, a_database() as database:
        gate = FolderGate(watch.journal) if folder else Gate("", watch.journal)
        async with gate.running() as journal, Gate(sandbox.url, watch.api).running() as api:
            env = {
                **SETTINGS,
                **database,
                **_place(journal),
                "AIRFLOW_CONN_DIRECT": _connection(sandbox, sandbox.url, timeout=600),
                "AIRFLOW_CONN_HASTY": _connection(sandbox, sandbox.url, timeout=3),
                "AIRFLOW_CONN_GATED": _connection(sandbox, api.url, timeout=600),
                "AIRFLOW_CONN_NOWHERE": _connection(sandbox, "http://127.0.0.1:9", timeout=3),
            }
            kind = Airflow2 if IS_AIRFLOW_2 else Airflow
            cluster = running_airflow(home, dags_folder=DAGS, env=env, components=tuple(kind.components), kind=kind)
            airflow = await loop.run_in_executor(None, cluster.__enter__)
            stage = Stage(airflow, sandbox, journal, api, watch)
            journal.service = airflow.url
            board = asyncio.create_task(stage.keep_board())
            try:
                yield stage
            finally:
                board.cancel()
                stage.end_all()
                await loop.run_in_executor(None, cluster.__exit__, None, None, None)


def _place(journal: Gate) -> dict[str, str]:
    """Return the settings that lead the tasks to the gate of the journal."""
    if isinstance(journal, FolderGate):
        path = f"{PROTOCOL}://{ROOT}"
        return {VARIABLE: journal.url.removeprefix("http://"), "AIRFLOW__PASSNOTIFY__JOURNAL_PATH": path}
    return {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{journal.url}/execution/"}


def _connection(sandbox: RunningSandbox, url: str, *, timeout: float) -> str:
    extra = {"timeout": timeout, "max_retries": 1}
    return json.dumps({**json.loads(sandbox.connection), "host": url, "extra": extra})
