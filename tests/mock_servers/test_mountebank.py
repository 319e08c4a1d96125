"""mountebank breaks connections and holds back answers in its own ways; the verdicts are those of the answer table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from airflow_provider_passnotify.api.protocol import Outcome
from tests.clients import CLIENTS, SEND, config_for
from tests.servers import free_port

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")

JSON = {"Content-Type": "application/json"}
TICKET = {"is": {"statusCode": 200, "headers": JSON, "body": {"ticketId": 12345}}}
NOT_FOUND = {"code": 404, "description": "Not Found"}
BUSY = {"code": 429, "description": "Too Many Requests"}
ANSWERS: dict[str, tuple[list[dict[str, Any]], Outcome]] = {
    "a ticket": ([TICKET], Outcome.ACCEPTED),
    "a reset": ([{"fault": "CONNECTION_RESET_BY_PEER"}], Outcome.UNKNOWN),
    "garbage": ([{"fault": "RANDOM_DATA_THEN_CLOSE"}], Outcome.UNKNOWN),
    "too late": ([{**TICKET, "behaviors": [{"wait": 5000}]}], Outcome.UNKNOWN),
    "404": ([{"is": {"statusCode": 404, "headers": JSON, "body": NOT_FOUND}}], Outcome.REJECTED),
    "429, then a ticket": (
        [{"is": {"statusCode": 429, "headers": {**JSON, "Retry-After": "0"}, "body": BUSY}}, TICKET],
        Outcome.ACCEPTED,
    ),
    "no JSON": ([{"is": {"statusCode": 200, "body": "<html>"}}], Outcome.UNKNOWN),
}


@contextmanager
def imposter(mountebank: str, responses: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Let mountebank answer with these, and give that server's address, and where it tells what it received."""
    port = free_port()
    stub = {"predicates": [{"equals": {"method": "POST", "path": "/v1/pass/123/notify"}}], "responses": responses}
    order = {"port": port, "protocol": "http", "host": "127.0.0.1", "recordRequests": True, "stubs": [stub]}
    requests.post(f"{mountebank}/imposters", json=order, timeout=30).raise_for_status()
    try:
        yield f"http://127.0.0.1:{port}", f"{mountebank}/imposters/{port}"
    finally:
        requests.delete(f"{mountebank}/imposters/{port}", timeout=30)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ANSWERS)
def test_its_answers_have_the_right_verdict(name: str, client: str, mountebank: str) -> None:
    responses, outcome = ANSWERS[name]
    with imposter(mountebank, responses) as (url, told):
        (verdict,) = CLIENTS[client](config_for(url, timeout=1), SEND)
        received = requests.get(told, timeout=30).json()["requests"]
    assert verdict.outcome is outcome, verdict
    assert len(received) == len(responses), "an unknown one is not sent again"
    assert json.loads(received[0]["body"]) == {"value": "20% off"}
