"""The PassNotify protocol without I/O: notification -> request, answer -> verdict, verdict -> retry or not.

Both clients use this module. So every rule about what may have been sent is here, and only here.
Sources: API reference, "Push Notifications"; the ticket and status calls of the same API.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timezone
from enum import Enum
from typing import Any

from airflow_provider_passnotify.api.back_off import back_off
from airflow_provider_passnotify.targets import Target, name_address

API_PREFIX = "/v1"
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The answer to a ticket look-up is read up to this size (a ticket may list a hundred thousand children)."""
MAX_TICKET_ID_BYTES = 1024 * 1024
"""The limit for the answer to a POST or DELETE (a ticketId has 20 bytes, a gateway's error page a few thousand)."""
MAX_TICKET_ID = 2**63 - 1
"""The largest ticketId. Airflow and databases cannot store larger numbers."""
MAX_IDLE_SECONDS = 4.0
"""A connection that was idle for longer is not used: the server may close it, and a POST on it would be unknown."""
MAX_RETRY_AFTER_IN_WORKER = 60.0
"""A worker slot waits at most these seconds for one ``Retry-After``. A longer one becomes Airflow's retry delay."""
RETRY_MESSAGE = "%s %s: %s (trying again in %.1f s; this was attempt %d)"
_MAX_TEXT_LENGTH = 2000
_REFUSALS = frozenset({400, 401, 403, 404, 405, 406, 413})
"""These mean "rejected", whoever sends them. A gateway may send another 4xx although it passed the request on."""
_INCOMPLETE = frozenset({206, 207, 226})
"""By their meaning, these bring a part, several results, or a difference. None of them is the answer to one push."""
_UNREADABLE_KEY = re.compile(r"\s*error\s+reading\s+(the\s+)?api\s*key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API, ready for a transport.

    :param method: ``POST``, ``DELETE`` or ``GET``.
    :param address: path and query after ``/v1``, already percent-encoded.
    :param body: JSON, or ``None``.
    """

    method: str
    address: str
    body: bytes | None = None

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice has the same effect as doing it once. This is true for everything except a push."""
        return self.method != "POST"

    @property
    def max_answer_bytes(self) -> int:
        """How many bytes of an answer are read."""
        return MAX_ANSWER_BYTES if self.method == "GET" else MAX_TICKET_ID_BYTES

    @property
    def url_path(self) -> str:
        """Path and query, as they are written on the request line."""
        return API_PREFIX + self.address

    @property
    def whom(self) -> str:
        """The target, or the ticket, as logs and errors name it."""
        return name_address(self.address)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that only this request has."""
        return {} if self.body is None else {"Content-Type": "application/json"}


def check_message(value: object, label: object = None, *, label_name: str = "label") -> None:
    """Refuse a message that the API's "Pass Notification Request" does not allow.

    :param label_name: the name that the label has for the caller's users.
    :raises ValueError: it names ``value`` or the label.
    """
    if value is None:
        raise ValueError("value is missing: it is the text of the notification.")
    if not isinstance(value, str):
        raise ValueError(f"value must be a string, not {type(value).__name__}; write str(...) around it.")
    if not value.strip():
        raise ValueError("value is empty: it is the text of the notification.")
    if value.strip() == "None":
        raise ValueError("value is the text 'None', which is what an empty XCom or variable renders to.")
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{label_name} must be a string, not {type(label).__name__}.")
    if label is not None and label.strip() == "None":
        raise ValueError(f"{label_name} is the text 'None', which is what an empty XCom or variable renders to.")


def send_request(target: Target, *, value: str, label: str | None = None) -> Request:
    """Build "Send notification by ..." for any target.

    :param value: the text of the message.
    :param label: its optional header. It is left out of the body if it is ``None`` or empty.
    :raises ValueError: it names what is missing or cannot be used.
    """
    check_message(value, label)
    target.check_sendable()
    message = {"label": label, "value": value} if label and label.strip() else {"value": value}
    return Request("POST", target.address, json.dumps(message).encode())


def delete_request(target: Target) -> Request:
    """Build "Delete notification by ..." for any target."""
    return Request("DELETE", target.address)


def ticket_request(ticket_id: int) -> Request:
    """Build the look-up of a ticket."""
    return Request("GET", f"/ticket/{ticket_id}")


STATUS_REQUEST = Request("GET", "/system/status")


class Outcome(str, Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    NOT_SENT = "not_sent"
    """Certainly not done, and trying again may help: there was no connection, or the server said "later"."""
    REJECTED = "rejected"
    """Certainly not done, and trying again cannot help."""
    UNKNOWN = "unknown"
    """May have been done."""


class TransportFailure(Enum):
    """Why there is no usable answer. Only the difference that matters is made."""

    UNREACHABLE = "unreachable"
    TLS = "TLS problem"
    LOST = "no usable answer"
    """The request, or a part of it, was on its way."""


@dataclass(slots=True)  # not frozen: that takes three times as long, and each row of a batch has one
class Verdict:
    """What an answer means, or what it means that there is none.

    :param reason: one line for people.
    :param ticket_id: of an accepted send or delete.
    :param payload: the parsed body of an accepted look-up.
    :param retry_after: the seconds in the answer's ``Retry-After``.
    """

    outcome: Outcome
    reason: str = ""
    ticket_id: int | None = None
    payload: Any = None
    status_code: int | None = None
    code: int | str | None = None
    description: str | None = None
    details: str | None = None
    retry_after: float | None = None
    failure: TransportFailure | None = None

    @property
    def may_have_been_sent(self) -> bool:
        """Whether the request may have been sent. Everything else depends on this."""
        return self.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)

    @property
    def is_throttled(self) -> bool:
        """Whether the API wants the call to come later (429, or a 503 that comes from the API itself)."""
        return self.outcome is Outcome.NOT_SENT and self.status_code is not None

    @property
    def credentials_refused(self) -> bool:
        """Whether the API rejected the credential, not the content of the request."""
        return self.status_code == 401 or (self.status_code == 500 and self.outcome is Outcome.REJECTED)


def judge_failure(failure: TransportFailure, detail: str, *, redact: Callable[[str], str] = str) -> Verdict:
    """Judge a request that got no usable answer."""
    outcome = Outcome.UNKNOWN if failure is TransportFailure.LOST else Outcome.NOT_SENT
    return Verdict(outcome, f"{failure.value}: {_phrase(shorten(redact(detail), 500))}", failure=failure)


def judge(
    request: Request,
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    redact: Callable[[str], str] = str,
) -> Verdict:
    """Judge an answer by the error table ("Did it go out?" in the guide).

    :param headers: with case-insensitive look-up, as both HTTP libraries give them.
    :param redact: removes from a text the secrets that a server may have echoed, before the text is cut or quoted.
    """
    try:
        payload = _parse_json(body)
        if 200 <= status_code < 300:
            return _judge_success(request, status_code, payload, body, redact)
        return _judge_error(request, status_code, headers, payload, body, redact)
    except Exception as error:  # noqa: BLE001 (a strange answer may fail only its own row, never the other rows)
        reason = f"HTTP {status_code}, but its answer cannot be judged ({type(error).__name__})"
        return Verdict(Outcome.UNKNOWN, reason, status_code=status_code)


def parse_ticket_id(value: object) -> int | None:
    """Return a ticketId (an int from 0 below 2^63, or a string of such digits), or ``None`` for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TICKET_ID:
        return value
    return None


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold. Half an emoji (a lone surrogate) cannot be logged or stored."""
    return text.encode("utf-8", "replace").decode()


def shorten(text: str, length: int = _MAX_TEXT_LENGTH) -> str:
    """Cut a text that is too long, at a word. What a server says is never logged or kept in full length."""
    if len(text) > length:
        cut = text[: length - 2]
        end = cut.rfind(" ")
        text = (cut[:end] if end > length // 2 else cut) + " …"
    return encodable(text)


def parse_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or ``None`` if it cannot be used.

    :param value: seconds or an HTTP date (RFC 9110, section 10.2.3).
    :param date: the ``Date`` header of the same answer. With it, a difference between the two clocks does no harm.
    """
    if not value:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]+)?\s*", value):
        return float(value)
    if (until := _read_http_date(value)) is None:
        return None
    now = _read_http_date(date or "")
    return max(0.0, until - (time.time() if now is None else now))


