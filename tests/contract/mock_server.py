"""A server that knows the API only from ``openapi.yaml``, and refuses all other requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

API = OpenAPI.from_file_path(str(Path(__file__).parent / "openapi.yaml"))


class MockServer(ThreadingHTTPServer):
    """The server; ``accepted`` and ``refused`` hold request lines, the latter with the reason."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.accepted: list[str] = []
        self.refused: list[tuple[str, str]] = []


class _Request:
    """A request, as openapi-core wants to see it."""

    def __init__(self, method: str, url: str, target: str, headers: Headers, body: bytes) -> None:
        parts = urlsplit(target)
        self.method, self.host_url, self.path = method.lower(), url, parts.path
        self.body = body or None
        self.content_type = headers.get("Content-Type", "")
        query = ImmutableMultiDict(parse_qsl(parts.query, keep_blank_values=True))
        self.parameters = RequestParameters(query=query, header=headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MockServer

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = _Request(self.command, self.server.url, self.path, Headers(list(self.headers.items())), body)
        try:
            API.validate_request(request)
            if body and self.command == "DELETE":
                raise ValueError("the reference has no body for DELETE")
        except (OpenAPIError, ValueError) as error:
            self.server.refused.append((self.requestline, f"{type(error).__name__}: {error}: {error.__cause__}"))
            self._reply(400, {"code": 400, "description": "Invalid", "details": str(error)})
        else:
            self.server.accepted.append(self.requestline)
            self._reply(200, {"ticketId": 1234 if self.command == "POST" else 12345})

    do_POST = do_DELETE = do_GET = do_PUT = do_any  # noqa: N815

    def _reply(self, status: int, payload: object) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def mock_server() -> Iterator[MockServer]:
    """Run it."""
    with MockServer() as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
