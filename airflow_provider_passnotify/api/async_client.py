"""The asyncio transport: many calls at a time over ``aiohttp``, with connections reused."""

from __future__ import annotations

import asyncio
import logging
import select
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import certifi
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.attempt import Attempt
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Request, Verdict
from airflow_provider_passnotify.api.rate_limit import RateLimiter

log = logging.getLogger(__name__)
LATE_SECONDS = 0.05
"""A call that wakes up more than this after its turn waits for a new turn."""


class PassNotifyAsyncClient:
    """Calls the API; every call ends in a :class:`~airflow_provider_passnotify.api.protocol.Verdict`.

    Use it as an asynchronous context manager, within one event loop. The constructor reads the CA bundle, which takes
    tens of milliseconds. If your event loop must not be blocked, create the client in a thread.

    :param config: the settings of the connection, already read.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._tls = _tls(config.ca_bundle)
        self._pace = RateLimiter(config.requests_per_second)
        self._session: aiohttp.ClientSession | None = None
        self._base = URL(config.base_url, encoded=True)
        self._limits = _TimeLimits(config.deadline, config.timeout[1])

    async def __aenter__(self) -> PassNotifyAsyncClient:
        self._session = _open_session(self.config, self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, request: Request, before_attempt: Callable[[], None] | None = None) -> Verdict:
        """Make a request, and repeat it where that is safe and may help.

        :param before_attempt: called right before anything is written. It can raise an exception to stop the call.
        """
        attempt = 1
        while True:
            await self._wait_for_turn()
            if before_attempt:
                before_attempt()
            verdict = await self.attempt(request)
            delay = protocol.retry_delay(request, verdict, attempt=attempt, max_retries=self.config.max_retries)
            if delay is None:
                return verdict
            log.warning(protocol.RETRY_MESSAGE, request.method, request.url_path, verdict.reason, delay, attempt)
            await asyncio.sleep(delay)
            attempt += 1

    async def _wait_for_turn(self) -> None:
        """Wait until the rate allows one more call."""
        loop = asyncio.get_running_loop()
        for _ in range(3):
            moment = loop.time() + self._pace.reserve(loop.time())
            await asyncio.sleep(moment - loop.time())
            if loop.time() - moment < LATE_SECONDS:
                break
            # The event loop was blocked. All calls whose turn came in that time are awake now. They must not all start
            # at the same moment.

    async def attempt(self, request: Request) -> Verdict:
        """Make one attempt of a request.

        When it is cancelled, ``not_connected`` of the :class:`asyncio.CancelledError` is true if certainly nothing was
        sent.
        """
        if self._session is None:
            self._session = _open_session(self.config, self._tls)
        attempt = _AsyncAttempt(request, self.config)
        _current.set(attempt)
        self._limits.start(attempt)
        verdict = None
        try:
            await self._exchange(attempt, self._session)
            verdict = attempt.judge()
        except asyncio.CancelledError as error:
            error.not_connected = not attempt.on_its_way  # type: ignore[attr-defined]
            raise
        except Exception as error:  # noqa: BLE001 (what counts is how far the attempt got, not the class of the error)
            attempt.fail(error)
            attempt.expired = attempt.expired or self._limits.left(attempt) <= 0
            verdict = attempt.judge()
        finally:
            self._limits.stop(attempt)
            attempt.let_go(reuse=verdict is not None and attempt.leaves_connection_clean(verdict))
        return verdict

    async def _exchange(self, attempt: _AsyncAttempt, session: aiohttp.ClientSession) -> None:
        request = attempt.request
        response = await session.request(
            request.method,
            self._base.with_path(request.url_path, encoded=True),  # with a query, too; the host is not parsed again
            data=request.body,
            headers=request.headers,
            proxy=self.config.proxy,
            allow_redirects=False,
        )
        try:
            attempt.begin_answer(response.status, response.headers)
            body = bytearray()
            while piece := await response.content.readany():
                body += piece
                if len(body) > request.max_answer_bytes:
                    raise ValueError(f"the answer is larger than {request.max_answer_bytes} bytes")
            attempt.end_answer(bytes(body))
        except BaseException:
            response.close()
            raise

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._limits.close()


class _AsyncAttempt(Attempt):
    """An attempt that keeps its connection until its answer has been judged. aiohttp would release it earlier."""

    def __init__(self, request: Request, config: Config) -> None:
        super().__init__(request, config)
        self._connection: Connection | None = None
        self._give_back: Callable[[], None] | None = None
        self.ends = 0.0
        """When its deadline is, by the clock of the event loop."""

    @property
    def quiet_since(self) -> float | None:
        """Since when it has waited for something to read. ``None`` while it does not."""
        protocol = None if self._connection is None else self._connection.protocol
        return protocol.quiet_since if isinstance(protocol, _Protocol) else None

    def expire(self) -> None:
        """End it now, whatever it waits for on its connection."""
        self.expired = True
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()

    def end_silence(self) -> None:
        """End it as aiohttp does it when nothing is received for the read time-out."""
        protocol = None if self._connection is None else self._connection.protocol
        if isinstance(protocol, _Protocol):
            protocol._on_read_timeout()

    def take(self, connection: Connection) -> None:
        """Take the connection on which the request is sent."""
        self._connection, self._give_back = connection, connection.release
        connection.release = _keep  # type: ignore[method-assign]
        self.on_its_way = True  # aiohttp now writes without going back to the event loop

    def let_go(self, *, reuse: bool) -> None:
        """Give the connection back, or close it."""
        if self._connection is None or self._give_back is None:
            return
        protocol, transport = self._connection.protocol, self._connection.transport
        is_written = transport is not None and not transport.get_write_buffer_size()  # if not: the answer came early
        if reuse and is_written and isinstance(protocol, _Protocol):
            protocol.is_idle = True
            self._give_back()
        else:
            self._connection.close()


def _keep() -> None:
    """Do not release a connection yet."""


class _TimeLimits:
    """Ends the attempts that take too long, or that wait too long for something to read. One timer serves all of them.

    (aiohttp makes three timers for each request: one for its limit ``total``, two for ``sock_read``.)

    :param deadline: the seconds that each attempt has.
    :param silence: the seconds for which a server may send nothing.
    """

    def __init__(self, deadline: float, silence: float) -> None:
        self._deadline, self._silence = deadline, silence
        self._running: dict[_AsyncAttempt, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, attempt: _AsyncAttempt) -> None:
        """Begin to count."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # kept: each call of it asks the operating system for the process
        now = self._loop.time()
        attempt.ends = now + self._deadline
        self._running[attempt] = None
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._silence, self._check)

    def left(self, attempt: _AsyncAttempt) -> float:
        """Return the seconds until the deadline of an attempt."""
        return 0.0 if self._loop is None else attempt.ends - self._loop.time()

    def stop(self, attempt: _AsyncAttempt) -> None:
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


