"""One request and its answer on a connection, and every way in which this can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow_provider_passnotify.sandbox.answers import Answer
from airflow_provider_passnotify.sandbox.request_log import RequestLog

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

WITHOUT_BODY = (204, 304)


async def refuse(send: Send, why: str) -> None:
    """Answer a request that is neither counted nor carried out."""
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Exchange:
    """One request. It is counted at once.

    :param log: the request is counted there.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, log: RequestLog) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._log = log
        self._received = log.received(scope["method"], scope["raw_path"], scope["query_string"])

    @property
    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self.scope["state"]["transport"]  # server.py put it there
        return transport

    async def read(self) -> bytes | None:
        """Return the whole body, or ``None`` if the client closed the connection before its end."""
        parts = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message["body"])
            if not message["more_body"]:
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def answer(self, answer: Answer) -> None:
        """Send an answer, unless the client has closed the connection."""
        if self._transport.is_closing():
            return
        self._log.answered(self._received, answer.status, answer.body)
        await self._send_head(answer)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def cut(self, answer: Answer) -> None:
        """Send the head of an answer and half of its body, and close the connection."""
        if self._transport.is_closing():
            return
        self._log.answered(self._received, answer.status)
        await self._send_head(answer)
        half = answer.body[: len(answer.body) // 2]
        await self._send({"type": "http.response.body", "body": half, "more_body": True})
        await self._closed(self._transport.close)

    async def drop(self) -> None:
        """Close the connection without an answer."""
        await self._closed(self._transport.abort)

    async def stand_still(self, until: asyncio.Future[bool], *, before_body: bool = False) -> bool:
        """Wait, and return whether the request goes on. It does not if it was dropped or the client has gone away.

        :param before_body: do not read the body while waiting. So uvicorn soon stops reading, and a client with a large
            body is stopped while it writes. If the client goes away, this is noticed only after the wait.
        """
        gone = asyncio.get_running_loop().create_future() if before_body else asyncio.ensure_future(self._gone())
        self._log.holds(1)
        try:
            await asyncio.wait({until, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._log.holds(-1)
            until.cancel()
            gone.cancel()
        if not until.cancelled() and until.result():
            return True
        await self.drop()
        return False

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _closed(self, close: Callable[[], None]) -> None:
        # uvicorn logs a missing answer as an error unless it has seen the end of the connection. So it must wait for
        # that end before the connection is closed, because uvloop does not read from a closed connection.
        gone = asyncio.ensure_future(self._gone())
        await asyncio.sleep(0)
        close()
        await gone

    async def _send_head(self, answer: Answer) -> None:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status not in WITHOUT_BODY:
            headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **headers}
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": encoded})
