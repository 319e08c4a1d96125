"""The tickets that a task waits for: which ones to poll next, and what all answers together mean.

This module has no I/O, no clock and no Airflow. What a poll means:

* A final status ends the ticket. Any other status is noted as the last one.
* A poll that is rejected (404, 401 and the like) ends the waiting, because polling again cannot help.
* Everything else (408, 425, 429, 5xx, no connection, a body that cannot be read) is a *problem*. The ticket is polled
  again in the next poll cycle, until the time is up. The error then names the last problem. If it is a problem of the
  server and not of the ticket, it also ends the cycle (:class:`.PollCycle`).
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
"""With more tickets than this, ``created_at`` and ``children`` are kept only for failed tickets (the first 100)."""
_TIMING_STATUS_CODES = (408, 425)
"""Request Timeout and Too Early: the moment was wrong, not the request."""


class End(str, Enum):
    """How the waiting ended. It is the ``status`` in the event of the trigger."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ERROR = "error"


class TicketTracker:
    """The state of the tickets that are waited for.

    :param ticket_ids: the ids of the tickets. An id that is given twice is polled once.
    :param words: the status words that end a ticket.
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
        """Why the waiting cannot go on, if the reason is not a ticket."""
        self.timed_out = False
        self.by_execution_timeout = False
        """Whether it was the ``execution_timeout`` of the task that ended the waiting."""

    @property
    def left(self) -> list[int]:
        """The tickets to poll. The ticket whose last poll is the oldest comes first.

        So every ticket gets an answer in time, even if the server answers only some polls of each cycle.
        """
        return sorted(self._left, key=lambda ticket_id: self._asked_at.get(ticket_id, 0))

    @property
    def end(self) -> End | None:
        """How the waiting ended, or ``None`` while there is still something to wait for."""
        if self.rejected or self.error:
            return End.ERROR
        if self._left:
            return End.TIMEOUT if self.timed_out else None
        return End.FAILED if self._failed else End.SUCCESS

    def begin_cycle(self) -> list[int]:
        """Begin a poll cycle, and return the tickets to poll."""
        self.cycle = PollCycle()
        return self.left

    def take(self, ticket_id: int, verdict: Verdict) -> bool:
        """Note the outcome of a poll. Return whether the cycle goes on."""
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
        """The result so far, in one line."""
        return " ".join(self.facts)

    @property
    def facts(self) -> list[str]:
        """The result so far, one line for each fact."""
        if self.error:
            return [self.error]
        if self.rejected:
            ticket_id, verdict = self.rejected
            return [f"Ticket {ticket_id} cannot be looked up: {verdict.reason}."]
        total = len(self._left) + len(self._ended)
        left, failed = self.tickets(TicketState.RUNNING), self.tickets(TicketState.FAILED)
        return ticket_message.facts(total, left=left, failed=failed, problem=self.cycle.problem)
