"""The sandbox reports exactly what has happened."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest
import requests

from airflow_provider_passnotify.sandbox.server import running_sandbox


@pytest.fixture(scope="module")
def session_sandbox():
    with running_sandbox(passes=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox):
    with requests.Session() as session:
        session.auth = sandbox.credential
        yield session


def push(http, sandbox, path, value, label=None):
    body = {"value": value} if label is None else {"value": value, "label": label}
    answer = http.post(f"{sandbox.url}/v1/{path}", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()["ticketId"]


def test_deliveries_tell_every_push_in_order(http, sandbox):
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    first = push(http, sandbox, "pass/123/notify", "one", "Label")
    second = push(http, sandbox, "tag/campaign123/notify?templateId=12345", "two")
    http.delete(f"{sandbox.url}/v1/pass/124/notify", timeout=30)
    third = push(http, sandbox, "pass/126/notify", "three 🎉 \ud800")
    told = http.get(f"{sandbox.url}/_sandbox/deliveries", timeout=30).json()
    assert told == sandbox.deliveries()
    assert told["total"] == 5
    assert list(told["passes"]) == ["123", "124", "125", "126"]

    entry = told["passes"]["123"]
    assert entry["count"] == 2
    for received in entry["received"]:
        at = datetime.fromisoformat(received.pop("at"))
        assert before < at < datetime.now(timezone.utc) + timedelta(seconds=1)
    assert entry["received"] == [
        {"label": "Label", "value": "one", "ticketId": first},
        {"label": None, "value": "two", "ticketId": second},
    ]
    assert entry["shows"] == {"label": None, "value": "two"}
    assert told["passes"]["124"]["shows"] is None
    assert told["passes"]["125"]["shows"] == {"label": None, "value": "two"}
    assert told["passes"]["126"]["shows"] == {"label": None, "value": "three 🎉 \ud800"}
    assert first < second < third


def test_what_is_sent_after_a_delete_shows(http, sandbox):
    push(http, sandbox, "pass/123/notify", "old")
    http.delete(f"{sandbox.url}/v1/template/12345/notify", timeout=30)
    push(http, sandbox, "pass/123/notify", "new")
    assert sandbox.deliveries()["passes"]["123"]["shows"] == {"label": None, "value": "new"}


def test_ways_to_ask_for_deliveries(http, sandbox):
    for number in range(1, 5):
        push(http, sandbox, f"pass/template/20000/id/customer-{number}/notify", "x")
    push(http, sandbox, "pass/1000002/notify", "y")
    push(http, sandbox, "template/123/notify", "z")

    def ask(query):
        return http.get(f"{sandbox.url}/_sandbox/deliveries?{query}", timeout=30).json()

    one = {"1000001": 1, "1000002": 2, "1000003": 1, "1000004": 1, "223": 1, "224": 1, "225": 1}
    assert ask("counts=true") == {"total": 8, "passes": one}
    assert ask("histogram=true") == {"total": 8, "times": {"1": 6, "2": 1}}
    assert ask("counts=true&pass_id=1000002") == {"total": 2, "passes": {"1000002": 2}}
    only = ask("pass_id=224")
    assert (only["total"], list(only["passes"])) == (1, ["224"])
    assert ask("pass_id=999") == {"total": 0, "passes": {}}


def test_a_million_passes_receive_and_are_counted(http, sandbox):
    push(http, sandbox, "template/20000/notify", "to all")
    push(http, sandbox, "pass/2000000/notify", "to the last")
    assert http.get(f"{sandbox.url}/_sandbox/deliveries?histogram=true", timeout=600).json() == {
        "total": 1_000_001,
        "times": {"1": 999_999, "2": 1},
    }
    counts = http.get(f"{sandbox.url}/_sandbox/deliveries?counts=true", timeout=600).json()["passes"]
    assert len(counts) == 1_000_000
    assert counts["2000000"] == 2


def test_requests_are_counted_and_hold_no_secret(http, sandbox):
    push(http, sandbox, "tag/campaign123/notify?templateId=12345", "x")
    http.delete(f"{sandbox.url}/v1/pass/a%2Fb/notify", timeout=30)
    answer = http.get(f"{sandbox.url}/_sandbox/requests", timeout=30)
    told = answer.json()
    assert (told["total"], told["methods"]) == (2, {"POST": 1, "DELETE": 1, "GET": 0})
    assert told["statuses"] == {"200": 1, "404": 1}
    assert told["held"] == 0
    for entry in told["last"]:
        datetime.fromisoformat(entry.pop("at"))
    assert told["last"] == [
        {"method": "POST", "path": "/v1/tag/campaign123/notify", "query": "templateId=12345", "status": 200},
        {"method": "DELETE", "path": "/v1/pass/a%2Fb/notify", "query": "", "status": 404},
    ]
    assert "c2FuZGJveDpzYW5kYm94" not in answer.text


def test_only_the_last_requests_are_remembered(http, sandbox):
    for number in range(105):
        http.get(f"{sandbox.url}/v1/ticket/{number}", timeout=30)
    told = sandbox.requests()
    assert told["methods"]["GET"] == 105
    assert [entry["path"] for entry in told["last"]] == [f"/v1/ticket/{number}" for number in range(5, 105)]


def test_waiting_for_requests_ends_when_they_arrived(http, sandbox):
    push(http, sandbox, "pass/123/notify", "before")
    waited = {}

    def wait():
        query = {"wait_for": 3, "method": "POST", "timeout": 30}
        waited["answer"] = requests.get(f"{sandbox.url}/_sandbox/requests", params=query, timeout=60)

    waiter = threading.Thread(target=wait)
    waiter.start()
    http.get(f"{sandbox.url}/v1/ticket/1", timeout=30)
    push(http, sandbox, "pass/123/notify", "one")
    push(http, sandbox, "pass/123/notify", "two")
    waiter.join()
    assert waited["answer"].status_code == 200
    assert waited["answer"].json()["methods"]["POST"] == 3


def test_waiting_in_vain_says_so(http, sandbox):
    push(http, sandbox, "pass/123/notify", "x")
    query = {"wait_for": 2, "timeout": 0.01}
    answer = http.get(f"{sandbox.url}/_sandbox/requests", params=query, timeout=30)
    assert answer.status_code == 408
    assert answer.json()["total"] == 1
    with pytest.raises(TimeoutError, match="1 requests, 0 held"):
        sandbox.wait_for(2, timeout=0.01)


def test_reset_goes_back_to_the_start(http, sandbox):
    push(http, sandbox, "pass/123/notify", "x")
    http.post(f"{sandbox.url}/_sandbox/faults", json={"action": "status", "status": 500}, timeout=30)
    http.post(f"{sandbox.url}/_sandbox/tickets", json={"final": "FAILED", "seconds": 0}, timeout=30)
    http.post(f"{sandbox.url}/_sandbox/rate-limit", json={"per_second": 0.001}, timeout=30)
    assert http.post(f"{sandbox.url}/_sandbox/reset", timeout=30).status_code == 200
    assert sandbox.deliveries() == {"total": 0, "passes": {}}
    assert sandbox.requests()["total"] == 0
    assert http.get(f"{sandbox.url}/_sandbox/faults", timeout=30).json() == {"faults": []}
    tickets = [push(http, sandbox, "pass/123/notify", "y") for _ in range(3)]
    assert tickets == [1001, 1002, 1003]
    assert http.get(f"{sandbox.url}/v1/ticket/1001", timeout=30).json()["Status"] in ("PENDING", "PROCESSING")


def test_endpoints_are_listed(http, sandbox):
    listed = http.get(f"{sandbox.url}/_sandbox", timeout=30).json()["endpoints"]
    assert "GET /_sandbox/deliveries" in listed
    assert "POST /_sandbox/faults" in listed
    assert http.get(f"{sandbox.url}/_sandbox/nothing", timeout=30).status_code == 404
