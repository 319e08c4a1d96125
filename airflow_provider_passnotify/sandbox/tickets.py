"""The tickets that sends and deletes return, and how they go on. No I/O."""

from __future__ import annotations

import time
from array import array
from datetime import datetime, timezone
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FIRST_TICKET = 1001


class Behaviour(BaseModel):
    """How a ticket goes on: PENDING, PROCESSING, and after ``seconds`` the final word.

    :param seconds: until it ends.
    :param final: the word it ends with; any, so that unknown ones can be tried.
    :param hang: it never ends.
    :param key: how the status is spelt in the answer.
    :param lower_case: whether the status words are.
    :param children: what the answer's ``children`` are.
    :param raw: the whole body of the answer, whatever it is.
    """

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(default=2.0, ge=0)
    final: str = "COMPLETED"
    hang: bool = False
    key: str = "Status"
    lower_case: bool = False
    children: Any = None
    raw: str | None = None


class Tickets:
    """Every ticket that was given out.

    :param behaviour: of tickets that are not told otherwise.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._created = array("d")
        self._own: dict[int, Behaviour] = {}
        self._default = behaviour

    def new(self) -> int:
        """Give out the next ticket."""
        ticket_id = FIRST_TICKET + len(self._created)
        self._created.append(time.time())
        if self.behaviour is not self._default:
            self._own[ticket_id] = self.behaviour
        return ticket_id

    def __contains__(self, ticket_id: int) -> bool:
        return FIRST_TICKET <= ticket_id < FIRST_TICKET + len(self._created)

    def set_behaviour(self, ticket_id: int, behaviour: Behaviour) -> None:
        """Say how one ticket goes on."""
        self._own[ticket_id] = behaviour

    def answer(self, ticket_id: int) -> dict[str, Any] | str:
        """Return the body of a look-up: the published shape, or the raw text asked for."""
        behaviour = self._own.get(ticket_id, self._default)
        if behaviour.raw is not None:
            return behaviour.raw
        created = self._created[ticket_id - FIRST_TICKET]
        elapsed = time.time() - created
        if behaviour.hang:
            status = "PROCESSING"
        elif elapsed >= behaviour.seconds:
            status = behaviour.final
        else:
            status = "PENDING" if elapsed < behaviour.seconds / 3 else "PROCESSING"
        at = datetime.fromtimestamp(created, timezone.utc)
        return {
            behaviour.key: status.lower() if behaviour.lower_case else status,
            "createdAt": f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100_000}",
            "ID": ticket_id,
            "children": {} if behaviour.children is None else behaviour.children,
        }
