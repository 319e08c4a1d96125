"""Connections for ``requests`` that report how far an attempt got, keep its deadline, and read answers strictly.

Without them, ``requests`` has four problems. It limits each wait, but not the sum of all waits. It treats an interim
answer (103) as the final one. It treats headers that were cut as complete. It ignores data that follows an answer.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from types import TracebackType
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_passnotify.api import attempt as attempts
from airflow_provider_passnotify.api.attempt import Attempt

_LINE_ENDS = (b"\r\n", b"\n")
_DEFECTS = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)


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

    def begin_request(self, sock: socket.socket, *, is_new: bool) -> None:
        """Note that the first byte of the request is about to be written to a socket.

        :param is_new: whether nothing was written to it before.
        :raises ConnectionError: when something came already: it would be taken for the answer.
        :raises TimeoutError: when the deadline has passed.
        """
        if self._attempt.on_its_way:
            return
        self.watch(sock.fileno())
        if is_new and _spoke_first(sock):
            raise ConnectionError("the server sent something, or closed the connection, before it was asked")
        with self._lock:
            self.check()
            self._attempt.on_its_way = True

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


def _spoke_first(sock: socket.socket) -> bool:
    """Whether data came on a new connection, or its end. If so, it cannot be used any more."""
    is_plain = type(sock) is socket.socket
    timeout = sock.gettimeout()
    sock.settimeout(attempts.QUIET_SECONDS if is_plain else 0)
    try:
        sock.recv(1)  # in TLS, the socket may be readable because of a session ticket, so only reading tells
    except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
        return False
    finally:
        sock.settimeout(timeout)
    return True


def ended_clean(raw: Any) -> bool:
    """Whether nothing came after the answer, which must be completely read.

    :param raw: the answer, as an object of urllib3.
    :raises http.client.IncompleteRead: if the last part of a chunked answer was cut.
    """
    answer = raw._original_response
    if not isinstance(answer, _Answer):
        return False
    if answer.chunked and answer.wire.last_line not in _LINE_ENDS:
        raise http.client.IncompleteRead(b"", None)
    return answer.wire.closed and not answer.wire.has_surplus


class _Wire(io.BufferedReader):
    """Reads an answer, and remembers how its last line and its last byte ended."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__(raw)
        self._socket = sock
        self.last_line = b""
        self.is_answer = False
        self.has_surplus = False

    def readline(self, size: int | None = -1) -> bytes:
        self.last_line = super().readline(size)
        return self.last_line

    def close(self) -> None:
        if self.is_answer and not self.closed:
            timeout = self._socket.gettimeout()
            with suppress(OSError, ValueError):
                self._socket.settimeout(0)
                try:
                    self.has_surplus = bool(self.peek(1))
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
            super().begin()
            if self.wire.last_line not in _LINE_ENDS:
                raise http.client.IncompleteRead(b"", None)
            if not 100 <= self.status < 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                break
            self.headers = None  # type: ignore[assignment]  # an interim answer: start again
        self._check_framing()

    def _check_framing(self) -> None:
        """Refuse headers that two programs may read differently: the answer may belong to another request."""
        lengths = {part.strip() for value in self.headers.get_all("Content-Length", []) for part in value.split(",")}
        encodings = [value.strip().lower() for value in self.headers.get_all("Transfer-Encoding", [])]
        if (
            any(isinstance(defect, _DEFECTS) for defect in self.headers.defects)
            or len(lengths) > 1
            or not all(length.isascii() and length.isdigit() for length in lengths)
            or encodings not in ([], ["chunked"])
            or (lengths and encodings)
        ):
            raise http.client.HTTPException("the answer's headers are ambiguous")


class _Watched:
    """A connection that reports to the watchdog of the thread that uses it."""

    response_class: Any = _Answer
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
            _current.watchdog.begin_request(self.sock, is_new=self._is_new)  # type: ignore[attr-defined]
            self._is_new = False
        super().send(data)  # type: ignore[misc]


class _HTTPPool(urllib3.HTTPConnectionPool):
    class ConnectionCls(_Watched, urllib3.connection.HTTPConnection):
        pass


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    class ConnectionCls(_Watched, urllib3.connection.HTTPSConnection):
        pass


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class WatchedAdapter(HTTPAdapter):
    """The standard adapter of requests, with watched connections. It never repeats a request by itself."""

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
    for family, kind, protocol, _, address in _resolve(connection._dns_host, connection.port, watchdog.left):
        sock = socket.socket(family, kind, protocol)
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
