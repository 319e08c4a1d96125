"""The tickets that sends and deletes return, and how they continue and end. No I/O."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FIRST_TICKET = 1001


class TicketBehaviour(BaseModel):
    """How a ticket continues: PENDING, then PROCESSING, and after some seconds the final status.

    :param seconds: seconds until it ends; ``None`` for the sandbox's default.
    :param final: the status with which it ends. Any word is allowed, so that unknown words can be tested.
    :param hang: whether it never ends, and stays at PROCESSING.
    :param key: the name of the status in the answer.
    :param case: upper or lower case for the status words; ``None`` does not change them.
    :param children: the ``children`` in the answer; ``None`` for ``{}``, or one failed child if the ticket failed.
    :param raw: the whole body of the answer.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    seconds: float | None = Field(default=None, ge=0)
    final: str = "COMPLETED"
    hang: bool = False
    key: Literal["Status", "status"] = "Status"
    case: Literal["lower", "upper", "title"] | None = None
    children: JsonValue = None
    raw: str | None = None


class Tickets:
    """Every ticket that was given out.

    :param seconds: seconds until a ticket ends, by default.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._created = array("d")
        # For each behaviour, the first ticket that has it. So a million tickets do not need a million entries.
        self._since = [FIRST_TICKET]
        self._behaviours = [TicketBehaviour()]
        self._own: dict[int, TicketBehaviour] = {}

    def new(self) -> int:
        """Give out the next ticket."""
        self._created.append(time.time())
        return FIRST_TICKET - 1 + len(self._created)

    def __contains__(self, ticket_id: int) -> bool:
        return FIRST_TICKET <= ticket_id < FIRST_TICKET + len(self._created)

    def set_behaviour(self, behaviour: TicketBehaviour, ticket_id: int | None = None) -> None:
        """Set how a ticket continues and ends.

        :param ticket_id: an existing ticket; ``None`` for all future tickets.
        """
        if ticket_id is None:
            self._since.append(FIRST_TICKET + len(self._created))
            self._behaviours.append(behaviour)
        elif ticket_id in self:
            self._own[ticket_id] = behaviour
        else:
            raise KeyError(ticket_id)

    def look_up(self, ticket_id: int) -> dict[str, Any] | str:
        """Return the body of the answer about a ticket: the documented shape, or the raw text that was set."""
        behaviour = self._own.get(ticket_id) or self._behaviours[bisect_right(self._since, ticket_id) - 1]
        if behaviour.raw is not None:
            return behaviour.raw
        created = self._created[ticket_id - FIRST_TICKET]
        at = datetime.fromtimestamp(created, timezone.utc)
        status = self._status(behaviour, time.time() - created)
        return {
            behaviour.key: getattr(status, behaviour.case)() if behaviour.case else status,
            "createdAt": f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100_000}",
            "ID": ticket_id,
            "children": _children(behaviour, status, ticket_id),
        }

    def last(self, max_count: int) -> list[dict[str, Any]]:
        """Return the newest tickets and their states, newest first."""
        newest = FIRST_TICKET - 1 + len(self._created)
        oldest = max(FIRST_TICKET, newest + 1 - max_count)
        found = []
        for ticket_id in range(newest, oldest - 1, -1):
            told = self.look_up(ticket_id)
            status = told if isinstance(told, str) else told.get("Status", told.get("status"))
            found.append({"ticketId": ticket_id, "status": status})
        return found

    def _status(self, behaviour: TicketBehaviour, elapsed: float) -> str:
        seconds = self._seconds if behaviour.seconds is None else behaviour.seconds
        if behaviour.hang:
            return "PROCESSING"
        if elapsed >= seconds:
            return behaviour.final
        return "PENDING" if elapsed < seconds / 3 else "PROCESSING"


def _children(behaviour: TicketBehaviour, status: str, ticket_id: int) -> JsonValue:
    if behaviour.children is not None:
        return behaviour.children
    if status.upper() == "FAILED":  # the API does not document what a child looks like; this is a guess
        return {f"{ticket_id}-1": {behaviour.key: status, "details": f"The push of ticket {ticket_id} was rejected"}}
    return {}
