"""What the status of a ticket means: running, succeeded or failed.

This module has no I/O and no Airflow. Source: the API's ticket look-up, ``GET /ticket/{ticketId}``. The API documents
only the status ``COMPLETED``, so the words are sets that the user can extend.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_passnotify.api.protocol import encodable, parse_ticket_id, shorten

log = logging.getLogger(__name__)

RUNNING_STATUSES = frozenset(
    {"PENDING", "PROCESSING", "QUEUED", "SCHEDULED", "STARTED", "RUNNING", "IN_PROGRESS", "INPROGRESS", "ACCEPTED"}
)
SUCCESS_STATUSES = frozenset({"COMPLETED", "COMPLETE", "SUCCESS", "SUCCEEDED", "SUCCESSFUL", "DONE", "FINISHED"})
FAILURE_STATUSES = frozenset({"FAILED", "FAILURE", "ERROR", "CANCELLED", "CANCELED", "ABORTED", "REJECTED"})

_logged: set[str] = set()
_MAX_STATUS_LENGTH = 200
_MAX_TIME_LENGTH = 100
_MAX_DEPTH = 100
_MAX_LOGGED = 100  # with a status such as "37 %", every poll may bring a new word


class TicketState(str, Enum):
    """What a status means for a task that waits."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class StatusWords:
    """The status words that end a ticket.

    :param success: more words that mean success, in upper or lower case.
    :param failure: more words that mean failure, in upper or lower case.
    """

    success: Iterable[str] = ()
    failure: Iterable[str] = ()
    _success: frozenset[str] = field(init=False, repr=False, compare=False)
    _failure: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("success", "failure"):
            object.__setattr__(self, name, _as_words(f"{name}_statuses", getattr(self, name)))
        success, failure = _normal(self.success), _normal(self.failure)
        if both := success & failure:
            raise ValueError(
                f"success_statuses and failure_statuses both hold {', '.join(sorted(both))}, which cannot mean both."
            )
        # If the user gives a meaning to a word, it replaces the default meaning.
        object.__setattr__(self, "_success", (SUCCESS_STATUSES | success) - failure)
        object.__setattr__(self, "_failure", (FAILURE_STATUSES | failure) - success)

    def state(self, status: str) -> TicketState:
        """Return what a status means. A word that is in neither set counts as running and is logged once."""
        word = status.strip().upper()
        if word in self._success:
            return TicketState.SUCCEEDED
        if word in self._failure:
            return TicketState.FAILED
        if word not in RUNNING_STATUSES and word not in _logged and len(_logged) < _MAX_LOGGED:
            _logged.add(word)
            log.warning(
                "Ticket status %r is not known and counts as still running. If it means an end, name it in "
                "success_statuses or failure_statuses.",
                status,
            )
        return TicketState.RUNNING


@dataclass(frozen=True)
class Ticket:
    """The state of one send or delete.

    :param id: the ticketId.
    :param status: the word of the API, unchanged.
    :param state: what it means.
    :param created_at: in UTC; ``None`` if the API gives no time that can be read.
    :param children: unchanged; the API does not document their structure.
    """

    id: int
    status: str
    state: TicketState
    created_at: pendulum.DateTime | None = None
    children: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON for XCom."""
        return {
            "id": self.id,
            "status": self.status,
            "state": self.state.value,
            "created_at": self.created_at.isoformat() if self.created_at else None,
            "children": self.children,
        }


def clean_ticket_id(value: object, name: str = "ticket_id") -> int:
    """Return a ticketId as an int.

    :raises ValueError: it names the argument and shows its value.
    """
    ticket_id = parse_ticket_id(value.strip() if isinstance(value, str) else value)
    if ticket_id is None:
        hint = " (an empty XCom? Check the task that should have pushed it.)" if value in (None, "None", "") else "."
        raise ValueError(f"{name} must be a ticketId, a whole number from 0; it is {value!r:.80}{hint}")
    return ticket_id


def read_ticket(ticket_id: int, payload: object, words: StatusWords | None = None, *, brief: bool = False) -> Ticket:
    """Read the body of a ticket look-up. Both spellings of its keys are understood, in upper or lower case.

    If several keys differ only by case, the spelling of the API's schema is used, else that of its example, else the
    first key.

    :param brief: whether to leave out the children of a running ticket. They say nothing yet, and there may be a
        hundred thousand of them in each poll.
    :raises ValueError: if it is not an object or has no status.
    """
    if not isinstance(payload, dict):
        raise ValueError(f"ticket {ticket_id}: the answer is no JSON object: {shorten(repr(payload), 60)}")
    status = _field(payload, "status", "Status")
    if not isinstance(status, str) or not status.strip():
        keys = sorted(shorten(key, 50) for key in payload)[:20]
        raise ValueError(f"ticket {ticket_id}: the answer has no status; it has {_storable(keys)}.")
    own_id = _field(payload, "id", "ID")
    if own_id is not None and parse_ticket_id(own_id) != ticket_id:
        raise ValueError(f"ticket {ticket_id}: the answer is about another ticket ({shorten(repr(own_id), 50)}).")
    status = shorten(status, _MAX_STATUS_LENGTH) if len(status) > _MAX_STATUS_LENGTH else status
    state = (words or StatusWords()).state(status)
    created = _field(payload, "createdAt")
    children = None if brief and state is TicketState.RUNNING else _field(payload, "children")
    if state is TicketState.FAILED and own_id is None and created is None and children is None:
        # After a failed ticket, a push may be sent again. So the failure must come from the API. A gateway's answer
        # {"status": "error"} is not enough.
        raise ValueError(f"ticket {ticket_id}: the answer says {status!r} and nothing else that a ticket has.")
    created_at = _read_time(created)
    return Ticket(ticket_id, status, state, created_at, children)


def _field(payload: Mapping[str, Any], *spellings: str) -> Any:
    keys = [*spellings, *(key for key in payload if key.lower() == spellings[0].lower())]
    value = next((payload[key] for key in keys if payload.get(key) is not None), None)
    try:
        return _storable(value)
    except RecursionError:
        return "left out: nested too deeply"


def _storable(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return JSON that Airflow can store. Half an emoji, or a number over 64 bits, would stop the whole triggerer."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict | list) and not depth:
        raise RecursionError
    if isinstance(value, dict):
        return {_storable(key): _storable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _read_time(value: object) -> pendulum.DateTime | None:
    if not isinstance(value, str) or len(value) > _MAX_TIME_LENGTH:
        return None
    try:
        parsed = pendulum.parse(value, tz="UTC", exact=True)  # only a time of day, without a date, is not accepted
        return parsed.in_timezone("UTC") if isinstance(parsed, pendulum.DateTime) else None
    except Exception:  # noqa: BLE001 (with strange texts, pendulum also raises TypeError and AttributeError)
        return None


def _as_words(name: str, value: object) -> tuple[str, ...]:
    """Return the words as a tuple, because a generator can be read only once."""
    # (Not "Iterable": Airflow's XComArg has __iter__, and it raises.)
    if isinstance(value, Collection | Iterator) and not isinstance(value, str | Mapping):
        value = words = tuple(value)
        if all(isinstance(word, str) for word in words):
            return words
    raise ValueError(f"{name} must be a list of words, not {value!r:.80}.")


def _normal(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.strip().upper() for word in words)
