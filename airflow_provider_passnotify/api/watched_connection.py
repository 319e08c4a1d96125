"""Connections for ``requests`` that report how far an attempt got, keep its deadline, and read answers strictly.

Without them, ``requests`` has five problems. It limits each wait, but not the sum of all waits. It treats an interim
answer (103) as the final one. It treats headers that were cut as complete. It ignores data that follows an answer. It
treats what came before the request as its answer.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.errors import FirstHeaderLineIsContinuationDefect, InvalidHeaderDefect, MissingHeaderBodySeparatorDefect
from types import TracebackType
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_passnotify.api import attempt as attempts
from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.attempt import (
    FRAMING,
    MAX_HEADERS,
    MAX_LINE,
    AmbiguousAnswerError,
    Attempt,
    SeveralAnswersError,
    SpokeFirstError,
    check_headers,
    check_interim,
)

_LINE_ENDS = (b"\r\n", b"\n")
_DEFECTS = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect, InvalidHeaderDefect)
# http.client is more tolerant: it takes "HTTP/1.10 0200", the chunk sizes "0x13", "1_3" and "+13", and any trailer.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [0-9]{3}( [^\r\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"0*[0-9A-Fa-f]{1,16}[ \t]*(;[^\r\n]*)?\r\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[^\r\n]*\r?\n")


_current = threading.local()
"""Holds the ``watchdog`` of what this thread sends."""


class Watchdog:
    """Ends an attempt at its deadline: it shuts the socket down, whatever the thread is doing with it at that moment.

    :param attempt: the attempt, which is told when it has expired.
    :param seconds: the time until the deadline, from now.
    """

    def __init__(self, attempt: Attempt, seconds: float) -> None:
        self._attempt = attempt
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._stopped = False
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> Watchdog:
        _current.watchdog = self
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.watchdog = None
        with self._lock:
            self._stopped = True
            self._let_go()
        self._timer.cancel()

    @property
    def left(self) -> float:
        """Seconds until the deadline.

        :raises TimeoutError: when it has passed.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def watch(self, fileno: int) -> None:
        """Watch this socket, instead of the one before.

        The watchdog makes its own handle for the socket, for two reasons. At the deadline, the same number may belong
        to another socket. And a second thread must not use a socket that speaks TLS.
        """
        with self._lock:
            self._let_go()
            self._handle = socket.socket(fileno=os.dup(fileno))
            if self._attempt.expired:
                self._shut_down()

    def begin_request(self, sock: socket.socket, quiet_seconds: float) -> None:
        """Note that the first byte of the request is about to be written to a socket.

        :param quiet_seconds: for how long the socket must be silent before that.
        :raises SpokeFirstError: when something came already: it would be taken for the answer.
        :raises TimeoutError: when the deadline has passed.
        """
        if self._attempt.on_its_way:
            return
        self.watch(sock.fileno())
        if _has_something_to_read(sock, quiet_seconds):
            raise SpokeFirstError
        with self._lock:
            self.check()
            self._attempt.on_its_way = True

    def note_unwritten(self) -> None:
        """Note that the request could not be written to its end. (urllib3 reads the answer nevertheless.)"""
        self._attempt.is_written = False

    def check(self) -> None:
        """Raise :class:`TimeoutError` if the deadline has passed. Megabytes may have come that are not read yet."""
        if self._attempt.expired:
            raise TimeoutError("the deadline has passed")

    def _fire(self) -> None:
        with self._lock:
            if not self._stopped:
                self._attempt.expired = True
                self._shut_down()

    def _shut_down(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _has_something_to_read(sock: socket.socket, seconds: float) -> bool:
    """Whether data came, or the end of the connection. The socket cannot be used any more then.

    In TLS, a session ticket may come at any time. So only reading tells whether there is data.

    :param seconds: how long to wait for it.
    """
    timeout = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        sock.recv(1)
    except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
        return False
    finally:
        sock.settimeout(timeout)
    return True


def ended_clean(raw: Any) -> bool:
    """Whether nothing came after the answer, which must be completely read.

    :param raw: the answer, as an object of urllib3.
    :raises http.client.IncompleteRead: if the last part of a chunked answer was cut.
    :raises SeveralAnswersError: if more than empty lines came after it.
    """
    answer = raw._original_response
    if not isinstance(answer, _Answer):
        return False
    if answer.chunked and answer.wire.last_line not in _LINE_ENDS:
        raise http.client.IncompleteRead(b"")
    if answer.wire.surplus.strip(b"\r\n"):
        raise SeveralAnswersError
    return answer.wire.closed and not answer.wire.surplus


class _Wire(io.BufferedReader):
    """Reads an answer, and remembers how its parts ended and what came behind it."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__(raw)
        self._socket = sock
        self.last_line = b""
        self.last_read: bytes | None = b""
        self.is_answer = False
        self.surplus = b""

    def readline(self, size: int | None = -1) -> bytes:
        self.last_line = super().readline(size)
        if b"\r" in self.last_line[:-2]:
            raise AmbiguousAnswerError  # http.client would read two headers in this line
        return self.last_line

    def read(self, size: int | None = -1) -> bytes:
        self.last_read = super().read(size)
        return self.last_read

    def close(self) -> None:
        if self.is_answer and not self.closed:
            timeout = self._socket.gettimeout()
            with suppress(OSError, ValueError):
                self._socket.settimeout(0)
                try:
                    self.surplus = self.peek(1)
                finally:
                    self._socket.settimeout(timeout)
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that is complete, final and unambiguous. For any other answer, an exception is raised."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.wire = _Wire(sock.makefile("rb", buffering=0), sock)
        self.fp = self.wire

    def begin(self) -> None:
        self.wire.is_answer = True
        watchdog: Watchdog = _current.watchdog
        while True:
            watchdog.check()
            if self.wire.peek(1)[:1] in (b"\r", b"\n"):
                if self.wire.readline() not in _LINE_ENDS:
                    raise AmbiguousAnswerError
                continue
            super().begin()
            if self.wire.last_line not in _LINE_ENDS:
                raise http.client.IncompleteRead(b"")
            self._check_headers()  # now, because urllib3 would leave a socket open
            if self._says_close():
                self.will_close = True  # http.client looks only at the first header
            if not 100 <= self.status < 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                break
            check_interim(self.headers.items(), is_last=self.will_close)
            self.headers = None  # type: ignore[assignment]  # start again
        if "Transfer-Encoding" in self.headers and not self.chunked:  # there is a blank behind "chunked"
            self.chunked, self.chunk_left, self.length = True, None, None
            self.will_close = self._check_close()  # type: ignore[attr-defined]

    def _says_close(self) -> bool:
        headers = self.headers
        values = [*headers.get_all("Connection", ()), *headers.get_all("Proxy-Connection", ())]
        return any("close" in value.lower() for value in values)

    def _check_headers(self) -> None:
        headers = self.headers
        if any(isinstance(defect, _DEFECTS) for defect in headers.defects) or not all(map(_NAME.fullmatch, headers)):
            raise AmbiguousAnswerError
        check_headers(headers.items())

    def _read_status(self) -> tuple[str, int, str]:
        status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        if not self.wire.last_line.endswith(b"\n"):
            raise http.client.IncompleteRead(b"")
        if not _STATUS_LINE.fullmatch(self.wire.last_line):
            raise AmbiguousAnswerError
        if status[1] == http.HTTPStatus.CONTINUE:  # http.client would skip it without looking at its headers
            return status[0], http.HTTPStatus.PROCESSING, status[2]
        return status

    def _read_next_chunk_size(self) -> int:
        is_first = self.chunk_left is None
        chunk_end = self.wire.last_read
        try:
            size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        finally:
            line = self.wire.last_line
            if (not is_first and chunk_end != b"\r\n") or (line.endswith(b"\n") and not _CHUNK_SIZE.fullmatch(line)):
                raise AmbiguousAnswerError
        return size

    def _read_and_discard_trailer(self) -> None:
        for _ in range(MAX_HEADERS + 1):
            line = self.fp.readline(MAX_LINE + 1)
            if not line or line in _LINE_ENDS:
                return
            trailer = _TRAILER.fullmatch(line)
            if trailer is None or trailer[1].decode().lower() in FRAMING:
                raise AmbiguousAnswerError
        raise AmbiguousAnswerError


class _Watched:
    """A connection that reports to the watchdog of the thread that uses it."""

    response_class: Any = _Answer
    idle_since = 0.0
    _is_ready = False
    _is_new = False

    def _new_conn(self) -> socket.socket:
        watchdog: Watchdog = _current.watchdog
        sock = _connect(self, watchdog)
        watchdog.watch(sock.fileno())
        return sock

    def connect(self) -> None:
        self._is_ready = False
        super().connect()  # type: ignore[misc]
        self._is_ready = self._is_new = True

    def send(self, data: Any) -> None:
        if self.sock is None:  # type: ignore[attr-defined]
            self.connect()
        if self._is_ready:  # not for the CONNECT request to a proxy, which only opens the connection
            sock: socket.socket = self.sock  # type: ignore[attr-defined]
            is_plain = type(sock) is socket.socket
            _current.watchdog.begin_request(sock, attempts.QUIET_SECONDS if self._is_new and is_plain else 0.0)
            self._is_new = False
        try:
            super().send(data)  # type: ignore[misc]
        except OSError:
            _current.watchdog.note_unwritten()
            raise


class _FreshConnections:
    """A pool that does not give out a connection that was idle for too long. Each thread may have its own."""

    def _get_conn(self, *args: Any, **kwargs: Any) -> Any:
        connection = super()._get_conn(*args, **kwargs)  # type: ignore[misc]
        if time.monotonic() - connection.idle_since > protocol.MAX_IDLE_SECONDS:
            connection.close()  # it connects again by itself
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _HTTPPool(_FreshConnections, urllib3.HTTPConnectionPool):
    class ConnectionCls(_Watched, urllib3.connection.HTTPConnection):
        pass


class _HTTPSPool(_FreshConnections, urllib3.HTTPSConnectionPool):
    class ConnectionCls(_Watched, urllib3.connection.HTTPSConnection):
        pass


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class WatchedAdapter(HTTPAdapter):
    """The standard adapter of requests, with watched connections. It never repeats a request by itself."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Check certificates wherever TLS is spoken: also with a proxy that passes on plain http."""
        super().cert_verify(conn, f"{conn.scheme}://{url.partition('://')[2]}", verify, cert)  # type: ignore[no-untyped-call]

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _connect(connection: Any, watchdog: Watchdog) -> socket.socket:
    """Connect to the first address that answers. A slow name server or many addresses cannot exceed the deadline."""
    error: OSError = OSError("the host has no address")
    for family, kind, proto, _, address in _resolve(connection._dns_host, connection.port, watchdog.left):
        sock = socket.socket(family, kind, proto)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(min(connection.timeout, watchdog.left))
            sock.connect(address)
        except OSError as problem:
            error = problem
            sock.close()
        else:
            sock.settimeout(connection.timeout)
            return sock
    raise error


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Ask for the addresses of a host, in a thread, because there is no other way to limit the time."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as problem:  # noqa: BLE001 (it is raised again in the thread that asked)
            found.append(problem)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no name server told the address of {host} in {seconds:.1f} s")
    if isinstance(found[0], Exception):
        raise found[0]
    addresses: list[Any] = found[0]
    return addresses
