"""The state of a tracker as JSON. It is the event of the trigger, and also what the worker passes to the trigger.

Airflow stores it in its database. So one release can defer a task and another release resume it. For this reason, no
key may change its name or its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pendulum

from airflow_provider_passnotify.api.protocol import Outcome, Verdict, encodable
from airflow_provider_passnotify.api.ticket_message import as_json
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import Ticket, TicketState

_MAX_CHILDREN_LENGTH = 40_000


def as_event(tracker: TicketTracker) -> dict[str, Any]:
    """Return the state of a tracker as an event: JSON, and small (2,000 tickets: about 30 KB).

    ``tickets`` holds :meth:`.Ticket.as_dict` of the tickets with details. ``others`` holds the ids of the rest, by
    status.
    """
    tickets: list[dict[str, Any]] = []
    others: dict[tuple[str, str], list[int]] = {}
    budget = _MAX_CHILDREN_LENGTH
    for ticket in tracker.tickets():
        if ticket.created_at is None and ticket.children is None:
            others.setdefault((ticket.status, ticket.state.value), []).append(ticket.id)
            continue
        size = len(as_json(ticket.children))
        if size > budget:
            ticket = replace(ticket, children=f"left out: {size} characters")
        else:
            budget -= size
        tickets.append(ticket.as_dict())
    event: dict[str, Any] = {
        "status": tracker.end.value if tracker.end else None,
        "message": encodable(tracker.message),
        "tickets": tickets,
        "others": [{"status": status, "state": state, "ids": ids} for (status, state), ids in others.items()],
        "problem": encodable(tracker.cycle.problem),
        "retry_after": tracker.cycle.retry_after,
        "by_execution_timeout": tracker.by_execution_timeout,
    }
    if tracker.rejected:
        ticket_id, verdict = tracker.rejected
        event["refused"] = {
            "ticket_id": ticket_id,
            "reason": encodable(verdict.reason),
            "status_code": verdict.status_code,
        }
    return event


def load_event(tracker: TicketTracker, event: Mapping[str, Any]) -> None:
    """Load a state into a tracker: from the trigger's event, or from what was known before the task deferred."""
    for fields in event["tickets"]:
        at = fields["created_at"]
        created_at = pendulum.instance(datetime.fromisoformat(at)).in_timezone("UTC") if at else None
        state = TicketState(fields["state"])
        tracker.put(Ticket(fields["id"], fields["status"], state, created_at, fields["children"]))
    for group in event["others"]:
        for ticket_id in group["ids"]:
            tracker.put(Ticket(ticket_id, group["status"], TicketState(group["state"])))
    tracker.cycle.problem, tracker.cycle.retry_after = event["problem"], event.get("retry_after", 0.0)
    tracker.by_execution_timeout = event["by_execution_timeout"]
    tracker.timed_out = event["status"] == End.TIMEOUT
    if rejected := event.get("refused"):
        verdict = Verdict(Outcome.REJECTED, rejected["reason"], status_code=rejected["status_code"])
        tracker.rejected = (rejected["ticket_id"], verdict)
    elif event["status"] == End.ERROR:
        tracker.error = event["message"]
