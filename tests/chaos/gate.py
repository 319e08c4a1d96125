"""A gate in front of a service: a reverse proxy that stops chosen requests at an exact point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import aiohttp
from aiohttp import web

from tests.airflow_cluster import HANGS_SECONDS

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}
MAX_BODY = 64 * 1024 * 1024


class Point(Enum):
    """Where a request is caught."""

    HEADERS = "its headers were read, its body was not"
    BEFORE = "all of it was read, the service has seen nothing"
    AFTER = "the service has answered, the client has seen nothing"


class Way(Enum):
    """How a caught request goes on."""

    ON = "as if nothing had been"
    DROP = "its connection is closed"
    REFUSE = "409, and the service has seen nothing unless it was caught after"


@dataclass
class Exchange:
    """One request.

    :param status: the status of the service's answer, as soon as there is one.
    :param answer: the body of this answer.
    """

    method: str
    path: str
    body: bytes = b""
    status: int | None = None
    answer: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    _way: asyncio.Future[Way] | None = None

    def go(self, way: Way = Way.ON) -> None:
        """Let a caught request go on."""
        if self._way is not None and not self._way.done():
            self._way.set_result(way)

    async def hold(self) -> Way:
        """Wait until the request may go on."""
        self._way = asyncio.get_running_loop().create_future()
        return await self._way


@dataclass
class Trap:
    """Catches the first requests that match, at one point.

    :param times: how many requests it catches.
    :param then: how they go on at once; ``None`` if they are held.
    """

    matches: Callable[[Exchange], bool]
    point: Point
    times: int = 1
    then: Way | None = None
    caught: asyncio.Queue[Exchange] = field(default_factory=asyncio.Queue)
    _held: list[Exchange] = field(default_factory=list)

    async def catch(self, seconds: float = HANGS_SECONDS) -> Exchange:
        """Return the next request that was caught.

        :raises TimeoutError: if none comes.
        """
        try:
            return await asyncio.wait_for(self.caught.get(), seconds)
        except asyncio.TimeoutError:
            raise TimeoutError(f"nothing was caught when {self.point.value}") from None

    def release(self) -> None:
        """Catch no more requests, and let those go on that are held."""
        self.times = 0
        for exchange in self._held:
            exchange.go()

    def take(self, exchange: Exchange) -> None:
        """Catch a request."""
        self.times -= 1
        self._held.append(exchange)
        self.caught.put_nowait(exchange)


class Gate:
    """The proxy.

    :param service: the URL of the service behind it.
    :param watch: called twice with each exchange: when its body was read, and when it was answered.
    """

    def __init__(self, service: str, watch: Callable[[Exchange], None] = lambda _: None) -> None:
        self.service, self._watch = service, watch
        self.url = ""
        self.traps: list[Trap] = []

    def trap(self, trap: Trap) -> Trap:
        """Set a trap."""
        self.traps.append(trap)
        return trap

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Gate]:
        """Serve until the block ends."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        ) as self._session:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        exchange = Exchange(request.method, request.raw_path, headers=headers)
        way = await self._stop(exchange, Point.HEADERS)
        if way is not Way.ON:
            return self._leave(request, way)
        try:
            exchange.body = await request.content.read()
        except OSError:
            return self._leave(request, Way.DROP)  # the client died before it had written the whole body
        self._watch(exchange)
        way = await self._stop(exchange, Point.BEFORE)
        if way is not Way.ON:
            return self._leave(request, way)
        try:
            answer = await self.forward(exchange)
        except aiohttp.ClientError:
            return self._leave(request, Way.DROP)
        self._watch(exchange)
        way = await self._stop(exchange, Point.AFTER)
        return answer if way is Way.ON else self._leave(request, way)

    async def _stop(self, exchange: Exchange, point: Point) -> Way:
        for trap in self.traps:
            if trap.point is point and trap.times > 0 and trap.matches(exchange):
                trap.take(exchange)
                way = trap.then or await exchange.hold()
                if way is not Way.ON:
                    return way
        return Way.ON

    async def forward(self, exchange: Exchange) -> web.Response:
        """Forward a request to the service. If it was already forwarded, this repeats it."""
        async with self._session.request(
            exchange.method,
            self.service + exchange.path,
            headers=exchange.headers,
            data=exchange.body,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            exchange.status, exchange.answer = answer.status, body
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=body)

    def _leave(self, request: web.BaseRequest, way: Way) -> web.StreamResponse:
        if way is Way.REFUSE:
            return web.json_response({"detail": {"reason": "chaos", "message": "refused by the gate"}}, status=409)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)
