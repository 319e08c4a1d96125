"""The tickets that a task waits for: what to ask next, and what the answers add up to.

No I/O, no clock and no Airflow here. What a poll means:

* a status that ends the ticket ends it; any other is noted as the last one;
* a poll that is rejected (404, 401 and the like) ends the waiting, for asking again cannot help;
* everything else (408, 425, 429, 5xx, no connection, a body that cannot be read) is a *problem*: the ticket is asked
  again in the next poll cycle until the time is up, and the last problem is named then. A problem of the server, not of
  the ticket, also ends the cycle (:class:`.PollCycle`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from airflow_provider_passnotify.api import ticket_message
from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.api.ticket_poll import PollCycle
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket, TicketState, read_ticket

MAX_TICKETS_WITH_DETAILS = 100
"""Among more tickets than this, ``created_at`` and ``children`` are kept of those that failed only (the first 100)."""
_TIMING_STATUS_CODES = (408, 425)
"""Request Timeout and Too Early blame the moment, not the question."""


class End(str, Enum):
    """How the waiting ended; the ``status`` of the trigger's event."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ERROR = "error"


class TicketTracker:
    """The state of the tickets that are waited for.

    :param ticket_ids: theirs; one that is named twice is asked once.
    :param words: what ends a ticket.
    """

    def __init__(self, ticket_ids: Iterable[int] = (), words: StatusWords | None = None) -> None:
        self.words = words or StatusWords()
        self._left: dict[int, str] = dict.fromkeys(ticket_ids, "")
        """The last status of each ticket that has not ended."""
        self._ended: dict[int, Ticket] = {}
        self._failed = 0
        self._keep_details = len(self._left) <= MAX_TICKETS_WITH_DETAILS
        self._asked_at: dict[int, int] = {}
        """The number of the last poll of each ticket, counted over all polls."""
        self._polls = itertools.count(1)
        self.cycle = PollCycle()
        """The last poll cycle."""
        self.rejected: tuple[int, Verdict] | None = None
        """The ticket that cannot be looked up, and why."""
        self.error = ""
        """Why the waiting cannot go on, where that is not a ticket's fault."""
        self.timed_out = False
        self.by_execution_timeout = False
        """Whether the time that is up is the task's ``execution_timeout``."""

    @property
    def left(self) -> list[int]:
        """The tickets to ask, the one that was asked longest ago first.

        So a server that answers only some polls of each cycle gets to every ticket in time.
        """
        return sorted(self._left, key=lambda ticket_id: self._asked_at.get(ticket_id, 0))

    @property
    def end(self) -> End | None:
        """How it ended, or ``None`` while there is something to wait for."""
        if self.rejected or self.error:
            return End.ERROR
        if self._left:
            return End.TIMEOUT if self.timed_out else None
        return End.FAILED if self._failed else End.SUCCESS

    def begin_cycle(self) -> list[int]:
        """Begin a poll cycle, and return the tickets to ask."""
        self.cycle = PollCycle()
        return self.left

    def take(self, ticket_id: int, verdict: Verdict) -> bool:
        """Take in what a poll came to; return whether the cycle goes on."""
        self._asked_at[ticket_id] = next(self._polls)
        if verdict.outcome is Outcome.REJECTED and verdict.status_code not in _TIMING_STATUS_CODES:
            self.rejected = (ticket_id, verdict)
            return False
        if verdict.outcome is not Outcome.ACCEPTED:
            return self.cycle.note_failure(ticket_id, verdict)
        self.cycle.answered = True
        try:
            ticket = read_ticket(ticket_id, verdict.payload, self.words, brief=True)
        except ValueError as error:
            self.cycle.problem = str(error)
            return True
        failed = ticket.state is TicketState.FAILED
        if not (self._keep_details or (failed and self._failed < MAX_TICKETS_WITH_DETAILS)):
            ticket = replace(ticket, created_at=None, children=None)
        self.put(ticket)
        return True

    def put(self, ticket: Ticket) -> None:
        """Note the state of a ticket."""
        if ticket.state is TicketState.RUNNING:
            self._left[ticket.id] = ticket.status
            return
        self._left.pop(ticket.id, None)
        self._failed += ticket.state is TicketState.FAILED and ticket.id not in self._ended
        self._ended[ticket.id] = ticket

    def tickets(self, state: TicketState | None = None) -> list[Ticket]:
        """Return the last known state of each ticket, or of those in one state."""
        left = (Ticket(ticket_id, status, TicketState.RUNNING) for ticket_id, status in self._left.items())
        return [ticket for ticket in (*self._ended.values(), *left) if state in (None, ticket.state)]

    @property
    def message(self) -> str:
        """What came of it so far, in one line."""
        if self.error:
            return self.error
        if self.rejected:
            ticket_id, verdict = self.rejected
            return f"Ticket {ticket_id} cannot be looked up: {verdict.reason}."
        total = len(self._left) + len(self._ended)
        left, failed = self.tickets(TicketState.RUNNING), self.tickets(TicketState.FAILED)
        return ticket_message.summary(total, left=left, failed=failed, problem=self.cycle.problem)
