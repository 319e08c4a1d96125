"""What the gates see: which process sends to which pass, and what it writes into the journal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.chaos.gate import Exchange

RUN = re.compile(r"/execution/task-instances/([0-9a-f-]+)/run")
RENDERED = re.compile(r"/execution/task-instances/([0-9a-f-]+)/rtif")
STATE = re.compile(r"/execution/task-instances/([0-9a-f-]+)/state")
STORE = re.compile(r"/execution/store/ti/([0-9a-f-]+)/passnotify")
OF_TASK = re.compile(r"/execution/(?:task-instances|store/ti)/([0-9a-f-]+)/")
NOTIFY = re.compile(r"/v1/pass/([0-9]+)/notify")


class Process:
    """A task process and the supervisor above it."""

    def __init__(self, pid: int) -> None:
        self.task = psutil.Process(pid)
        self.supervisor = psutil.Process(self.task.ppid())

    async def kill(self) -> None:
        """End the task process at once, and wait until it is gone."""
        send(self.task, signal.SIGKILL)
        await gone(self.task)


@dataclass
class Trail:
    """What was seen for one pass.

    :param tries: the ids of the task instance's tries, oldest first. Airflow gives each try a new one.
    :param processes: its processes, oldest first. If a try was deferred, it has more than one.
    :param ticket_id: the ticket of its last POST through the gate; 0 before.
    :param writes: the states that each try wrote into the journal and that Airflow accepted.
    """

    tries: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    writes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ticket_id: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def tried(self, count: int) -> None:
        """Wait until so many tries have begun."""
        while len(self.tries) < count:
            self.changed.clear()
            await self.changed.wait()


class Watch(ABC):
    """Reads the requests at both gates."""

    def __init__(self) -> None:
        self.trails: dict[str, Trail] = defaultdict(Trail)
        self._processes: list[Process] = []
        self._pass_of: dict[str, str] = {}

    @abstractmethod
    def journal(self, exchange: Exchange) -> None:
        """Take note of a request at the gate of the journal, and of its answer."""

    @abstractmethod
    def pass_of(self, exchange: Exchange) -> str:
        """Return the target of the task that makes a request. It is empty if it is not known yet."""

    @abstractmethod
    def is_start(self, exchange: Exchange) -> bool:
        """Whether a process begins with this request: a try, or one that comes back from the triggerer."""

    @abstractmethod
    def is_read(self, exchange: Exchange) -> bool:
        """Whether a request reads a record of the journal."""

    def is_folder_start(self, exchange: Exchange) -> bool:  # noqa: ARG002
        """Whether a request writes the start of a try into a folder."""
        return False

    @abstractmethod
    def state_in(self, exchange: Exchange) -> str:
        """Return the state that a request writes into the journal; empty for any other request."""

    def api(self, exchange: Exchange) -> None:
        """Take note of the ticket that a POST got."""
        if exchange.status == 200 and (found := NOTIFY.fullmatch(exchange.path)):
            self.trails[found[1]].ticket_id = int(json.loads(exchange.answer)["ticketId"])

    def end_all(self) -> None:
        """Make sure that no orphaned process is left."""
        for process in self._processes:
            send(process.task, signal.SIGKILL)

    def _begins(self, pass_id: str, try_id: str, process: Process) -> None:
        trail = self.trails[pass_id]
        if try_id not in trail.tries:
            trail.tries.append(try_id)
        trail.processes.append(process)
        trail.changed.set()


class StoreWatch(Watch):
    """Reads the requests at the gate of Airflow's execution API. The journal is in Airflow's store."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, Process] = {}

    def journal(self, exchange: Exchange) -> None:
        """Take note of a request to Airflow's execution API, and of its answer."""
        if exchange.status is None:
            if found := RUN.match(exchange.path):
                self._started[found[1]] = Process(json.loads(exchange.body)["pid"])
                self._processes.append(self._started[found[1]])
            elif found := RENDERED.match(exchange.path):
                self._rendered(found[1], json.loads(exchange.body).get("pass_id"))
        elif exchange.status < 300 and (state := self.state_in(exchange)):
            self.trails[self.pass_of(exchange)].writes[STORE.match(exchange.path)[1]].append(state)  # type: ignore[index]

    def pass_of(self, exchange: Exchange) -> str:
        """Return the target of the task that makes a request. It is empty if it is not known yet."""
        found = OF_TASK.match(exchange.path)
        return self._pass_of.get(found[1], "") if found else ""

    def is_start(self, exchange: Exchange) -> bool:
        """Whether a process begins with this request."""
        return bool(RENDERED.match(exchange.path))

    def is_read(self, exchange: Exchange) -> bool:
        """Whether a request reads the journal."""
        return exchange.method == "GET" and bool(STORE.match(exchange.path))

    def state_in(self, exchange: Exchange) -> str:
        """Return the state that a request writes into the journal; empty for any other request."""
        is_record = exchange.method == "PUT" and STORE.match(exchange.path)
        return state_of(json.loads(exchange.body)["value"]) if is_record else ""

    def _rendered(self, ti_id: str, pass_id: object) -> None:
        if pass_id is None:
            return
        self._pass_of[ti_id] = str(pass_id)
        self._begins(str(pass_id), ti_id, self._started[ti_id])


def state_of(record: Mapping[str, Any]) -> str:
    """Return the state that a record has."""
    return f"{record['state']}, waiting" if record["waiting"] else str(record["state"])


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process, if it still is the one that was meant."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


async def gone(process: psutil.Process) -> None:
    """Wait until a process has ended."""
    if not process.is_running():
        return
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
