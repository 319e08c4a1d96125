"""A journal in a folder, behind a gate: a task can be caught before and after each of its records, on every Airflow.

The gate keeps the folder itself. The tasks reach it as a file system of their own (:mod:`tests.chaos.folder_files`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from aiohttp import web

from tests.chaos.folder_files import BEGAN, ROOT
from tests.chaos.gate import Exchange, Gate
from tests.chaos.watch import Process, Watch, state_of

RECORD = re.compile(rf"/{ROOT}/(.+/try\.\d+)\.(?:intent|outcome)")
START = re.compile(rf"/{ROOT}/.+/try\.\d+\.start")
OF_TASK = re.compile(rf"/{ROOT}/([^/]+/[^/]+/[^/]+/[^/]+)/")


class FolderGate(Gate):
    """A gate that has the folder behind it."""

    def __init__(self, watch: Callable[[Exchange], None]) -> None:
        super().__init__("", watch)
        self._files: dict[str, bytes] = {}

    async def forward(self, exchange: Exchange) -> web.Response:
        """Read or write a file. If it was already written, this writes it again."""
        exchange.status = 200
        if exchange.method == "PUT":
            self._files[exchange.path] = exchange.body
        elif exchange.method == "GET":
            exchange.answer = self._files.get(exchange.path, b"")
            exchange.status = 200 if exchange.path in self._files else 404
        return web.Response(status=exchange.status, body=exchange.answer)


class FolderWatch(Watch):
    """Reads the requests at the folder's gate. The tasks say when they begin."""

    def journal(self, exchange: Exchange) -> None:
        """Take note of a request, and of its answer."""
        if exchange.status is None and self.is_start(exchange):
            told = json.loads(exchange.body)
            process = Process(told["pid"])
            self._processes.append(process)
            self._pass_of[told["task"]] = told["pass"]
            self._begins(told["pass"], f"{told['task']}/try.{told['try']}", process)
        elif exchange.status == 200 and (state := self.state_in(exchange)):
            self.trails[self.pass_of(exchange)].writes[RECORD.match(exchange.path)[1]].append(state)  # type: ignore[index]

    def pass_of(self, exchange: Exchange) -> str:
        """Return the target of the task that makes a request. It is empty if it is not known yet."""
        if self.is_start(exchange):
            return str(json.loads(exchange.body)["pass"])
        found = OF_TASK.match(exchange.path)
        return self._pass_of.get(found[1], "") if found else ""

    def is_start(self, exchange: Exchange) -> bool:
        """Whether a process begins with this request: a try, or one that comes back from the triggerer."""
        return exchange.path == BEGAN

    def is_read(self, exchange: Exchange) -> bool:
        """Whether a request reads a record of the journal."""
        return exchange.method == "GET" and bool(RECORD.fullmatch(exchange.path))

    def is_folder_start(self, exchange: Exchange) -> bool:
        """Whether a request writes the start of a try."""
        return exchange.method == "PUT" and bool(START.fullmatch(exchange.path))

    def state_in(self, exchange: Exchange) -> str:
        """Return the state that a request writes into the journal; empty for any other request."""
        is_record = exchange.method == "PUT" and RECORD.fullmatch(exchange.path)
        return state_of(json.loads(exchange.body)) if is_record else ""
