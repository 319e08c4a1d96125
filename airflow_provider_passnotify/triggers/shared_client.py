"""What the triggers of one triggerer share for each Airflow connection: a client, its open connections, the rate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.api.ticket_poll import MAX_RETRY_AFTER_BETWEEN_POLLS
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, new_async_client

if TYPE_CHECKING:
    from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient

FRESH_SECONDS = 300.0
"""Seconds after which the Airflow connection is read again, so that a new password is noticed."""
RENEWABLE_SECONDS = 5.0
"""If the API rejects the credential, the connection is read again, but not if it was read in the last seconds."""

log = logging.getLogger(__name__)
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedClient]] = WeakKeyDictionary()


class _QuietError(Exception):
    """No request was made, because an earlier verdict had a ``Retry-After``. This holds that verdict."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict.reason)


class SharedClient:
    """The client of one Airflow connection. Triggers that start at the same time read the connection only once.

    :param conn_id: the Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        self.users = 0
        self._conn_id = conn_id
        self._client: PassNotifyAsyncClient | None = None
        self._slots = asyncio.Semaphore()
        self._replaced: list[PassNotifyAsyncClient] = []
        self._opening: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._quiet_until = 0.0
        self._quiet_verdict: Verdict | None = None

    async def ready(self) -> None:
        """Read the Airflow connection, if it is time to read it again.

        :raises PassNotifyConfigError: it names what is wrong with the connection.
        """
        if self._client is None:
            await self._read()
        else:
            await self._refresh(FRESH_SECONDS)

    async def poll(self, request: Request) -> Verdict:
        """Poll once, within the rate. Call :meth:`ready` before."""
        client = self._client
        assert client is not None  # noqa: S101 (ready() was awaited)
        verdict = await self._call(client, request)
        if verdict.credentials_refused and await self._changed(client):
            verdict = await self._call(self._client, request)  # type: ignore[arg-type]
        return verdict

    async def _call(self, client: PassNotifyAsyncClient, request: Request) -> Verdict:
        try:
            async with self._slots:  # not in aiohttp's own queue, which does not know Retry-After
                self._check_quiet()
                verdict = await client.call(request, before_attempt=self._check_quiet)
        except _QuietError as quiet:
            return quiet.verdict
        if verdict.retry_after and verdict.outcome in (
            Outcome.NOT_SENT,
            Outcome.UNKNOWN,
        ):  # (a rejection is one ticket's)
            self._quiet_until = asyncio.get_running_loop().time() + min(
                verdict.retry_after, MAX_RETRY_AFTER_BETWEEN_POLLS
            )
            self._quiet_verdict = verdict
        return verdict

    def _check_quiet(self) -> None:
        """Raise while a ``Retry-After`` is in force. This also stops a request that already waited for its turn."""
        left = self._quiet_until - asyncio.get_running_loop().time()
        if self._quiet_verdict is not None and left > 0:
            raise _QuietError(replace(self._quiet_verdict, retry_after=left))

    async def close(self) -> None:
        """Close the connections."""
        if self._opening is not None:
            self._opening.cancel()
        for client in filter(None, [self._client, *self._replaced]):
            await client.close()

    async def _changed(self, client: PassNotifyAsyncClient) -> bool:
        """Whether the connection has another credential than the one that the API rejected."""
        if client is self._client:
            await self._refresh(RENEWABLE_SECONDS)
        return client is not self._client

    async def _refresh(self, age: float) -> None:
        """Read the connection again if the last time was longer ago. If that fails, the old client stays."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at < age:
            return
        try:
            await self._read()
        except Exception as error:  # noqa: BLE001 (the old connection may still work)
            self._read_at = now
            log.warning(
                "Connection %r could not be read again, so the old one is used: %s: %s",
                self._conn_id,
                type(error).__name__,
                error,
            )

    async def _read(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        await asyncio.shield(self._opening)  # a trigger that is cancelled must not cancel the reading for the others

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # so that asyncio does not complain if nobody waits for it any more

    async def _open(self) -> None:
        config = replace(await PassNotifyAsyncHook(self._conn_id).get_config(), max_retries=0)
        if self._client is None or self._client.config != config:
            if self._client is not None:
                self._replaced.append(self._client)  # calls that have begun end on the old client
            self._client = await new_async_client(config)
            self._slots = asyncio.Semaphore(config.max_connections)
            self._quiet_until = 0.0  # the Retry-After was for another host or credential
        self._read_at = asyncio.get_running_loop().time()


@asynccontextmanager
async def shared_client(conn_id: str) -> AsyncIterator[SharedClient]:
    """Give the client of a connection to one more user. The last user closes its connections."""
    clients = _shared.setdefault(asyncio.get_running_loop(), {})
    shared = clients.setdefault(conn_id, SharedClient(conn_id))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            del clients[conn_id]
            await shared.close()
