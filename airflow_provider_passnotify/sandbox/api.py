"""The API itself: a request in, its answer out. No I/O, and no faults. The faults are in ``app.py``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

from airflow_provider_passnotify.sandbox.answers import Answer, as_json, error
from airflow_provider_passnotify.sandbox.state import SandboxState
from airflow_provider_passnotify.sandbox.world import MAX_DIGITS, NotFoundError

NOTIFY = ("POST", "DELETE")


class RefusedError(Exception):
    """The request is refused.

    :param answer: the answer to the client.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class Api:
    """Carries out requests.

    :param state: the state that requests read and change.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        credential = f"{state.options.login}:{state.options.password}".encode()
        self._credential = credential
        self._authorization = b"Basic " + base64.b64encode(credential)

    def answer(self, method: str, raw_path: bytes, query: bytes, authorization: bytes | None, body: bytes) -> Answer:
        """Carry out one request and return its answer.

        :param raw_path: the path as it was sent. In a decoded path, the tag ``a/b`` would look like two segments.
        """
        try:
            segments = _segments(raw_path)
            if segments == ["system", "status"]:
                _require(method, ("GET",))
                return as_json(200, {"Hello": "World"})
            if authorization != self._authorization:
                self._check(authorization)
            if len(segments) == 2 and segments[0] == "ticket":
                _require(method, ("GET",))
                return self._ticket(segments[1])
            return self._notify(method, segments, query, body)
        except RefusedError as refused:
            return refused.answer
        except NotFoundError as problem:
            return error(404, f"object not found :{problem}")

    def _notify(self, method: str, segments: list[str], query: bytes, body: bytes) -> Answer:
        if segments[-1] != "notify" or len(segments) not in (3, 4, 6):
            raise RefusedError(_unknown_path())
        state = self._state
        label, value = _message(body) if method == "POST" else (None, None)
        passes = self._passes(method, segments, query)
        ticket_id = state.tickets.new()
        if value is None:
            state.deliveries.deleted(passes, ticket_id)
        else:
            state.deliveries.sent(passes, label, value, ticket_id)
        return Answer(200, b'{"ticketId": %d}' % ticket_id)

    def _passes(self, method: str, segments: list[str], query: bytes) -> Sequence[int]:
        world = self._state.world
        match segments:
            case ["pass", pass_id, _]:
                _require(method, NOTIFY)
                return world.by_id(pass_id)
            case ["pass", "template", template_id, "id", external_id, _]:
                _require(method, NOTIFY)
                return world.by_external_id(template_id, external_id)
            case ["template", template_id, _]:
                _require(method, NOTIFY)
                return world.of_template(template_id)
            case ["template", "id", external_id, _]:
                _require(method, NOTIFY)
                return world.of_external_template(external_id)
            case ["tag", tag, _]:
                _require(method, NOTIFY)
                return world.of_tag(tag, _template_id(query, "tag"))
            case ["segments", project_id, segment_id, _]:
                _require(method, NOTIFY)
                needs_template = method == "POST" or b"templateId=" in query
                return world.of_segment(
                    project_id, segment_id, _template_id(query, "segment") if needs_template else None
                )
        raise RefusedError(_unknown_path())

    def _ticket(self, text: str) -> Answer:
        tickets = self._state.tickets
        is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
        if not is_number or int(text) not in tickets:
            raise NotFoundError(f"Ticket not found! There is no ticket {text}")
        found = tickets.look_up(int(text))
        if isinstance(found, str):
            return Answer(200, found.encode(errors="surrogatepass"))
        return as_json(200, found)

    def _check(self, authorization: bytes | None) -> None:
        """Refuse a wrong credential. The right one may be written in another way, for example with ``BASIC``."""
        scheme, _, encoded = (authorization or b"").partition(b" ")
        if scheme.lower() == b"basic":
            try:
                if base64.b64decode(encoded.strip(), validate=True) == self._credential:
                    return
            except binascii.Error:
                pass
        if self._state.options.api_key_error:
            raise RefusedError(error(500, "Error reading the api key", description="Error reading the api key"))
        details = "Wrong login or password." if authorization else "The request has no Authorization header."
        raise RefusedError(error(401, details, headers={"WWW-Authenticate": 'Basic realm="PassNotify"'}))


def _segments(raw_path: bytes) -> list[str]:
    """Return the parts of the path after ``/v1``. It is split first and then decoded."""
    parts = raw_path.split(b"/")
    if len(parts) < 3 or parts[0] or parts[1] != b"v1":
        raise RefusedError(_unknown_path())
    try:
        return [(unquote_to_bytes(part) if b"%" in part else part).decode() for part in parts[2:]]
    except UnicodeDecodeError:
        raise RefusedError(error(400, "The path is not UTF-8.")) from None


def _require(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        allow = ", ".join(allowed)
        raise RefusedError(error(405, f"{method} is not allowed here; {allow} is.", headers={"Allow": allow}))


def _unknown_path() -> Answer:
    return error(404, "There is no such operation. The sandbox's own endpoints begin with /_sandbox/.")


def _template_id(query: bytes, target: str) -> str:
    values = parse_qs(query.decode("latin-1")).get("templateId")
    if not values:
        raise RefusedError(error(400, f"A {target} needs the query parameter templateId."))
    return values[0]


def _message(body: bytes) -> tuple[str | None, str]:
    """Return the label and the value of a request body."""
    try:
        message: Any = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise RefusedError(error(406, "The body is not JSON.")) from None
    if not isinstance(message, dict):
        raise RefusedError(error(400, 'The body is not an object like {"value": "..."}.'))
    value = message.get("value")
    if not isinstance(value, str) or not value:
        raise RefusedError(error(400, "value is required, and is a string that is not empty."))
    label = message.get("label")
    if "label" in message and not isinstance(label, str):
        raise RefusedError(error(400, "label is a string, where it is given."))
    return label, value
