"""The parts below the asynchronous client: an attempt on a connection of aiohttp, its time limits, the connections.

They do for ``aiohttp`` what :mod:`.watched_connection` does for ``requests``.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.hdrs import RETRY_AFTER
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_passnotify.api import attempt as attempts
from airflow_provider_passnotify.api.attempt import (
    Attempt,
    SeveralAnswersError,
    SpokeFirstError,
    check_headers,
    check_interim,
)
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Request


class AsyncAttempt(Attempt):
    """An attempt that keeps its connection until its answer has been judged. aiohttp would release it earlier."""

    def __init__(self, request: Request, config: Config) -> None:
        super().__init__(request, config)
        self._connection: Connection | None = None
        self._protocol: WatchedProtocol | None = None
        self._give_back: Callable[[], None] | None = None
        self.ends = 0.0
        """When its deadline is, by the clock of the event loop."""

    @property
    def quiet_since(self) -> float | None:
        """Since when it has waited for something to read. ``None`` while it does not."""
        return None if self._protocol is None else self._protocol.quiet_since

    @property
    def is_written(self) -> bool:  # type: ignore[override]  # (it need not be noted: the connection knows it)
        """Whether the operating system has taken the whole request."""
        transport = None if self._connection is None else self._connection.transport
        if transport is None or self._protocol is None:
            return False
        # If the connection is lost, asyncio throws away what is left to write, but still counts as paused.
        return not transport.get_write_buffer_size() and not self._protocol._paused

    def begin_answer(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the status and the headers, as aiohttp gives them.

        :raises EarlyAnswerError: when it says "accepted" before the request was completely written.
        :raises AmbiguousAnswerError: when two programs may read differently where the answer ends.
        """
        if status >= 400:
            headers = _with_each_retry_after(headers)
        super().begin_answer(status, headers)
        check_headers(headers.items())

    def end_answer(self, body: bytes) -> None:
        """Note that the complete body has come.

        :raises ValueError: when it cannot be decoded.
        :raises SeveralAnswersError: when more than empty lines came behind it.
        """
        if self._protocol is not None:
            self._protocol.end_answer(body, is_chunked="Transfer-Encoding" in self._headers)
        super().end_answer(body)

    def fail(self, error: Exception, *, is_ambiguous: bool = False) -> None:
        """Note what ended the attempt."""
        is_broken = self._protocol is not None and self._protocol.is_broken
        super().fail(error, is_ambiguous=is_ambiguous or is_broken)

    def expire(self) -> None:
        """End it now, whatever it waits for on its connection."""
        self.expired = True
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()

    def end_silence(self) -> None:
        """End it as aiohttp does it when nothing is received for the read time-out."""
        if self._protocol is not None:
            self._protocol._on_read_timeout()

    def take(self, connection: Connection, protocol: WatchedProtocol) -> None:
        """Take the connection on which the request is sent."""
        self._connection, self._protocol, self._give_back = connection, protocol, connection.release
        connection.release = _keep  # type: ignore[method-assign]
        self.on_its_way = True  # aiohttp now writes without going back to the event loop

    def let_go(self, *, reuse: bool) -> None:
        """Give the connection back, or close it."""
        if self._connection is None or self._protocol is None or self._give_back is None:
            return
        if reuse and self.is_written:
            self._protocol.is_idle = True
            self._give_back()
        else:
            if self._connection.transport is not None:
                self._connection.transport.abort()  # close() would still write the rest of a request that was refused
            self._connection.close()


def _with_each_retry_after(headers: Any) -> Any:
    """Return the headers, with ``Retry-After`` in one if it came twice. (requests does this with all headers.)"""
    given = headers.getall(RETRY_AFTER, ())
    if len(given) > 1:
        headers = headers.copy()
        headers[RETRY_AFTER] = ", ".join(given)
    return headers


def _keep() -> None:
    """Do not release a connection yet."""


