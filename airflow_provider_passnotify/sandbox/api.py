"""The API itself, under ``/v1``: a plain ASGI endpoint that routes on the raw path, so that ``%2F`` stays in its id."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, unquote

from airflow_provider_passnotify.sandbox.faults import Fault, Faults, RateLimit
from airflow_provider_passnotify.sandbox.tickets import Behaviour, Tickets
from airflow_provider_passnotify.sandbox.world import NotFoundError, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_DESCRIPTIONS = {
    400: "Invalid parameters.",
    401: "The credential is missing or wrong.",
    404: "The resource is no longer at that location.",
    405: "This path does not take that method.",
    406: "No valid JSON body.",
    429: "Too many requests.",
    500: "Error reading the api key",
}


class ApiError(Exception):
    """An answer other than 200, with the API's documented error body."""

    def __init__(self, status: int, details: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.body = {"code": status, "description": _DESCRIPTIONS[status], "details": details}
        super().__init__(details)


@dataclass
class Log:
    """The requests that were received."""

    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=100))
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def received(self, method: str, path: str) -> dict[str, Any]:
        """Count a request whose headers were read."""
        at = datetime.now(timezone.utc).isoformat()
        entry: dict[str, Any] = {"method": method, "path": path, "status": None, "at": at}
        self.methods[method] += 1
        self.last.append(entry)
        self.changed.set()
        return entry

    def answered(self, entry: dict[str, Any], status: int) -> None:
        """Note what a request was answered with."""
        entry["status"] = status
        self.statuses[str(status)] += 1

    async def wait_for(self, method: str | None, count: int) -> None:
        """Wait until so many requests were received."""
        while (self.methods.total() if method is None else self.methods[method]) < count:
            self.changed.clear()
            await self.changed.wait()


