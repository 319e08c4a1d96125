"""Verdicts of both clients with a server that misbehaves. A request that may have been carried out is not repeated."""

from __future__ import annotations

import pytest

from airflow_provider_passnotify.api.protocol import MAX_ANSWER_BYTES, Outcome, Request, TransportFailure
from tests.clients import DELETE, LOOK, SEND, Call, config_for
from tests.servers import CLOSE, HANG, NOTHING, RESET, TICKET, Answer, answer, serving
from tests.stalls import again_if_stalled, patient

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

CUT = answer(body={"ticketId": 12345}).data[:-3]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LOST = {
    "closed without an answer": NOTHING,
    "reset without an answer": Answer(then=RESET),
    "closed within the headers": Answer(b"HTTP/1.1 200 OK\r\nContent-Ty", CLOSE),
    "no HTTP": Answer(b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE),
    "body cut": Answer(CUT, CLOSE),
    "body reset": Answer(CUT, RESET),
    "chunk cut": Answer(CHUNKED + b'20\r\n{"ticketId": 1', CLOSE),
    "chunk size is nonsense": Answer(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", CLOSE),
    "two lengths": Answer(b'HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n{"a"}', CLOSE),
    "length is a word": Answer(b'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{"a"}', CLOSE),
    "gzip that is none": answer(200, {"Content-Encoding": "gzip"}, b"not gzip at all"),
    "endless header": Answer(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, CLOSE),
}
BUSY = {"code": 503, "description": "Busy", "details": "later"}
ANSWERS = {
    "500": answer(500, body="Internal Server Error"),
    "502": answer(502, body="<html>Bad Gateway</html>"),
    "bare 503": answer(503),
    "504": answer(504),
    "503 of a cache": answer(503, {"Retry-After": "5"}, "<html>Guru Meditation</html>"),
    "503 whose code is another": answer(503, {"Retry-After": "0"}, {**BUSY, "code": 500}),
    **{f"{status} of a gateway": answer(status, body="<html>") for status in (402, 407, 408, 409, 410, 422, 460, 499)},
    "200 without JSON": answer(200, body="OK"),
    "200 without ticketId": answer(200, body={"ok": True}),
    "200, ticketId a word": answer(200, body={"ticketId": "soon"}),
    "200, ticketId negative": answer(200, body={"ticketId": -1}),
    "200 with a list": answer(200, body=[1]),
    "204": answer(204),
    "redirect": answer(302, {"Location": "https://elsewhere.example.com/"}),
    "307": answer(307, {"Location": "/v1/other"}),
}


@pytest.mark.parametrize("reply", LOST.values(), ids=LOST)
def test_a_push_that_may_be_out_is_on_the_wire_once(call: Call, reply: Answer) -> None:
    with serving(reply, TICKET) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.UNKNOWN, verdict
    assert verdict.may_have_been_sent
    assert server.lines == ["POST /v1/pass/123/notify HTTP/1.1"]


@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
def test_a_push_whose_answer_leaves_it_open_is_on_the_wire_once(call: Call, reply: Answer) -> None:
    with serving(reply, TICKET) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.UNKNOWN, verdict
    assert len(server.received) == 1


@pytest.mark.parametrize("request_", [DELETE, LOOK], ids=["DELETE", "GET"])
@pytest.mark.parametrize("reply", [*LOST.values(), ANSWERS["502"]], ids=[*LOST, "502"])
def test_what_is_idempotent_is_repeated(call: Call, reply: Answer, request_: Request) -> None:
    with serving(reply, reply, TICKET) as server:
        (verdict,) = call(config_for(server.url), request_)
    assert verdict.outcome is Outcome.ACCEPTED, verdict
    assert len(server.received) >= 3


def test_idempotent_calls_give_up_after_max_retries(call: Call) -> None:
    with serving(answer(502)) as server:
        (verdict,) = call(config_for(server.url, max_retries=2), DELETE)
    assert verdict.outcome is Outcome.UNKNOWN
    assert len(server.received) == 3


@pytest.mark.parametrize("then", [HANG])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", CUT], ids=["nothing", "half a head", "half a body"])
@again_if_stalled
def test_a_read_time_out_is_unknown(call: Call, sent: bytes, then: str) -> None:
    with serving(Answer(sent, then), TICKET) as server:
        (verdict,) = call(config_for(server.url, timeout=[5, patient(0.3)]), SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.UNKNOWN, TransportFailure.LOST)
    assert len(server.received) == 1


def test_a_refusal_counts_even_if_its_body_is_cut(call: Call) -> None:
    with serving(Answer(answer(404, body={"code": 404}).data[:-3], CLOSE)) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert (verdict.outcome, verdict.status_code) == (Outcome.REJECTED, 404)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 422])
def test_a_refusal_is_final(call: Call, status: int) -> None:
    error = {"code": status, "description": "No.", "details": "because"}
    with serving(answer(status, body=error)) as server:
        verdicts = call(config_for(server.url), SEND, DELETE)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.REJECTED}
    assert (verdicts[0].code, verdicts[0].description, verdicts[0].details) == (status, "No.", "because")
    assert len(server.received) == 2


def test_the_unreadable_key_is_a_refusal(call: Call) -> None:
    with serving(answer(500, body={"code": 500, "description": "Error reading the api key"})) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.credentials_refused
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "reply",
    [
        answer(429),
        answer(429, {"Retry-After": "0"}),
        answer(503, {"Retry-After": "0"}, BUSY),
        answer(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, BUSY),
        answer(503, body=BUSY),
    ],
)
def test_a_push_that_was_told_to_come_back_is_repeated(call: Call, reply: Answer) -> None:
    with serving(reply, reply, TICKET) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert (verdict.outcome, verdict.ticket_id) == (Outcome.ACCEPTED, 12345)
    assert len(server.received) == 3
    assert len({request.body for request in server.received}) == 1


def test_a_longer_retry_after_than_we_wait_is_left_to_airflow(call: Call) -> None:
    with serving(answer(429, {"Retry-After": "3600"})) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert (verdict.outcome, verdict.retry_after) == (Outcome.NOT_SENT, 3600)
    assert len(server.received) == 1


def test_two_retry_afters_are_none(call: Call) -> None:
    """Nobody knows which of them counts. (Without one, the clients wait as long as they think best.)"""
    twice = answer(429, {"Retry-After": "3600\r\nRetry-After: 5"})
    with serving(twice, TICKET) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict
    assert len(server.received) == 2


def test_no_redirect_is_followed(call: Call) -> None:
    with serving() as elsewhere, serving(answer(301, {"Location": elsewhere.url})) as server:
        verdicts = call(config_for(server.url, max_retries=0), SEND, DELETE, LOOK)
    assert elsewhere.received == []
    assert all(elsewhere.url in verdict.reason for verdict in verdicts)


def test_an_answer_that_does_not_end_is_not_read_to_its_end(call: Call) -> None:
    flood = Answer(CHUNKED + b"%x\r\n" % (MAX_ANSWER_BYTES * 4) + b" " * (MAX_ANSWER_BYTES + 10), HANG)
    with serving(flood) as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.UNKNOWN
