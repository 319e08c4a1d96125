"""The files of the sandbox's page, and the data that it gets. (``tests/browser`` tests what it shows.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_passnotify.sandbox import page
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox


@pytest.fixture(scope="module")
def session_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(passes=1_000_000) as sandbox:
        yield sandbox


def ask(sandbox: RunningSandbox, **query: Any) -> dict[str, Any]:
    answer = requests.get(f"{sandbox.url}/_sandbox/news", params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def send(sandbox: RunningSandbox, path: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/v1/{path}", json={"value": "x"}, auth=sandbox.credential, timeout=30)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/_sandbox/static/page.css", "text/css; charset=utf-8"),
        ("/_sandbox/static/page.js", "text/javascript; charset=utf-8"),
        ("/_sandbox/static/icon.svg", "image/svg+xml"),
    ],
)
def test_its_files(sandbox: RunningSandbox, path: str, media_type: str) -> None:
    answer = requests.get(sandbox.url + path, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert sandbox.requests()["total"] == 0


@pytest.mark.parametrize("name", ["page.html", "../page.py", "%2e%2e/page.py", "nothing.js", ""])
def test_no_other_file_is_given_out(sandbox: RunningSandbox, name: str) -> None:
    assert requests.get(f"{sandbox.url}/_sandbox/static/{name}", timeout=30).status_code == 404


def test_only_looking_shows_the_page(sandbox: RunningSandbox) -> None:
    assert requests.post(sandbox.url, auth=sandbox.credential, timeout=30).json()["code"] == 404


def test_what_is_new_since_a_ticket(sandbox: RunningSandbox) -> None:
    generation = ask(sandbox)["generation"]
    first = send(sandbox, "pass/123/notify").json()["ticketId"]
    requests.delete(f"{sandbox.url}/v1/tag/campaign123/notify?templateId=12345", auth=sandbox.credential, timeout=30)
    send(sandbox, "template/123/notify")
    told = ask(sandbox)
    kinds = [(event["kind"], event["ticketId"] - first, event["passes"], event["count"]) for event in told["events"]]
    assert kinds == [("send", 0, [123], 1), ("delete", 1, [123, 124, 125], 3), ("send", 2, [223, 224, 225], 3)]
    assert (told["delivered"], told["leftOut"]) == (4, 0)
    assert [ticket["ticketId"] - first for ticket in told["tickets"]] == [2, 1, 0]
    later = ask(sandbox, after=first + 1, generation=generation)
    assert [event["ticketId"] - first for event in later["events"]] == [2]
    assert ask(sandbox, after=first + 2, generation=generation)["events"] == []
    assert len(ask(sandbox, after=first + 2, generation=generation + 1)["events"]) == 3


def test_a_reset_is_a_new_generation(sandbox: RunningSandbox) -> None:
    before = ask(sandbox)["generation"]
    send(sandbox, "pass/123/notify")
    sandbox.reset()
    told = ask(sandbox, after=5000, generation=before)
    assert told["generation"] == before + 1
    assert (told["events"], told["delivered"], told["tickets"]) == ([], 0, [])


def test_much_is_told_in_part(sandbox: RunningSandbox) -> None:
    """One answer must not contain a million notices."""
    for _ in range(page.MAX_EVENTS + 5):
        sandbox.state.deliveries.sent((123,), None, "x", sandbox.state.tickets.new())
    send(sandbox, "template/20000/notify")
    told = ask(sandbox)
    assert (len(told["events"]), told["leftOut"]) == (page.MAX_EVENTS, 6)
    assert (len(told["events"][-1]["passes"]), told["events"][-1]["count"]) == (page.MAX_PASSES, 1_000_000)
    assert told["delivered"] == 1_000_000 + page.MAX_EVENTS + 5
    assert len(told["tickets"]) == page.MAX_TICKETS


def test_why_a_request_was_refused(sandbox: RunningSandbox) -> None:
    send(sandbox, "pass/999/notify")
    requests.post(f"{sandbox.url}/v1/pass/123/notify", data="no", auth=sandbox.credential, timeout=30)
    sandbox.add_fault("status", status=502, body="<html>Bad gateway</html>", times=1)
    send(sandbox, "pass/123/notify")
    sandbox.add_fault("status", status=503, body={"odd": 1}, times=1)
    send(sandbox, "pass/123/notify")
    sandbox.add_fault("status", status=503, body=[1], times=1)
    send(sandbox, "pass/123/notify")
    told = ask(sandbox)["requests"]
    assert [(refused["status"], refused["why"]) for refused in told["refused"]] == [
        (503, "[1]"),
        (503, '{"odd": 1}'),
        (502, "<html>Bad gateway</html>"),
        (406, "The body is not JSON."),
        (404, "object not found :Pass not found! There is no pass 999"),
    ]
    assert (told["total"], told["refusals"], told["held"]) == (5, 5, 0)
    assert told["refused"][0]["path"] == "/v1/pass/123/notify"
