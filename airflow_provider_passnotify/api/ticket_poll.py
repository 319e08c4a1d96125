"""N tickets that are polled until all have ended: what to ask next, what the answers add up to, when to ask again.

No I/O, no clock and no Airflow here: the operators and the sensor poll from the worker, the trigger from an event loop,
and all of them keep their state in a :class:`TicketTracker`. What a poll means:

* a status that ends the ticket ends it; any other is noted as the last one;
* an answer that refuses (404, 401 and the like) ends the tracker, for asking again cannot help;
* everything else (408, 425, 429, 5xx, no connection, a body that cannot be read) is a *problem*: it is asked again at
  the next interval until the time is up, and the last problem is named then. A problem that is the server's, not the
  ticket's, also ends the round and, if nothing was answered in it, makes the next interval longer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_passnotify.api.protocol import Outcome, Verdict, encodable
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket, TicketState, read_ticket

MAX_TICKETS_WITH_DETAILS = 100
"""Among more tickets than this, ``created_at`` and ``children`` are kept of those that failed only (the first 100)."""
MAX_BACK_OFF = 300.0
"""Seconds: problems make the interval no longer than this (or than ``poll_interval``, if that is more)."""
MAX_RETRY_AFTER_BETWEEN_POLLS = 900.0
"""Seconds of a ``Retry-After`` that are obeyed between two polls."""
LAST_POLL_SECONDS = 10.0
"""How long the look at the very end may take."""
NO_ANSWER = "no answer in the time that was left (the API is slow, or requests_per_second holds the look-ups back)"
MIN_INTERVAL = 0.1
_TIMING_STATUS_CODES = (408, 425)
"""Request Timeout and Too Early blame the moment, not the question."""
_NAMED = 20
_MAX_STATUS_LENGTH, _MAX_CHILDREN_LENGTH = 200, 40_000


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
        self._ended: dict[int, Ticket] = {}
        self._details = len(self._left) <= MAX_TICKETS_WITH_DETAILS
        self._failed = 0
        self.refused: tuple[int, Verdict] | None = None
        self.error = ""
        """Why the waiting cannot go on, where that is not a ticket's fault."""
        self.problem = ""
        self.answered = False
        """Whether a ticket was told of in this round."""
        self.server_failed = False
        self.retry_after = 0.0
        """Seconds, as far as they are obeyed."""
        self.timed_out = False
        self.by_execution_timeout = False
        """Whether the time that is up is the task's ``execution_timeout``."""

    @property
    def left(self) -> list[int]:
        """The tickets to ask."""
        return list(self._left)

    @property
    def end(self) -> End | None:
        """How it ended, or ``None`` while there is something to wait for."""
        if self.refused or self.error:
            return End.ERROR
        if self._left:
            return End.TIMEOUT if self.timed_out else None
        return End.FAILED if self._failed else End.SUCCESS

    def begin_cycle(self) -> list[int]:
        """Forget what the last round said of the server, and return the tickets to ask."""
        self.answered, self.server_failed, self.retry_after, self.problem = False, False, 0.0, ""
        return self.left

    def take(self, ticket_id: int, verdict: Verdict) -> bool:
        """Take in what a look-up came to, and tell whether the round shall go on."""
        if verdict.outcome is Outcome.REJECTED and verdict.status_code not in _TIMING_STATUS_CODES:
            self.refused = (ticket_id, verdict)
            return False
        if verdict.outcome is not Outcome.ACCEPTED:
            self.problem = f"ticket {ticket_id}: {verdict.reason}"
            self._left[ticket_id] = self._left.pop(ticket_id, "")
            if verdict.status_code is not None and 200 <= verdict.status_code < 300:
                return True  # a body that cannot be read is this ticket's problem
            self.server_failed = True
            self.retry_after = max(self.retry_after, min(verdict.retry_after or 0.0, MAX_RETRY_AFTER_BETWEEN_POLLS))
            return False
        self.answered = True
        try:
            self._note(read_ticket(ticket_id, verdict.payload, self.words, brief=True))
        except ValueError as error:
            self.problem = str(error)
        return True

    def server_problem(self, problem: str) -> None:
        """Note that nothing could be asked at all."""
        self.problem, self.server_failed = problem, True

    def tickets(self, state: TicketState | None = None) -> list[Ticket]:
        """Return the last known state of each ticket, or of those in one state."""
        left = (Ticket(ticket_id, status, TicketState.RUNNING) for ticket_id, status in self._left.items())
        return [ticket for ticket in (*self._ended.values(), *left) if state in (None, ticket.state)]

    @property
    def message(self) -> str:
        """What came of it so far, in one line."""
        if self.error:
            return self.error
        if self.refused:
            return f"Ticket {self.refused[0]} cannot be looked up: {self.refused[1].reason}."
        total = len(self._left) + len(self._ended)
        failed, left = self.tickets(TicketState.FAILED), self.tickets(TicketState.RUNNING)
        parts = []
        if left:
            parts.append(f"{len(left)} of {total} tickets did not end: {_named(left)}.")
        if failed:
            children = (
                f" Children of {failed[0].id}: {_as_json(failed[0].children):.500}." if failed[0].children else ""
            )
            parts.append(f"{len(failed)} of {total} tickets failed: {_named(failed)}.{children}")
        if left and self.problem:
            parts.append(f"The last problem: {self.problem}.")
        return " ".join(parts) or f"{total} of {total} tickets succeeded."

    def as_event(self) -> dict[str, Any]:
        """Return it as the trigger's event: JSON, and small (2,000 tickets: about 30 KB).

        ``tickets`` holds :meth:`Ticket.as_dict` of those with details, ``others`` the ids of the rest by status.
        """
        tickets: list[dict[str, Any]] = []
        others: dict[tuple[str, str], list[int]] = {}
        budget = _MAX_CHILDREN_LENGTH
        for ticket in self.tickets():
            if ticket.created_at is None and ticket.children is None:
                others.setdefault((ticket.status, ticket.state.value), []).append(ticket.id)
                continue
            size = len(_as_json(ticket.children))
            if size > budget:
                ticket = replace(ticket, children=f"left out: {size} characters")
            else:
                budget -= size
            tickets.append(ticket.as_dict())
        event: dict[str, Any] = {
            "status": self.end.value if self.end else None,
            "message": encodable(self.message),
            "tickets": tickets,
            "others": [{"status": status, "state": state, "ids": ids} for (status, state), ids in others.items()],
            "problem": encodable(self.problem),
            "retry_after": self.retry_after,
            "by_execution_timeout": self.by_execution_timeout,
        }
        if self.refused:
            ticket_id, verdict = self.refused
            event["refused"] = {
                "ticket_id": ticket_id,
                "reason": encodable(verdict.reason),
                "status_code": verdict.status_code,
            }
        return event

    def load(self, event: Mapping[str, Any]) -> None:
        """Take in an event, or what was known before a task deferred."""
        for fields in event["tickets"]:
            at = fields["created_at"]
            created_at = pendulum.instance(datetime.fromisoformat(at)).in_timezone("UTC") if at else None
            state = TicketState(fields["state"])
            self._put(Ticket(fields["id"], fields["status"], state, created_at, fields["children"]))
        for group in event["others"]:
            for ticket_id in group["ids"]:
                self._put(Ticket(ticket_id, group["status"], TicketState(group["state"])))
        self.problem, self.retry_after = event["problem"], event.get("retry_after", 0.0)
        self.by_execution_timeout = event["by_execution_timeout"]
        self.timed_out = event["status"] == End.TIMEOUT
        if refused := event.get("refused"):
            verdict = Verdict(Outcome.REJECTED, refused["reason"], status_code=refused["status_code"])
            self.refused = (refused["ticket_id"], verdict)
        elif event["status"] == End.ERROR:
            self.error = event["message"]

    def _note(self, ticket: Ticket) -> None:
        failed = ticket.state is TicketState.FAILED
        details = self._details or (failed and self._failed < MAX_TICKETS_WITH_DETAILS)
        if not details:
            ticket = replace(ticket, created_at=None, children=None)
        self._put(replace(ticket, status=ticket.status[:_MAX_STATUS_LENGTH]))

    def _put(self, ticket: Ticket) -> None:
        if ticket.state is TicketState.RUNNING:
            self._left.pop(ticket.id, None)  # to the end: a round that is cut short begins elsewhere the next time
            self._left[ticket.id] = ticket.status
            return
        self._left.pop(ticket.id, None)
        self._failed += ticket.state is TicketState.FAILED and ticket.id not in self._ended
        self._ended[ticket.id] = ticket


