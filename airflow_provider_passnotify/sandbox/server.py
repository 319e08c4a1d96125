"""The sandbox as a server: uvicorn, and the one thing ASGI hides, the connection itself."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_passnotify.sandbox.api import Receive, Scope, Send, Service
from airflow_provider_passnotify.sandbox.control import control_app

Address = tuple[str, int]


class Sandbox:
    """One sandbox: its state and the ASGI application that serves it.

    :param service: the API.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.url = ""
        self._control = control_app(service)
        self._transports: dict[Address, asyncio.Transport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve ``/v1`` by the API, and everything else by the control application."""
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            scope["sandbox.transport"] = self._transports.get(tuple(scope["client"]))
            await self.service(scope, receive, send)
        else:
            await self._control(scope, receive, send)

    @property
    def connection(self) -> dict[str, str]:
        """The Airflow connection that points here."""
        return {
            "conn_type": "passnotify",
            "host": self.url,
            "login": self.service.login,
            "password": self.service.password,
        }

    def server(self, listener: socket.socket) -> uvicorn.Server:
        """Return the server, to be run on a socket that listens."""
        sandbox = self
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"

        class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            """The stock protocol, whose transports the faults can reach."""

            def connection_made(self, transport: Any) -> None:
                peer = transport.get_extra_info("peername")
                sandbox._transports[tuple(peer[:2])] = transport
                super().connection_made(transport)
                if sandbox.service.faults.pick(None, "") is not None:
                    transport.abort()

            def connection_lost(self, error: Exception | None) -> None:
                peer = self.transport.get_extra_info("peername")
                sandbox._transports.pop(tuple(peer[:2]) if peer else self.client, None)
                super().connection_lost(error)

        config = uvicorn.Config(
            self,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one."""
    listener = socket.create_server((host, port), backlog=1024)
    listener.set_inheritable(True)
    return listener


@contextmanager
def running_sandbox(*, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of this process.

    :param options: of :class:`~airflow_provider_passnotify.sandbox.api.Service`.
    """
    listener = listen(host, port)
    sandbox = Sandbox(Service(**options))
    server = sandbox.server(listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="passnotify-sandbox", daemon=True)
    thread.start()  # the socket listens already: whoever connects before the server is up is served when it is
    try:
        yield sandbox
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def connection_export(sandbox: Sandbox) -> str:
    """Return the shell line that points Airflow's default connection at a sandbox."""
    return f"export AIRFLOW_CONN_PASSNOTIFY_DEFAULT='{json.dumps(sandbox.connection)}'"
