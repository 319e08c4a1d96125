"""The error table, row by row, and the times and numbers in answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pendulum
import pytest

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import (
    MAX_RETRY_AFTER_IN_WORKER,
    Outcome,
    TransportFailure,
    Verdict,
    check_message,
    judge,
    judge_failure,
    parse_retry_after,
    parse_ticket_id,
    retry_delay,
    send_request,
)
from airflow_provider_passnotify.api.tickets import read_ticket
from airflow_provider_passnotify.targets import PassTarget
from tests.clients import DELETE, LOOK, SEND

SENT, NOT_SENT, REJECTED, UNKNOWN = Outcome.ACCEPTED, Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN
ERROR = {"code": 503, "description": "Busy.", "details": "Come back later."}
KEY_ERROR = {"code": 500, "description": "Error reading the api key"}
TABLE: list[tuple[int, dict[str, str], Any, Outcome]] = [
    (200, {}, {"ticketId": 1}, SENT),
    (200, {}, {"ticketId": "12345"}, SENT),
    (201, {}, {"ticketId": 0, "more": []}, SENT),
    (202, {}, {"ticketId": 1}, SENT),
    *((200, {}, body, UNKNOWN) for body in ({}, [], "x", 5, None, {"ticketid": 1}, {"ticketId": None})),
    *((200, {}, {"ticketId": bad}, UNKNOWN) for bad in (-1, "-1", "", "x", "1.0", 1.0, True, [1], "٣", "1" * 20)),
    *((200, {}, {"ticketId": bad}, UNKNOWN) for bad in (2**63, 2**64, 10**4000, str(2**63), "9" * 19)),
    (200, {}, {"ticketId": 2**63 - 1}, SENT),
    (200, {}, {"ticketId": str(2**63 - 1)}, SENT),
    (204, {}, None, UNKNOWN),
    (429, {}, None, NOT_SENT),
    (429, {"Retry-After": "7"}, ERROR, NOT_SENT),
    (503, {"Retry-After": "7"}, ERROR, NOT_SENT),
    (503, {}, ERROR, NOT_SENT),
    (503, {"Retry-After": "7"}, None, UNKNOWN),
    (503, {"Retry-After": "0"}, "<html>", UNKNOWN),
    *((503, {"Retry-After": "0"}, {**ERROR, "code": code}, UNKNOWN) for code in (500, "503", 503.0, True, None)),
    (503, {"Retry-After": "0"}, {"code": 503}, UNKNOWN),
    (503, {"Retry-After": "0"}, [ERROR], UNKNOWN),
    (503, {}, None, UNKNOWN),
    (503, {}, {"message": "no healthy upstream"}, UNKNOWN),
    (503, {"Retry-After": "soon"}, None, UNKNOWN),
    *((status, {}, None, REJECTED) for status in (400, 401, 403, 404, 405, 406, 413)),
    *((status, {}, {**ERROR, "code": status}, REJECTED) for status in (402, 407, 408, 409, 418, 422, 451, 460, 499)),
    *((status, {}, None, UNKNOWN) for status in (402, 407, 408, 409, 410, 418, 422, 425, 451, 460, 499)),
    *((status, {"Retry-After": "0"}, "<html>", UNKNOWN) for status in (408, 425, 499)),
    (409, {}, {**ERROR, "code": 408}, UNKNOWN),
    (401, {"Retry-After": "7"}, None, REJECTED),
    (500, {}, KEY_ERROR, REJECTED),
    (500, {}, {"code": 500, "details": "error  READING API key"}, REJECTED),
    (500, {}, "Error reading the api key", REJECTED),
    (500, {}, {"code": 500, "description": "Oops"}, UNKNOWN),
    (500, {}, {"code": 500, "details": "cannot store 'Error reading the api key'"}, UNKNOWN),
    (500, {}, "<html>Error reading the api key</html>", UNKNOWN),
    (502, {}, KEY_ERROR, UNKNOWN),
    *((status, {}, None, UNKNOWN) for status in (500, 501, 502, 504, 505, 520, 599)),
    (502, {"Retry-After": "7"}, None, UNKNOWN),
    *((status, {"Location": "/"}, None, UNKNOWN) for status in (300, 301, 302, 303, 304, 307, 308)),
]


@pytest.mark.parametrize(("status", "headers", "body", "outcome"), TABLE)
@pytest.mark.parametrize("request_", [SEND, DELETE], ids=["POST", "DELETE"])
def test_table(request_: protocol.Request, status: int, headers: dict[str, str], body: Any, outcome: Outcome) -> None:
    data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
    verdict = judge(request_, status, headers, data)
    assert verdict.outcome is outcome, verdict
    assert verdict.status_code == status
    assert verdict.may_have_been_sent == (outcome in {SENT, UNKNOWN})
    again = outcome is NOT_SENT or (outcome is UNKNOWN and request_ is DELETE)
    assert (retry_delay(request_, verdict, attempt=1, max_retries=1) is not None) == again
    assert retry_delay(request_, verdict, attempt=2, max_retries=1) is None
    assert retry_delay(request_, verdict, attempt=1, max_retries=0) is None
    if outcome is not SENT:
        assert str(status) in verdict.reason


@pytest.mark.parametrize(("failure", "outcome"), [*zip(TransportFailure, [NOT_SENT, NOT_SENT, UNKNOWN], strict=True)])
def test_without_an_answer(failure: TransportFailure, outcome: Outcome) -> None:
    verdict = judge_failure(failure, "x" * 5000)
    assert (verdict.outcome, verdict.failure) == (outcome, failure)
    assert len(verdict.reason) < 600


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("one two", "one two"),
        ("one two three", "one two …"),
        ("one twothree", "one twoth …"),
        ("onetwothreefour", "onetwothr …"),
    ],
)
def test_a_long_text_is_cut_at_a_word_where_it_has_one(text: str, cut: str) -> None:
    assert protocol.shorten(text, 11) == cut
    assert protocol.shorten("\ud83d") == "?", "half an emoji cannot be logged"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", ""),
        (b"OK", ": 'OK'"),
        (b"null", ": 'null'"),
        (b'{"id": 5}', ": '{\"id\": 5}'"),
        (b"Please log in " * 100, ": '" + "Please log in " * 13 + "Please log in …'"),
    ],
    ids=["nothing", "text", "null", "object", "long"],
)
def test_an_answer_without_a_ticket_id_is_shown(body: bytes, told: str) -> None:
    assert judge(SEND, 200, {}, body).reason == f"HTTP 200, but its body has no usable ticketId{told}"


@pytest.mark.parametrize("body", [b"\xff\xfe\xfa", b"{" * 10**6, b"[" * 10**6, b"1" * 10**5, b"\x00", b'{"a": NaN}'])
@pytest.mark.parametrize("status", [200, 400, 500, 503])
def test_a_body_of_nonsense_is_no_crash(body: bytes, status: int) -> None:
    verdict = judge(SEND, status, {}, body)
    assert verdict.outcome is (REJECTED if status == 400 else UNKNOWN)
    assert len(verdict.reason) < 5000


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500, 503])
@pytest.mark.parametrize("request_", [SEND, DELETE, LOOK], ids=["POST", "DELETE", "GET"])
def test_an_answer_that_is_nested_deeply_is_no_crash(request_: protocol.Request, status: int) -> None:
    for depth in (90, 800, 900, 960, 980, 990, 1000, 5000):
        nested = "[" * depth + "]" * depth
        for body in (
            nested,
            f'{{"ticketId": {nested}, "code": {nested}, "description": {nested}, "details": {nested}}}',
        ):
            verdict = judge(request_, status, {}, body.encode())
            assert len(verdict.reason) < 5000
            if request_.method == "GET" and verdict.outcome is SENT:
                with pytest.raises(ValueError, match="ticket 1"):
                    read_ticket(1, verdict.payload)


def test_a_failure_while_judging_is_one_rows_alone() -> None:
    class Headers(dict[str, str]):
        def get(self, *_: object) -> str:  # type: ignore[override]
            raise KeyError("whatever")

    verdict = judge(SEND, 404, Headers(), b"")
    assert (verdict.outcome, verdict.status_code) == (UNKNOWN, 404)


def test_the_unreadable_key_is_not_believed_where_it_is_the_message_itself() -> None:
    text = "Error reading the api key"
    body = json.dumps({"code": 500, "description": text}).encode()
    assert judge(SEND, 500, {}, body).outcome is REJECTED
    assert judge(send_request(PassTarget(1), value=text), 500, {}, body).outcome is UNKNOWN


def test_a_reason_is_one_line() -> None:
    body = {"code": 404, "description": "gone\r\n[2026-11-25] INFO - Task succeeded", "details": "\x1b[2J\u2028x"}
    verdict = judge(SEND, 404, {}, json.dumps(body).encode())
    assert verdict.reason == "HTTP 404: gone [2026-11-25] INFO - Task succeeded; [2J x"
    assert verdict.description == body["description"]


@pytest.mark.parametrize("body", [{"code": [1], "description": {"a": 1}, "details": 3}, {"code": True, "details": []}])
def test_an_error_body_of_other_types_is_no_crash(body: dict[str, Any]) -> None:
    verdict = judge(SEND, 400, {}, json.dumps(body).encode())
    assert all(isinstance(text, str | None) for text in (verdict.description, verdict.details))


def test_the_details_of_the_api_are_kept() -> None:
    verdict = judge(SEND, 404, {}, json.dumps({"code": 404, "description": "Gone.", "details": "No pass 1."}).encode())
    assert (verdict.code, verdict.description, verdict.details) == (404, "Gone.", "No pass 1.")


@pytest.mark.parametrize(
    ("description", "details", "reason"),
    [
        ("The API key is missing or wrong.", "Wrong login", "HTTP 401: The API key is missing or wrong; Wrong login"),
        ("Wrong login.", None, "HTTP 401: Wrong login"),
        ("Gone.", "No pass 1. Look again.\n", "HTTP 401: Gone; No pass 1. Look again"),
        ("Who are you?", "Wrong login...", "HTTP 401: Who are you? Wrong login"),
        (".", "...", "HTTP 401"),
    ],
)
def test_the_reason_can_stand_within_a_sentence(description: str, details: str | None, reason: str) -> None:
    body = json.dumps({"code": 401, "description": description, "details": details}).encode()
    assert judge(SEND, 401, {}, body).reason == reason
    assert judge_failure(TransportFailure.LOST, "The end.").reason == f"{TransportFailure.LOST.value}: The end"


def test_a_look_up_needs_json() -> None:
    assert judge(LOOK, 200, {}, b'{"Status": "COMPLETED"}').payload == {"Status": "COMPLETED"}
    assert judge(LOOK, 200, {}, b"<html>").outcome is UNKNOWN


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
RETRY_AFTER: list[tuple[str | None, str | None, float | None]] = [
    ("0", None, 0),
    ("120", None, 120),
    (" 120 ", None, 120),
    ("1.5", None, 1.5),
    (DATE, DATE, 0),
    (DATE, "Wed, 21 Oct 2015 07:27:00 GMT", 60),
    (DATE, "Wed, 21 Oct 2015 08:27:00 GMT", 0),  # in the past
    ("Wednesday, 21-Oct-15 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:00 GMT", 60),  # the two old forms of RFC 9110
    ("Wed Oct 21 07:28:00 2015", "Wed, 21 Oct 2015 07:27:00 GMT", 60),
    (DATE, None, 0),  # by our own clock, long ago
    (DATE, "nonsense", 0),
    *(
        (nonsense, None, None)
        for nonsense in (None, "", "soon", "-1", "1e3", "٣", "1,2", "0x10", "NaN", "inf", "9" * 30)
    ),
    ("Wed, 99 Foo 2015 07:28:00 GMT", None, None),
    ("Wed, 21 Oct 99999999999 07:28:00 GMT", None, None),
]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize(("value", "date", "seconds"), RETRY_AFTER)
def test_retry_after(
    value: str | None, date: str | None, seconds: float | None, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse_retry_after(value, date) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


def test_retry_after_by_the_servers_own_clock() -> None:
    """The server's clock is an hour ahead. If it asks for ten seconds, it gets ten seconds."""
    ahead = pendulum.now("UTC").add(hours=1)
    form = "ddd, DD MMM YYYY HH:mm:ss [GMT]"
    until, now = ahead.add(seconds=10).format(form), ahead.format(form)
    verdict = judge(SEND, 429, {"Retry-After": until, "Date": now}, b"")
    assert verdict.retry_after == 10
    assert retry_delay(SEND, verdict, attempt=1, max_retries=1) == 10


