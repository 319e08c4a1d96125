"""The asyncio transport: many calls at a time over ``aiohttp``, with connections reused."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import aiohttp
import certifi
from yarl import URL

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.attempt import MAX_LINE, AmbiguousAnswerError
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.failure_text import check_size
from airflow_provider_passnotify.api.protocol import Request, Verdict
from airflow_provider_passnotify.api.rate_limit import RateLimiter
from airflow_provider_passnotify.api.watched_aiohttp import AsyncAttempt, TimeLimits, WatchedConnector, current_attempt

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
        self._limits = TimeLimits(config.deadline, config.timeout[1])

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
        attempt = AsyncAttempt(request, self.config)
        current_attempt.set(attempt)
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

    async def _exchange(self, attempt: AsyncAttempt, session: aiohttp.ClientSession) -> None:
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
            if response.version is None or response.version.major != 1:
                raise AmbiguousAnswerError
            attempt.begin_answer(response.status, response.headers)
            body = bytearray()
            while piece := await response.content.readany():
                body += piece
                check_size(len(body), request.max_answer_bytes)
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


def _open_session(config: Config, tls: bool | ssl.SSLContext) -> aiohttp.ClientSession:
    connect, read = config.timeout
    connector = WatchedConnector(limit=config.max_connections, keepalive_timeout=protocol.MAX_IDLE_SECONDS, ssl=tls)
    return aiohttp.ClientSession(
        connector=connector,
        headers=config.headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
    )


def _tls(ca_bundle: bool | str) -> bool | ssl.SSLContext:
    if ca_bundle is False:
        return False
    path = certifi.where() if ca_bundle is True else str(ca_bundle)  # the same as requests does
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