_current: ContextVar[_AsyncAttempt] = ContextVar("_current")


class _Connector(aiohttp.TCPConnector):
    """Tells the attempt when it has a connection. Never gives out a connection on which unrequested data came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = partial(_Protocol, loop=asyncio.get_running_loop())

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        attempt = _current.get()
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol = connection.protocol
            if not isinstance(protocol, _Protocol):
                raise TypeError("this aiohttp makes connections in another way")
            if protocol.is_idle and (protocol.should_close or protocol.has_something_to_read()):
                connection.close()
                continue
            if attempt.expired:  # while it waited for a free connection
                connection.close()
                raise asyncio.TimeoutError
            protocol.is_idle = False
            attempt.take(connection)
            return connection

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        # A name server, a proxy and a TLS handshake have no limit of their own.
        making = super()._create_connection(*args, **kwargs)
        left = _current.get().ends - asyncio.get_running_loop().time()
        return await asyncio.wait_for(making, max(0.0, left))


class _Protocol(ResponseHandler):
    """A connection that is not used again after data came on it without a request.

    It has no timer of its own for the read time-out: it only notes the time, and :class:`_TimeLimits` looks at it. (If
    another aiohttp calls these two methods by other names, its own timers are back.)
    """

    is_idle = False
    """Whether it has been used and is now back in the pool."""
    quiet_since: float | None = None
    """Since when something should have come. ``None`` while nothing is expected."""
    _poll: select.poll | None = None

    def data_received(self, data: bytes) -> None:
        if self.is_idle:
            self.force_close()
        super().data_received(data)

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


def _open_session(config: Config, tls: bool | ssl.SSLContext) -> aiohttp.ClientSession:
    connect, read = config.timeout
    connector = _Connector(limit=config.max_connections, keepalive_timeout=protocol.MAX_IDLE_SECONDS, ssl=tls)
    return aiohttp.ClientSession(
        connector=connector,
        headers=config.headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _tls(ca_bundle: bool | str) -> bool | ssl.SSLContext:
    if ca_bundle is False:
        return False
    path = certifi.where() if ca_bundle is True else str(ca_bundle)  # the same as requests does
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
