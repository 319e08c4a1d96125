"""An extension of uvicorn's protocol: the application can close or reset the connection itself."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_passnotify.sandbox.app import CONTROL
from airflow_provider_passnotify.sandbox.state import SandboxState

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero: closing sends RST, as if the request was not read


class _Connection(asyncio.Protocol):
    state: SandboxState
    app_state: dict[str, Any]
    cycle: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.state.trouble.checks_connections and (self.cycle is None or self.cycle.response_complete):
            method, _, rest = data.partition(b" ")
            path = rest.partition(b" ")[0]
            is_api = not path.startswith(CONTROL)
            if is_api and self.state.trouble.closes(method.decode("latin-1"), path.decode("latin-1")):
                transport: asyncio.Transport = self.app_state["transport"]
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                transport.abort()
                return
        super().data_received(data)


def protocol_for(state: SandboxState) -> type[asyncio.Protocol]:
    """Return the protocol of a sandbox's connections.

    :param state: it holds the faults.
    """
    return type("SandboxProtocol", (_Connection, _http_protocol()), {"state": state})


def _http_protocol() -> type[asyncio.Protocol]:
    if importlib.util.find_spec("httptools"):
        protocol: type[asyncio.Protocol] = importlib.import_module(
            "uvicorn.protocols.http.httptools_impl"
        ).HttpToolsProtocol
        return protocol
    return H11Protocol