def retry_delay(request: Request, verdict: Verdict, *, attempt: int, max_retries: int) -> float | None:
    """Return the seconds to wait before the next attempt, or ``None`` if there must not be one.

    :param attempt: how many attempts there have been, from 1.
    :param max_retries: how many attempts are allowed after the first.
    """
    may_repeat = verdict.outcome is Outcome.NOT_SENT or (verdict.outcome is Outcome.UNKNOWN and request.idempotent)
    if not may_repeat or attempt > max_retries:
        return None
    if verdict.retry_after is not None:
        return verdict.retry_after if verdict.retry_after <= MAX_RETRY_AFTER_IN_WORKER else None
    return back_off(attempt)


def _judge_success(
    request: Request, status_code: int, payload: Any, body: bytes, redact: Callable[[str], str]
) -> Verdict:
    if status_code in _INCOMPLETE:
        return Verdict(Outcome.UNKNOWN, f"HTTP {status_code} is no complete answer", status_code=status_code)
    if request.method == "GET":
        if payload is None:
            return Verdict(Outcome.UNKNOWN, f"HTTP {status_code} without a JSON body", status_code=status_code)
        text = _text(body)
        if redact(text) != text:
            payload = _redacted(payload, redact)
        return Verdict(Outcome.ACCEPTED, status_code=status_code, payload=payload)
    answer = payload if isinstance(payload, dict) else {}
    ticket_id = parse_ticket_id(answer.get("ticketId"))
    if ticket_id is None or _has_error(answer):
        details = _short(_text(body) if payload is None else payload, redact)
        what = "has no usable ticketId" if ticket_id is None else "has a ticketId and an error"
        reason = f"HTTP {status_code}, but its body {what}" + (f": {shorten(details, 200)!r}" if details else "")
        return Verdict(Outcome.UNKNOWN, reason, status_code=status_code, details=details)
    return Verdict(Outcome.ACCEPTED, status_code=status_code, ticket_id=ticket_id)