class Service:
    """The whole state of one sandbox, and its answers.

    :param login: of the one credential that is good.
    :param password: of it.
    :param passes: extra passes, see :class:`World`.
    :param ticket_seconds: how long a ticket takes.
    :param key_error: whether a bad credential is answered with the 500 that the API has also been seen to give.
    """

    def __init__(
        self,
        *,
        login: str = "sandbox",
        password: str = "sandbox",  # noqa: S107
        passes: int = 0,
        ticket_seconds: float = 2.0,
        key_error: bool = False,
    ) -> None:
        self.login, self.password, self.key_error = login, password, key_error
        self._passes, self._ticket_seconds = passes, ticket_seconds
        key = base64.b64encode(f"{login}:{password}".encode())
        self._credential = b"Basic " + key
        self.faults = Faults()
        self.log = Log()
        self.reset()

    def reset(self) -> None:
        """Go back to the start: no deliveries, tickets, requests or faults."""
        self.world = World(self._passes)
        self.tickets = Tickets(Behaviour(seconds=self._ticket_seconds))
        self.faults.clear()
        self.faults.rate_limit = RateLimit(None)
        self.log.methods.clear()
        self.log.statuses.clear()
        self.log.last.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under ``/v1``."""
        method, raw_path = scope["method"], scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        path = f"{raw_path}?{query}" if query else raw_path
        entry = self.log.received(method, path)
        fault = self.faults.pick(method, path)
        if fault is not None and fault.action == "hold_headers":
            await self.faults.hold()
        body = await _read_body(receive)
        carry_out = fault is None or fault.carries_out
        headers: dict[str, str] = {}
        try:
            status, answer = 200, self._answer(method, raw_path, query, body, dict(scope["headers"]), carry_out)
        except ApiError as error:
            status, answer, headers = error.status, error.body, error.headers
        if fault is not None:
            await asyncio.sleep(fault.latency)
            if not await self._go_wrong(fault, scope, receive, send, entry):
                return
            if fault.action == "status":
                default = {"code": fault.status, "description": "Asked for by a fault.", "details": "sandbox"}
                status, answer, headers = fault.status, default, fault.answer_headers()
            if fault.action in {"status", "body"} and fault.body is not None:
                answer = fault.body
                headers = fault.answer_headers()
        self.log.answered(entry, status)
        await _send_answer(send, status, answer, headers)

    async def _go_wrong(self, fault: Fault, scope: Scope, receive: Receive, send: Send, entry: dict[str, Any]) -> bool:
        """Do what a fault does instead of an answer, and tell whether an answer still follows."""
        if fault.action == "hold_accepted":
            await self.faults.hold()
        elif fault.action == "read_timeout":
            while (await receive())["type"] != "http.disconnect":
                pass
            return False
        elif fault.action == "close_after":
            scope["sandbox.transport"].abort()
            return False
        elif fault.action == "cut_body":
            self.log.answered(entry, 200)
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]},
            )
            await send({"type": "http.response.body", "body": b'{"ticketId": 1', "more_body": True})
            scope["sandbox.transport"].close()
            return False
        return True

    def _answer(
        self, method: str, raw_path: str, query: str, body: bytes, headers: dict[bytes, bytes], carry_out: bool
    ) -> Any:
        segments = [unquote(segment) for segment in raw_path.split("/")[2:]]
        if segments == ["system", "status"]:
            return {"Hello": "World"}
        if headers.get(b"authorization") != self._credential:
            raise ApiError(500 if self.key_error else 401, "Error reading the api key")
        if not self.faults.rate_limit.allows():
            raise ApiError(429, "come back in a second", {"Retry-After": "1"})
        if len(segments) == 2 and segments[0] == "ticket":
            return self._ticket(method, segments[1])
        parameters = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        try:
            pass_ids = self._passes_of(method, segments, parameters)
        except NotFoundError as error:
            raise ApiError(404, f"object not found :{error}") from None
        if method == "POST":
            label, value = _read_message(headers, body)
            ticket_id = self.tickets.new()
            if carry_out:
                self.world.send(pass_ids, ticket_id, label, value)
        else:
            ticket_id = self.tickets.new()
            if carry_out:
                self.world.delete(pass_ids)
        return {"ticketId": ticket_id}

    def _ticket(self, method: str, text: str) -> Any:
        if method != "GET":
            raise ApiError(405, f"{method} ticket")
        if not text.isdigit() or int(text) not in self.tickets:
            raise ApiError(404, f"object not found :Ticket not found! There is no ticket {text}")
        return self.tickets.answer(int(text))

    def _passes_of(self, method: str, segments: list[str], parameters: dict[str, str]) -> Iterable[str]:
        """Find whom a path names; the ten operations and the external form of the template's two."""
        template_id = parameters.get("templateId") or None
        match segments:
            case ["pass", pass_id, "notify"]:
                found = self.world.pass_by_id(pass_id)
            case ["pass", "template", own_template, "id", external_id, "notify"]:
                found = self.world.pass_by_external_id(own_template, external_id)
            case ["segments", project_id, segment_id, "notify"]:
                if method == "POST" and template_id is None:
                    raise ApiError(400, "templateId is required")
                found = self.world.segment(project_id, segment_id, template_id)  # type: ignore[assignment]
            case ["tag", tag, "notify"]:
                if template_id is None:
                    raise ApiError(400, "templateId is required")
                found = self.world.tag(tag, template_id)  # type: ignore[assignment]
            case ["template", own_template, "notify"]:
                found = self.world.template(own_template)  # type: ignore[assignment]
            case ["template", "id", external_id, "notify"]:
                found = self.world.external_template(external_id)  # type: ignore[assignment]
            case _:
                raise ApiError(404, "there is no such path")
        if method not in {"POST", "DELETE"}:
            raise ApiError(405, f"{method} is not taken here")
        return found


def _read_message(headers: dict[bytes, bytes], body: bytes) -> tuple[str | None, str]:
    if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
        raise ApiError(406, "the Content-Type is not application/json")
    try:
        message = json.loads(body)
    except ValueError:
        raise ApiError(406, "the body is not JSON") from None
    if not isinstance(message, dict):
        raise ApiError(400, "the body is not an object")
    label, value = message.get("label"), message.get("value")
    if not isinstance(value, str) or not value:
        raise ApiError(400, "value is required and must be a string")
    if label is not None and not isinstance(label, str):
        raise ApiError(400, "label must be a string")
    return label, value


async def _read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _send_answer(send: Send, status: int, answer: Any, headers: dict[str, str]) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    lines = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
