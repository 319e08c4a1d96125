"""HTTP servers for tests, on real sockets. They record every byte that arrives, and can misbehave.

::

    with serving(answer(503, {"Retry-After": "0"}), TICKET) as server:
        ...
    assert server.lines == ["POST /v1/pass/123/notify HTTP/1.1"] * 2

Each request gets the next answer. The last one is repeated.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

_S = TypeVar("_S", bound="Server")

KEEP, CLOSE, RESET, HANG = "keep", "close", "reset", "hang"
"""What a server does with the connection after its answer."""
_TLS_HANDSHAKE = 0x16
_DRIP_SECONDS = 0.01


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer, and what happens to the connection after them.

    :param drip: sent after the answer, byte by byte in a loop, until the client closes the connection.
    :param flood: sent after the answer as fast as possible, in a loop, until the client closes the connection.
    :param deaf: whether the body of the request is never read.
    """

    data: bytes = b""
    then: str = KEEP
    drip: bytes = b""
    flood: bytes = b""
    deaf: bool = False


@dataclass(frozen=True)
class Received:
    """One request as it was received.

    :param connection: the number of its connection, from 0.
    """

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n")[0].decode("latin-1")

    @property
    def method(self) -> str:
        """The method."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query, as sent."""
        return self.line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lower-case name."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def answer(
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | object = b"",
    *,
    then: str = KEEP,
) -> Answer:
    """Return an HTTP answer. A body that is neither bytes nor text is sent as JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever"]
    all_headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    lines += [f"{name}: {value}" for name, value in all_headers.items()]
    return Answer("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data, then)


TICKET = answer(body={"ticketId": 12345})
NOTHING = Answer(then=CLOSE)


class Server:
    """A server of scripted answers.

    :param answers: one for each request. The last one is repeated.
    :param tls: the TLS context, if it is a TLS server.

    In an answer, ``{authorization}`` is replaced by the Authorization header of the request.
    """

    def __init__(self, answers: tuple[Answer, ...], *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"):
        self._answers, self._tls = answers, tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.host, self.port = host, self._listener.getsockname()[1]
        self.received: list[Received] = []
        self.connections = 0
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self.closed = threading.Event()
        """Set whenever this side has closed a connection."""
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def lines(self) -> list[str]:
        """The request lines that arrived."""
        return [request.line for request in self.received]

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def push(self, data: bytes) -> None:
        """Send something on the newest connection, without a request."""
        self._sockets[-1].sendall(data)

    def _reply_to(self, request: Received) -> Answer:  # noqa: ARG002 (others choose by it)
        return self._answers[min(len(self.received), len(self._answers) - 1)]

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            thread = threading.Thread(target=self._serve, args=(connection, number), daemon=True)
            self._sockets.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._converse(connection, number)
        self.closed.set()

    def _converse(self, connection: socket.socket, number: int) -> None:
        while (request := _read_head(connection, number)) is not None:
            with self._lock:
                reply = self._reply_to(request)
                index = len(self.received)
                self.received.append(request)
            if not reply.deaf:
                if (body := _read_body(connection, request)) is None:
                    return
                self.received[index] = replace(request, body=body)
            authorization = request.headers.get("authorization", "").encode()
            connection.sendall(reply.data.replace(b"{authorization}", authorization))
            while reply.flood:
                connection.sendall(reply.flood)
            while reply.drip:
                for byte in reply.drip:
                    connection.sendall(bytes([byte]))
                    if self._stopping.wait(_DRIP_SECONDS):
                        return
            if reply.then == HANG:
                self._stopping.wait()
            elif reply.then == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if reply.then != KEEP:
                return


@contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """Run a server of scripted answers. Without answers, every request gets a ticket."""
    with Server(answers or (TICKET,), tls=tls, host=host) as server:
        yield server


def free_port() -> int:
    """Return a port of this machine for a server that starts later.

    The system gives none of these ports to anybody who asks for any port, as other tests do all the time.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port on which nobody listens. It is taken as long as the block lasts, so no other process can listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def echoing(reply: Answer) -> Answer:
    """Return the answer without its Content-Length, because ``{authorization}`` is replaced when it is sent."""
    head, _, body = reply.data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return replace(reply, data=b"\r\n".join(lines) + b"\r\n\r\n" + body, then=CLOSE)


def _read_head(connection: socket.socket, number: int) -> Received | None:
    """Return a request with the part of its body that came together with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := connection.recv(65536)):
            return None
        data += chunk
        if data[0] == _TLS_HANDSHAKE:
            break  # this is no HTTP; answer like real servers
    head, _, body = data.partition(b"\r\n\r\n")
    return Received(head, body, number)


def _read_body(connection: socket.socket, request: Received) -> bytes | None:
    body = bytearray(request.body)
    length = int(request.headers.get("content-length", 0))
    while len(body) < length:
        if not (chunk := connection.recv(65536)):
            return None
        body += chunk
    return bytes(body)


class Greeter(Server):
    """A server that sends something as soon as there is a connection, and then does what other servers do."""

    def __init__(self, greeting: bytes, *answers: Answer, then: str = KEEP, tls: ssl.SSLContext | None = None) -> None:
        self._greeting, self._then = greeting, then
        super().__init__(answers or (NOTHING,), tls=tls)

    def _converse(self, connection: socket.socket, number: int) -> None:
        connection.sendall(self._greeting)
        if self._then == KEEP:
            super()._converse(connection, number)


class TLSGreeter(Server):
    """A server whose greeting comes in one piece with the end of the TLS handshake. Then it does nothing more."""

    def __init__(self, greeting: bytes, tls: ssl.SSLContext) -> None:
        self._greeting, self._context = greeting, tls
        tls.maximum_version = ssl.TLSVersion.TLSv1_2  # in it, the last part of the handshake is the server's
        super().__init__((NOTHING,))

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"https://{self.host}:{self.port}"

    def _converse(self, connection: socket.socket, number: int) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
        tls.write(self._greeting)
        connection.sendall(outgoing.read())
        while received := connection.recv(65536):
            incoming.write(received)
            with suppress(ssl.SSLError):
                if data := tls.read(65536):
                    self.received.append(Received(data, b"", number))
