"""Tickets end as they were set in the sandbox, and look as the API documents them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from airflow_provider_passnotify.sandbox import tickets
from airflow_provider_passnotify.sandbox.server import running_sandbox


@pytest.fixture(scope="module")
def session_sandbox():
    with running_sandbox(ticket_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox):
    with requests.Session() as session:
        session.auth = sandbox.credential
        yield session


def new_ticket(http, sandbox):
    return http.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "x"}, timeout=30).json()["ticketId"]


def look_up(http, sandbox, ticket_id):
    return http.get(f"{sandbox.url}/v1/ticket/{ticket_id}", timeout=30)


def order(http, sandbox, **behaviour):
    return http.post(f"{sandbox.url}/_sandbox/tickets", json=behaviour, timeout=30)


def test_published_shape(http, sandbox):
    ticket_id = new_ticket(http, sandbox)
    ticket = look_up(http, sandbox, ticket_id).json()
    created = ticket.pop("createdAt")
    assert ticket == {"Status": "COMPLETED", "ID": ticket_id, "children": {}}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d", created)
    at = datetime.fromisoformat(created + "00+00:00")
    assert abs(datetime.now(timezone.utc) - at) < timedelta(minutes=5)


@pytest.mark.parametrize("ticket_id", ["0", "1000", "1002", "-1", "None", "1001.0", "01x", "9" * 5000, "%31%30%2F"])
def test_unknown_ticket(http, sandbox, ticket_id):
    new_ticket(http, sandbox)
    answer = look_up(http, sandbox, ticket_id)
    assert answer.status_code == 404
    assert answer.json()["code"] == 404
    assert "Ticket not found" in answer.json()["details"]


def test_ticket_needs_the_credential(sandbox):
    assert requests.get(f"{sandbox.url}/v1/ticket/0", timeout=30).status_code == 401


def test_ticket_goes_on(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("airflow_provider_passnotify.sandbox.tickets.time.time", lambda: now[0])
    box = tickets.Tickets(seconds=3)
    ticket_id = box.new()
    seen: list[Any] = []
    for elapsed in (0, 0.9, 1.1, 2.9, 3, 1000):
        now[0] = 1000 + elapsed
        seen.append(box.look_up(ticket_id)["Status"])  # type: ignore[index]
    assert seen == ["PENDING", "PENDING", "PROCESSING", "PROCESSING", "COMPLETED", "COMPLETED"]


def test_new_tickets_behave_as_ordered_and_old_ones_do_not_change(http, sandbox):
    old = new_ticket(http, sandbox)
    assert order(http, sandbox, final="EXPLODED").status_code == 200
    odd = new_ticket(http, sandbox)
    order(http, sandbox)
    new = new_ticket(http, sandbox)
    assert [look_up(http, sandbox, ticket).json()["Status"] for ticket in (old, odd, new)] == [
        "COMPLETED",
        "EXPLODED",
        "COMPLETED",
    ]


def test_one_ticket_can_be_made_to_fail(http, sandbox):
    first, second = new_ticket(http, sandbox), new_ticket(http, sandbox)
    order(http, sandbox, ticket_id=first, final="FAILED")
    order(http, sandbox, ticket_id=second, final="FAILED", children={"a": [1]})
    failed = look_up(http, sandbox, first).json()
    assert failed["Status"] == "FAILED"
    assert str(first) in str(failed["children"])
    assert look_up(http, sandbox, second).json()["children"] == {"a": [1]}
    assert order(http, sandbox, ticket_id=5, final="FAILED").status_code == 404


def test_hanging_and_slow_tickets(http, sandbox):
    order(http, sandbox, hang=True)
    hanging = new_ticket(http, sandbox)
    order(http, sandbox, seconds=3600)
    slow = new_ticket(http, sandbox)
    assert look_up(http, sandbox, hanging).json()["Status"] == "PROCESSING"
    assert look_up(http, sandbox, slow).json()["Status"] == "PENDING"
    sandbox.set_tickets(hanging, seconds=0)
    assert look_up(http, sandbox, hanging).json()["Status"] == "COMPLETED"


def test_spelling(http, sandbox):
    order(http, sandbox, key="status", case="lower")
    ticket = look_up(http, sandbox, new_ticket(http, sandbox)).json()
    assert ticket["status"] == "completed"
    assert "Status" not in ticket


@pytest.mark.parametrize("raw", ["", "not JSON", "[]", '{"ID": 1}', "🎉"])
def test_raw_body(http, sandbox, raw):
    order(http, sandbox, raw=raw)
    answer = look_up(http, sandbox, new_ticket(http, sandbox))
    assert (answer.status_code, answer.content) == (200, raw.encode())


@pytest.mark.parametrize("wrong", [{"seconds": -1}, {"finale": "x"}, {"key": "STATE"}, {"case": "camel"}])
def test_order_is_validated(http, sandbox, wrong):
    answer = order(http, sandbox, **wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.text