class PollSchedule:
    """The seconds between two rounds: ``poll_interval`` give or take a tenth, longer while the server answers nothing.

    :param interval: seconds.
    :param growth: what the interval is multiplied by from round to round.
    :param longest: seconds that growth ends at.
    """

    def __init__(self, interval: float, *, growth: float = 1.0, longest: float | None = None) -> None:
        self._interval = max(interval, MIN_INTERVAL)
        self._growth, self._longest = growth, longest or float("inf")
        self._problems = 0

    def first(self) -> float:
        """Return a wait that spreads many who begin at the same moment over one interval."""
        return random.uniform(0, self._interval)  # noqa: S311 (jitter)

    def next(self, tracker: TicketTracker) -> float:
        """Return the wait after a round."""
        # A round that was cut short after some answers made progress: its Retry-After says all there is to wait for.
        getting_nowhere = tracker.server_failed and not tracker.answered
        self._problems = min(self._problems + 1, 16) if getting_nowhere else 0
        wait = self._interval
        if self._problems:
            wait = max(wait, min(wait * 2**self._problems, MAX_BACK_OFF))
        self._interval = max(self._interval, min(self._interval * self._growth, self._longest))
        wait *= random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
        return max(wait, tracker.retry_after)


def _named(tickets: list[Ticket]) -> str:
    names = [f"{ticket.id} ({ticket.status or 'no answer yet'})" for ticket in tickets[:_NAMED]]
    return ", ".join(names) + (f" and {len(tickets) - _NAMED} more" if len(tickets) > _NAMED else "")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