class TimeLimits:
    """Ends the attempts that take too long, or that wait too long for something to read. One timer serves all of them.

    (aiohttp makes three timers for each request: one for its limit ``total``, two for ``sock_read``.)

    :param deadline: the seconds that each attempt has.
    :param silence: the seconds for which a server may send nothing.
    """

    def __init__(self, deadline: float, silence: float) -> None:
        self._deadline, self._silence = deadline, silence
        self._running: dict[AsyncAttempt, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, attempt: AsyncAttempt) -> None:
        """Begin to count."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # kept: each call of it asks the operating system for the process
        now = self._loop.time()
        attempt.ends = now + self._deadline
        self._running[attempt] = None
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._silence, self._check)

    def left(self, attempt: AsyncAttempt) -> float:
        """Return the seconds until the deadline of an attempt."""
        return 0.0 if self._loop is None else attempt.ends - self._loop.time()

    def stop(self, attempt: AsyncAttempt) -> None:
        """Count no more."""
        self._running.pop(attempt, None)

    def close(self) -> None:
        """Take the timer out of the event loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    def _check(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        now = self._loop.time()
        for attempt in list(self._running):
            if attempt.ends <= now:
                del self._running[attempt]
                attempt.expire()
            elif attempt.quiet_since is not None and attempt.quiet_since + self._silence <= now:
                attempt.end_silence()
        if self._running:
            # Whoever begins to wait after this has the whole time. So the next check is never too late.
            limits = (min(one.ends, (one.quiet_since or now) + self._silence) for one in self._running)
            self._timer = self._loop.call_at(min(now + self._silence, *limits), self._check)


current_attempt: ContextVar[AsyncAttempt] = ContextVar("current_attempt")


class WatchedConnector(aiohttp.TCPConnector):
    """Tells the attempt when it has a connection. Never gives out a connection on which unrequested data came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = partial(WatchedProtocol, loop=asyncio.get_running_loop())

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        attempt = current_attempt.get()
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol = connection.protocol
            if not isinstance(protocol, WatchedProtocol):
                raise TypeError("this aiohttp makes connections in another way")
            if protocol.is_idle and (protocol.should_close or protocol.has_something_to_read()):
                connection.close()
                continue
            if attempt.expired:  # while it waited for a free connection
                connection.close()
                raise asyncio.TimeoutError
            protocol.is_idle = False
            attempt.take(connection, protocol)
            return connection

    async def _create_connection(self, req: Any, *args: Any, **kwargs: Any) -> ResponseHandler:
        # A name server, a proxy and a TLS handshake have no limit of their own.
        left = current_attempt.get().ends - asyncio.get_running_loop().time()
        return await asyncio.wait_for(self._create_silent(req, *args, **kwargs), max(0.0, left))

    async def _create_silent(self, req: Any, *args: Any, **kwargs: Any) -> ResponseHandler:
        protocol = await super()._create_connection(req, *args, **kwargs)
        try:
            if isinstance(protocol, WatchedProtocol):
                await protocol.expect_silence(0.0 if req.is_ssl() else attempts.QUIET_SECONDS)
        except BaseException:
            if protocol.transport is not None:
                protocol.transport.abort()  # close() would wait for the end of TLS
            raise
        return protocol


class WatchedProtocol(ResponseHandler):
    """A connection that is not used any more after data came on it without a request.

    It has no timer of its own for the read time-out: it only notes the time, and :class:`TimeLimits` looks at it. (If
    another aiohttp calls these two methods by other names, its own timers are back.)
    """

    is_idle = False
    """Whether it has been used and is now back in the pool."""
    quiet_since: float | None = None
    """Since when something should have come. ``None`` while nothing is expected."""
    is_broken = False
    """Whether an answer broke the rules of HTTP."""
    _unasked: asyncio.Future[None] | None = None
    """Done when something comes on a new connection."""
    _last = b""
    """What came last."""
    _poll: select.poll | None = None

    def data_received(self, data: bytes) -> None:
        if self.is_idle:
            self.close()
            return
        if self._unasked is not None and not self._unasked.done():
            self._unasked.set_result(None)
        if data:
            self._last = data
        super().data_received(data)

    async def read(self) -> Any:
        """Return the next message. aiohttp skips interim answers without looking at them.

        :raises AmbiguousAnswerError: when nobody can know what comes behind an interim answer.
        :raises ValueError: when it has too many headers.
        """
        message, payload = await super().read()
        if message.code < 200 and message.code != 101:
            check_interim(message.headers.items(), is_last=message.should_close)
        return message, payload

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(exc)  # aiohttp would take a reset for the end of an answer without a length
        super().connection_lost(exc)

    def set_exception(self, exc: Any, *cause: Any) -> None:
        if isinstance(exc, HttpProcessingError):
            self.is_broken = True
        super().set_exception(exc, *cause)

    async def expect_silence(self, seconds: float) -> None:
        """Wait whether something comes on a new connection before it is used.

        :raises SpokeFirstError: when something came: it would be taken for the answer to the first request.
        """
        self._unasked = self._loop.create_future()
        if seconds and not self.should_close:
            await asyncio.wait([self._unasked], timeout=seconds)
        while self.has_something_to_read() and not self.should_close:  # noqa: ASYNC110 (aiohttp tells nobody)
            await asyncio.sleep(0)  # it is read now; in TLS, it may be a session ticket
        self._unasked = None
        if self.should_close:
            raise SpokeFirstError

    def end_answer(self, body: bytes, *, is_chunked: bool) -> None:
        """Look whether something came together with the end of an answer. (aiohttp throws away half an answer.)

        :raises SeveralAnswersError: when more than empty lines came.
        """
        ends_well, empty_lines = _end_of(self._last, b"" if is_chunked else body)
        if self._buffer or self._tail or not ends_well:
            raise SeveralAnswersError
        if empty_lines:
            self.close()

    def _reschedule_timeout(self) -> None:
        self.quiet_since = self._loop.time() if self.read_timeout else None

    def _drop_timeout(self) -> None:
        self.quiet_since = None

    def has_something_to_read(self) -> bool:
        """Whether the operating system holds data, or the end of the connection, that was not read yet."""
        if self._poll is None:  # made once for each connection
            sock: Any = None if self.transport is None else self.transport.get_extra_info("socket")
            if sock is None:
                return True
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))


def _end_of(last: bytes, body: bytes) -> tuple[bool, bool]:
    """Return whether data ends with the end of an answer, and whether with more empty lines.

    :param body: the body of the answer; empty if the answer ends with an empty line.
    """
    if body:
        if last.endswith(body) or body.endswith(last):
            return True, False
        last, body = last.rstrip(b"\r\n"), body.rstrip(b"\r\n")
        return last.endswith(body) or body.endswith(last), True
    end = last[-6:].replace(b"\r", b"")
    return b"\n\n".endswith(end[-2:]), end.endswith(b"\n\n\n")
