"""Random answers and random connections: each one gives a verdict or a clear error, and nothing else happens."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_passnotify.api.config import read_config
from airflow_provider_passnotify.api.protocol import (
    Outcome,
    Request,
    delete_request,
    encodable,
    judge,
    parse_retry_after,
    send_request,
    ticket_request,
)
from airflow_provider_passnotify.api.tickets import read_ticket
from airflow_provider_passnotify.targets import PassTarget, as_target

TARGET = PassTarget("123")
REQUESTS = [send_request(TARGET, value="Hello"), delete_request(TARGET), ticket_request(7)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["ticketId", "code", "description", "details", "Status", "status", "createdAt", "children"])
DOCUMENTS = JSON | st.dictionaries(KEYS, JSON, max_size=5)
BODIES = st.binary(max_size=200) | DOCUMENTS.map(lambda document: json.dumps(document).encode())
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "Date", "Location", "Content-Type"]), st.text(max_size=40))


def is_usable(ticket_id: object) -> bool:
    if isinstance(ticket_id, str) and ticket_id.isascii() and ticket_id.isdigit():
        ticket_id = int(ticket_id)
    return isinstance(ticket_id, int) and not isinstance(ticket_id, bool) and ticket_id >= 0


@given(st.sampled_from(REQUESTS), st.integers(100, 999), HEADERS, BODIES)
def test_every_answer_gets_a_verdict(request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
    verdict = judge(request, status, headers, body)
    encodable(verdict.reason)
    json.dumps([verdict.reason, verdict.description, verdict.details], ensure_ascii=False).encode()
    assert verdict.retry_after is None or (math.isfinite(verdict.retry_after) and verdict.retry_after >= 0)
    if verdict.outcome is Outcome.ACCEPTED:
        assert 200 <= status < 300
    if request.method != "GET" and verdict.outcome is Outcome.ACCEPTED:
        assert is_usable(json.loads(body)["ticketId"])
    if 200 <= status < 400 or status > 503:
        assert verdict.may_have_been_sent


@given(st.text(max_size=60), st.text(max_size=60) | st.none())
def test_retry_after_is_seconds_or_nothing(value: str, date: str | None) -> None:
    seconds = parse_retry_after(value, date)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(DOCUMENTS)
def test_a_ticket_is_read_or_refused(payload: Any) -> None:
    try:
        ticket = read_ticket(7, payload)
    except ValueError:
        return
    json.dumps(ticket.as_dict(), ensure_ascii=False, allow_nan=False).encode()


@given(st.dictionaries(st.sampled_from(["target_type", "pass_id", "tag", "template_id", "project_id"]), JSON))
def test_a_target_is_safe_in_a_path_or_refused(fields: dict[str, Any]) -> None:
    try:
        address = as_target(fields).address
    except ValueError:
        return
    path = address.partition("?")[0]
    assert address.isascii()
    assert address.isprintable()
    assert not {"", ".", ".."} & set(path.split("/")[1:])


@given(
    host=st.text(max_size=60) | st.from_regex(r"(https?://)?[a-z0-9.:\[\]@/-]{1,30}", fullmatch=True),
    schema=st.text(max_size=8) | st.none(),
    port=st.integers(-1, 70_000) | st.none(),
    login=st.text(max_size=10) | st.none(),
    password=st.text(max_size=20) | st.none(),
    extra=st.text(max_size=40) | JSON.map(json.dumps) | st.none(),
)
def test_a_connection_is_read_or_refused(**fields: Any) -> None:
    try:
        config = read_config(conn_type="passnotify", **fields)
    except ValueError as error:
        if (password := fields["password"]) and len(password) > 12:
            assert password not in str(error)
        return
    assert config.base_url.startswith(("https://", "http://"))
    assert config.headers["Authorization"].isascii()


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.method)
def test_the_requests_are_those_of_the_api(request_: Request) -> None:
    assert request_.url_path.startswith("/v1/")
