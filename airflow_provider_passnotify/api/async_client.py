"""The asyncio transport: many calls at a time over ``aiohttp``, with connections reused."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import certifi
from yarl import URL

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Request, TransportFailure, Verdict
from airflow_provider_passnotify.api.rate_limit import RateLimiter

log = logging.getLogger(__name__)
LATE_SECONDS = 0.05
"""Whoever wakes up later than this after his turn waits for another one."""


class PassNotifyAsyncClient:
    """Calls the API; every call ends in a :class:`~airflow_provider_passnotify.api.protocol.Verdict`.

    Use it as an asynchronous context manager, within one event loop. Making one reads the CA bundle, which takes tens
    of milliseconds: a loop that must not be blocked makes it in a thread.

    :param config: the connection, read.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._tls = _tls(config.ca_bundle)
        self._pace = RateLimiter(config.requests_per_second)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PassNotifyAsyncClient:
        self._session = _open_session(self.config, self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, request: Request, before_attempt: Callable[[], None] | None = None) -> Verdict:
        """Do a request, again where that is safe and may help.

        :param before_attempt: called right before anything is written; it stops the call by raising.
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
            # The loop was blocked: all whose turn came meanwhile are awake now, and must not call at once.

    async def attempt(self, request: Request) -> Verdict:
        """Do a request once."""
        if self._session is None:
            self._session = _open_session(self.config, self._tls)
        try:
            async with self._session.request(
                request.method,
                URL(self.config.base_url + request.url_path, encoded=True),
                data=request.body,
                headers=request.headers,
                proxy=self.config.proxy,
                allow_redirects=False,
            ) as response:
                body = await _read_body(response)
                redact = self.config.redact
                return protocol.judge(request, response.status, response.headers, body, redact=redact)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            return protocol.judge_failure(_classify(error), self.config.redact(f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Connector(aiohttp.TCPConnector):
    """Marks what ends an attempt before a byte of the request was written, also when it was cancelled."""

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().connect(*args, **kwargs)
        except BaseException as error:
            error.not_connected = True  # type: ignore[attr-defined]
            raise


def _open_session(config: Config, tls: bool | ssl.SSLContext) -> aiohttp.ClientSession:
    connect, read = config.timeout
    connector = _Connector(limit=config.max_connections, keepalive_timeout=protocol.MAX_IDLE_SECONDS, ssl=tls)
    # A proxy's answer to CONNECT has no time-out of its own in aiohttp; this one also covers waiting for a connection.
    tunnel = connect + read if config.proxy else None
    return aiohttp.ClientSession(
        connector=connector,
        headers=config.headers,
        timeout=aiohttp.ClientTimeout(total=None, connect=tunnel, sock_connect=connect, sock_read=read),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _tls(ca_bundle: bool | str) -> bool | ssl.SSLContext:
    if ca_bundle is False:
        return False
    path = certifi.where() if ca_bundle is True else str(ca_bundle)  # as requests has it
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        while len(body) <= protocol.MAX_ANSWER_BYTES and (chunk := await response.content.readany()):
            body += chunk
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
        if response.status < 400:
            raise
        return b""  # the status alone says that it was refused
    return bytes(body)


def _classify(error: Exception) -> TransportFailure:
    """Tell whether anything was written when it failed; aiohttp has classes of its own for what fails before."""
    if isinstance(error, aiohttp.ClientSSLError):
        return TransportFailure.TLS
    before = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientHttpProxyError,
        aiohttp.InvalidURL,
    )
    return TransportFailure.UNREACHABLE if isinstance(error, before) else TransportFailure.LOST
