"""Runs the sandbox: in this process until it ends, or in a thread for a test.

with running_sandbox(passes=10) as sandbox:
    requests.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "Hello"}, auth=sandbox.credential)
    assert sandbox.deliveries()["passes"]["123"]["count"] == 1
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn

from airflow_provider_passnotify.sandbox.app import SandboxApp
from airflow_provider_passnotify.sandbox.connection import protocol_for
from airflow_provider_passnotify.sandbox.faults import FAULT, AnyFault
from airflow_provider_passnotify.sandbox.request_log import RequestLog
from airflow_provider_passnotify.sandbox.state import Options, SandboxState
from airflow_provider_passnotify.sandbox.tickets import TicketBehaviour
from airflow_provider_passnotify.sandbox.world import NewPass

T = TypeVar("T")

BACKLOG = 2048
KEEP_ALIVE_IN_A_THREAD = 3600
"""Seconds. If the machine stands still for longer than this, client and server of one process wake up at the same
moment. The server then closes an idle connection on which the client is just sending."""


class SandboxServer(uvicorn.Server):
    """A PassNotify service on one socket.

    :param options: how it starts.
    :param host: the interface on which it listens.
    :param port: 0 for any free port.
    :param on_listening: called as soon as a client can connect.
    """

    def __init__(self, options: Options, host: str, port: int, on_listening: Callable[[], None]) -> None:
        self.state = SandboxState(options)
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._on_listening = on_listening
        super().__init__(
            uvicorn.Config(
                SandboxApp(self.state),
                http=protocol_for(self.state),
                ws="none",
                lifespan="off",
                interface="asgi3",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                backlog=BACKLOG,
                timeout_keep_alive=options.keep_alive,
            )
        )

    @property
    def connection(self) -> str:
        """The Airflow connection to this server, as JSON."""
        options = self.state.options
        return json.dumps(
            {"conn_type": "passnotify", "host": self.url, "login": options.login, "password": options.password}
        )

    def run_until_stopped(self) -> None:
        """Serve until ``should_exit`` is set or a signal arrives."""
        self.loop = _new_event_loop()
        try:
            self.loop.run_until_complete(self.serve(sockets=[self._socket]))
        finally:
            self.loop.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections:  # noqa: ASYNC110  # until each has noticed; uvicorn has no event for it
            await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:  # requests that are held would never end by themselves
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().shutdown(sockets)


class RunningSandbox:
    """A sandbox in a thread of this process. Each method runs in that thread, so it cannot race with a request.

    :param server: the running server.
    """

    def __init__(self, server: SandboxServer) -> None:
        self._server = server
        self.url = server.url
        self.connection = server.connection
        self.credential = (server.state.options.login, server.state.options.password)
        self.state = server.state

    def call(self, function: Callable[[SandboxState], T]) -> T:
        """Call a function with the state, in the server's thread, and return its result."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function(self.state))
            except Exception as problem:  # noqa: BLE001  # it is raised in the thread that asked
                result.set_exception(problem)

        self._server.loop.call_soon_threadsafe(run)
        return result.result()

    def deliveries(self) -> dict[str, Any]:
        """Return what each pass received, like ``GET /_sandbox/deliveries``."""
        return self.call(lambda state: state.deliveries.as_json())

    def counts(self) -> dict[str, int]:
        """Return how often each pass received something."""
        passes: dict[str, int] = self.call(lambda state: state.deliveries.counts())["passes"]
        return passes

    def requests(self) -> dict[str, Any]:
        """Return the requests so far, like ``GET /_sandbox/requests``."""
        return self.call(lambda state: state.requests.as_json())

    def wait_for(self, count: int = 0, *, method: str | None = None, held: int = 0, timeout: float = 30) -> None:
        """Wait until so many requests were received, and so many are held by a fault.

        :raises TimeoutError: if this does not happen in time.
        """
        self.wait_until(lambda log: log.count(method) >= count and log.held >= held, timeout=timeout)

    def wait_until(self, reached: Callable[[RequestLog], bool], *, timeout: float = 30) -> None:
        """Wait until a condition on the requests is true.

        :raises TimeoutError: if it does not become true in time.
        """
        log = self.state.requests
        waiting = log.wait_until(lambda: reached(log), timeout)
        if not asyncio.run_coroutine_threadsafe(waiting, self._server.loop).result():
            raise TimeoutError(f"After {timeout:g} s there were {log.count()} requests, {log.held} held")

    def add_pass(self, **fields: Any) -> None:
        """Add a pass, like ``POST /_sandbox/passes``."""
        new = NewPass(**fields)
        self.call(lambda state: state.world.add(new))

    def add_fault(self, action: str, **fields: Any) -> None:
        """Add a fault, like ``POST /_sandbox/faults``."""
        fault: AnyFault = FAULT.validate_python({"action": action, **fields})
        self.call(lambda state: state.trouble.add(fault))

    def clear_faults(self) -> None:
        """Remove all faults, and release the requests that are held."""
        self.call(lambda state: state.trouble.clear())

    def release(self) -> int:
        """Release the requests that are held now, and return how many these were."""
        return self.call(lambda state: state.trouble.release())

    def limit_rate(self, per_second: float | None) -> None:
        """Set how many requests a second are served from now on."""
        self.call(lambda state: state.limit_rate(per_second))

    def set_tickets(self, ticket_id: int | None = None, **fields: Any) -> None:
        """Set how future tickets, or one existing ticket, continue and end, like ``POST /_sandbox/tickets``."""
        behaviour = TicketBehaviour(**fields)
        self.call(lambda state: state.tickets.set_behaviour(behaviour, ticket_id))

    def reset(self) -> None:
        """Go back to the start."""
        self.call(lambda state: state.reset())


@contextmanager
def running_sandbox(*, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox in a thread, and stop it at the end.

    :param port: 0 for any free port.
    :param options: see ``Options``. By default, it does not close idle connections.
    """
    listening = threading.Event()
    options = {"keep_alive": KEEP_ALIVE_IN_A_THREAD, **options}
    server = SandboxServer(Options(**options), host, port, listening.set)

    def run() -> None:
        try:
            server.run_until_stopped()
        finally:
            listening.set()  # also if it could not start, so that nobody waits forever

    thread = threading.Thread(target=run, name="passnotify-sandbox", daemon=True)
    thread.start()
    listening.wait()
    try:
        yield RunningSandbox(server)
    finally:
        server.should_exit = True
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    # Not socket.create_server: asyncio turns Nagle's algorithm off only if the socket names TCP as its protocol.
    # With Nagle's algorithm, every answer on a connection that is kept alive would take 40 ms.
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if importlib.util.find_spec("uvloop"):
        loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        return loop
    return asyncio.new_event_loop()
