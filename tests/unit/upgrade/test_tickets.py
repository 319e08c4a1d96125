"""This release reads trigger rows and events that 0.1.0 wrote into Airflow's database, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.api.ticket_event import as_event, load_event
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords, TicketState
from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger

WRITTEN = json.loads((Path(__file__).parent / "tickets_0_1_0.json").read_text())
EVENTS: dict[str, Any] = WRITTEN["events"]


@pytest.mark.parametrize(("path", "arguments"), WRITTEN["triggers"].values(), ids=WRITTEN["triggers"])
def test_a_trigger_row_is_read_and_written_as_it_was(path: str, arguments: dict[str, Any]) -> None:
    trigger = NotificationTicketTrigger(**arguments)
    assert json.loads(json.dumps(trigger.serialize())) == [path, arguments]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_read_and_written_as_it_was(name: str) -> None:
    """As it was: then the old release reads what the new one writes."""
    event = EVENTS[name]
    tracker = TicketTracker()
    load_event(tracker, event)
    assert json.loads(json.dumps(as_event(tracker))) == event
    assert (tracker.end.value if tracker.end else None, tracker.message) == (event["status"], event["message"])


def test_what_the_worker_knew_goes_on_in_the_trigger() -> None:
    _, arguments = WRITTEN["triggers"]["with_what_the_worker_knew"]
    tracker = TicketTracker(arguments["ticket_ids"], StatusWords(arguments["success_statuses"]))
    load_event(tracker, arguments["so_far"])
    assert set(tracker.left) == {1003, 1004}
    assert [ticket.children for ticket in tracker.tickets(TicketState.FAILED)] == [{"5": "gone"}]
    assert tracker.cycle.retry_after == 7
    assert "HTTP 429" in tracker.cycle.problem


def test_every_way_to_end_is_among_the_events() -> None:
    assert {event["status"] for event in EVENTS.values()} == {None, *(end.value for end in End)}