def _judge_error(
    request: Request,
    status_code: int,
    headers: Mapping[str, str],
    payload: Any,
    body: bytes,
    redact: Callable[[str], str],
) -> Verdict:
    error = payload if isinstance(payload, dict) else {}
    code = error.get("code")
    has_shape = _has_error(error)
    is_the_apis = has_shape and code == status_code and not isinstance(code, float)
    verdict = Verdict(
        Outcome.UNKNOWN,
        status_code=status_code,
        code=code if isinstance(code, int) and abs(code) <= MAX_TICKET_ID else _short(code, redact),
        description=_short(error.get("description"), redact),
        details=_short(error.get("details") if has_shape else _text(body), redact),
        retry_after=parse_retry_after(headers.get("Retry-After"), headers.get("Date")),
    )
    if 300 <= status_code < 400:
        location = shorten(redact(headers.get("Location", "nowhere")), 200)
        reason = f"HTTP {status_code}: a redirect to {location!r}, not followed (check the connection's host)"
        return replace(verdict, reason=reason)
    said = _phrase(verdict.description, verdict.details)
    verdict = replace(verdict, reason=f"HTTP {status_code}" + (f": {said}" if said else ""))
    if status_code == 429 or (status_code == 503 and is_the_apis):
        return replace(verdict, outcome=Outcome.NOT_SENT)
    if status_code in _REFUSALS or (400 <= status_code < 500 and is_the_apis):
        return replace(verdict, outcome=Outcome.REJECTED)
    if status_code == 500 and _says_key_is_unreadable(request, verdict):
        return replace(verdict, outcome=Outcome.REJECTED)
    return verdict


def _has_error(answer: dict[str, Any]) -> bool:
    """Whether an answer has the shape of the API's own errors."""
    return "code" in answer and ("description" in answer or "details" in answer)


def _says_key_is_unreadable(request: Request, verdict: Verdict) -> bool:
    """Whether the text begins with the API's own words, and does not just echo the message that was to be sent."""
    said = (text for text in (verdict.description, verdict.details) if text)
    is_echo = b"api" in (request.body or b"").lower() and b"reading" in (request.body or b"").lower()
    return not is_echo and any(_UNREADABLE_KEY.match(text) for text in said)


def _read_http_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # One of the three date forms of RFC 9110 has no time zone. All three mean GMT.
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None


def _text(body: bytes) -> str:
    """Return the text of a body, in the encoding in which JSON would be read (UTF-8, 16 or 32)."""
    return body.decode(json.detect_encoding(body), "replace")


def _parse_json(body: bytes) -> Any:
    try:
        return _JSON.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        return None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose names are unique. If one is there twice, nobody knows which of the two is meant."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is there twice")
    return members


_JSON = json.JSONDecoder(object_pairs_hook=_members)


def _short(value: Any, redact: Callable[[str], str]) -> str | None:
    if value is None or value == "":
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (RecursionError, ValueError):
        return "left out: it cannot be written as text"
    return shorten(redact(text))


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON, without the secrets that a server has echoed in its texts."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    if isinstance(value, dict):
        return {redact(key): _redacted(item, redact) for key, item in value.items()}
    return value


def _phrase(*texts: str | None) -> str:
    """Return texts as one phrase, which can stand within a sentence: without a full stop at its end."""
    phrases = (_one_line(text).rstrip(" .;") for text in texts if text)
    return re.sub(r"(?<=[?!]); ", " ", "; ".join(filter(None, phrases)))


def _one_line(text: str) -> str:
    """Return a text without line ends and control characters. A server must not be able to add lines to a log."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