@pytest.mark.parametrize(
    ("asked", "waits"), [(0, True), (MAX_RETRY_AFTER_IN_WORKER, True), (MAX_RETRY_AFTER_IN_WORKER + 1, False)]
)
def test_a_wait_is_bounded(asked: float, waits: bool) -> None:
    verdict = judge(SEND, 429, {"Retry-After": f"{asked}"}, b"")
    assert retry_delay(SEND, verdict, attempt=1, max_retries=5) == (asked if waits else None)


def test_back_off_grows_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: (low, high))
    verdict = Verdict(NOT_SENT)
    ranges = [retry_delay(SEND, verdict, attempt=attempt, max_retries=10) for attempt in range(1, 10)]
    assert ranges[:3] == [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]
    assert ranges[-1] == (15.0, 30.0)


@pytest.mark.parametrize("value", [0, 1, 10**18, "0", "007"])
def test_ticket_ids(value: int | str) -> None:
    assert parse_ticket_id(value) == int(value)


@pytest.mark.parametrize(
    ("value", "label", "why"),
    [
        (None, None, "value is missing"),
        ("", None, "value is empty"),
        (" \n", None, "value is empty"),
        (5, None, "value must be a string, not int"),
        (b"x", None, "value must be a string, not bytes"),
        (["x"], None, "value must be a string, not list"),
        ("x", 5, "the_label must be a string, not int"),
        ("None", None, "value is the text 'None'"),
        (" None\n", None, "value is the text 'None'"),
        ("x", "None", "the_label is the text 'None'"),
    ],
)
def test_a_message_that_is_none(value: Any, label: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_message(value, label, label_name="the_label")


@pytest.mark.parametrize("value", ["x" * 10**6, "\ud800", "\x00", 'a"b\\', "ä\U0001f600"])
def test_any_text_is_a_message(value: str) -> None:
    body = send_request(PassTarget(1), value=value, label=value).body
    assert body is not None
    assert json.loads(body) == {"label": value, "value": value} if value.strip() else {"value": value}


@pytest.mark.parametrize("label", ["", " ", "\n"])
def test_an_empty_label_is_no_label(label: str) -> None:
    assert send_request(PassTarget(1), value="x", label=label).body == b'{"value": "x"}'
