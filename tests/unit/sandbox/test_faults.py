"""Each fault does what it says, and the deliveries show whether the push was sent."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from email.utils import parsedate_to_datetime

import pytest
import requests

TOO_LARGE_FOR_ANY_BUFFER = 64 * 1024 * 1024


def push(sandbox, path="pass/123/notify", method="POST", timeout=30, **options):
    return requests.request(
        method,
        f"{sandbox.url}/v1/{path}",
        json={"value": "x"},
        auth=sandbox.credential,
        timeout=timeout,
        allow_redirects=False,
        **options,
    )


def delivered(sandbox):
    return sandbox.counts().get("123", 0)


def raw_request(sandbox, body=b'{"value": "x"}', length=None):
    """Write one request and return the connection, without waiting for the answer."""
    host, _, port = sandbox.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(
        b"POST /v1/pass/123/notify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic c2FuZGJveDpzYW5kYm94\r\n"
        b"Content-Length: %d\r\n\r\n" % (length or len(body)) + body
    )
    return connection


@pytest.mark.parametrize("deliver", [None, False, True])
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_status(sandbox, status, deliver):
    fields = {} if deliver is None else {"deliver": deliver}
    sandbox.add_fault("status", status=status, times=1, **fields)
    answer = push(sandbox)
    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert "Retry-After" not in answer.headers
    assert delivered(sandbox) == (1 if deliver else 0)
    assert push(sandbox).status_code == 200


def test_status_with_everything(sandbox):
    sandbox.add_fault("status", status=503, body="<h1>Bad gateway</h1>", headers={"Server": "nginx"}, retry_after=7)
    answer = push(sandbox)
    assert (answer.text, answer.headers["Content-Type"]) == ("<h1>Bad gateway</h1>", "text/html")
    assert (answer.headers["Server"], answer.headers["Retry-After"]) == ("nginx", "7")


def test_retry_after_as_a_date(sandbox):
    sandbox.add_fault("status", status=429, retry_after=3600, retry_after_date=True)
    then = parsedate_to_datetime(push(sandbox).headers["Retry-After"]).timestamp()
    assert 3000 < then - time.time() < 4000


def test_latency_comes_after_the_delivery_and_adds_to_other_faults(sandbox):
    sandbox.add_fault("latency", latency=3600)
    with raw_request(sandbox):
        sandbox.wait_for(1)
        # Control requests do not wait. The delivery did not wait either.
        answer = requests.get(f"{sandbox.url}/_sandbox/deliveries", params={"counts": True}, timeout=30)
        assert answer.json() == {"total": 1, "passes": {"123": 1}}
    sandbox.reset()
    sandbox.add_fault("latency", latency=0.2)
    sandbox.add_fault("status", status=500)
    begun = time.monotonic()
    assert push(sandbox).status_code == 500
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("deliver", [True, False])
def test_read_timeout(sandbox, deliver):
    sandbox.add_fault("read_timeout", deliver=deliver, times=1)
    with raw_request(sandbox) as connection:
        sandbox.wait_for(1, held=1)
        assert sandbox.release() == 0  # it is never answered
        assert delivered(sandbox) == int(deliver)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert sandbox.requests()["statuses"] == {}


@pytest.mark.parametrize("deliver", [True, False])
def test_close_after(sandbox, deliver):
    sandbox.add_fault("close_after", deliver=deliver, times=1)
    with raw_request(sandbox) as connection:
        assert connection.recv(1) == b""
    assert delivered(sandbox) == int(deliver)
    assert sandbox.requests()["last"][0]["status"] is None
    assert push(sandbox).status_code == 200


def test_close_after_a_large_body(sandbox):
    sandbox.add_fault("close_after")
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post(
            f"{sandbox.url}/v1/pass/123/notify",
            json={"value": "x" * 10_000_000},
            auth=sandbox.credential,
            timeout=30,
        )
    assert delivered(sandbox) == 1


def test_close_before(sandbox):
    sandbox.add_fault("close_before", times=1, method="POST", path="^/v1/pass/123/")
    with raw_request(sandbox) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert delivered(sandbox) == 0
    assert sandbox.requests()["total"] == 0  # it was not read
    assert requests.get(f"{sandbox.url}/_sandbox/faults", timeout=30).json()["faults"][0]["hit"] == 1
    assert push(sandbox).status_code == 200


def test_close_before_hits_a_connection_that_was_kept_alive(sandbox):
    with requests.Session() as session:
        session.auth = sandbox.credential
        session.get(f"{sandbox.url}/v1/ticket/0", timeout=30)
        sandbox.add_fault("close_before", nth=1)
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"{sandbox.url}/v1/ticket/0", timeout=30)
    assert sandbox.requests()["methods"]["GET"] == 1


def test_close_before_never_locks_the_control_out(sandbox):
    sandbox.add_fault("close_before")
    for _ in range(3):
        assert requests.get(f"{sandbox.url}/_sandbox/faults", timeout=30).status_code == 200
    requests.delete(f"{sandbox.url}/_sandbox/faults", timeout=30)
    assert push(sandbox).status_code == 200


@pytest.mark.parametrize("deliver", [True, False])
def test_cut_body(sandbox, deliver):
    sandbox.add_fault("cut_body", deliver=deliver)
    with raw_request(sandbox) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        with pytest.raises(http.client.IncompleteRead) as caught:
            answer.read()
    assert answer.status == 200
    assert caught.value.partial
    assert delivered(sandbox) == int(deliver)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "<html>This is not JSON.</html>"),
        ({"body": {"ticketId": -1}}, '{"ticketId": -1}'),
        ({"body": {}, "status": 202}, "{}"),
        ({"body": None}, "null"),
        ({"body": "", "status": 204}, ""),
    ],
)
def test_body(sandbox, fields, text):
    sandbox.add_fault("body", **fields)
    answer = push(sandbox)
    assert (answer.status_code, answer.text) == (fields.get("status", 200), text)
    assert delivered(sandbox) == 1


@pytest.mark.parametrize("deliver", [None, True])
def test_redirect(sandbox, deliver):
    fields = {} if deliver is None else {"deliver": deliver}
    sandbox.add_fault("redirect", location="http://127.0.0.1:1/elsewhere", **fields)
    answer = push(sandbox)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:1/elsewhere")
    assert delivered(sandbox) == int(bool(deliver))


def test_hold_before_the_body_is_read(sandbox):
    sandbox.add_fault("hold", stage="headers", times=1)
    value = b"x" * TOO_LARGE_FOR_ANY_BUFFER
    body = b'{"value": "%b"}' % value
    written, answers = [], []
    with raw_request(sandbox, b"{", len(body)) as connection:

        def write():
            connection.sendall(body[1:])
            written.append(True)
            answers.append(connection.recv(15))

        writer = threading.Thread(target=write)
        sandbox.wait_for(1, method="POST", held=1)
        writer.start()
        assert push(sandbox).status_code == 200  # other requests are not held
        assert not written
        assert delivered(sandbox) == 1
        assert sandbox.release() == 1
        writer.join()
    assert answers == [b"HTTP/1.1 200 OK"]
    assert delivered(sandbox) == 2


def test_hold_after_the_delivery(sandbox):
    sandbox.add_fault("hold", stage="accepted")
    with raw_request(sandbox) as connection:
        sandbox.wait_for(held=1)
        assert delivered(sandbox) == 1
        requests.post(f"{sandbox.url}/_sandbox/release", timeout=30)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_client_that_goes_away_is_not_held_any_more(sandbox):
    sandbox.add_fault("hold", stage="accepted")
    for times in (1, 2):
        with raw_request(sandbox):
            sandbox.wait_for(held=1)
        sandbox.wait_until(lambda log: log.held == 0)
        assert delivered(sandbox) == times


def test_client_that_goes_away_half_written_is_not_delivered(sandbox):
    sandbox.add_fault("hold", stage="headers", times=1)
    with raw_request(sandbox, b'{"value": ', 100):
        sandbox.wait_for(held=1)
    sandbox.release()
    assert push(sandbox).status_code == 200
    assert delivered(sandbox) == 1


def test_reset_drops_what_is_held(sandbox):
    for stage in ("headers", "accepted"):
        sandbox.add_fault("hold", stage=stage)
        with raw_request(sandbox) as connection:
            sandbox.wait_for(held=1)
            sandbox.reset()
            assert connection.recv(1) == b""
        assert delivered(sandbox) == 0


def test_selectors(sandbox):
    def outcomes(count=6, **options):
        return [push(sandbox, **options).status_code for _ in range(count)]

    sandbox.add_fault("status", status=500, method="DELETE", path=r"templateId=12345$", skip=1, times=2)
    assert outcomes(2) == [200, 200]
    tag = {"path": "tag/campaign123/notify?templateId=12345", "method": "DELETE"}
    assert outcomes(5, **tag) == [200, 500, 500, 200, 200]
    told = requests.get(f"{sandbox.url}/_sandbox/faults", timeout=30).json()["faults"]
    assert [(fault["matched"], fault["hit"]) for fault in told] == [(5, 2)]
    sandbox.clear_faults()
    sandbox.add_fault("status", status=500, nth=3)
    assert outcomes() == [200, 200, 500, 200, 200, 200]


def test_share_can_be_repeated(sandbox):
    def outcomes(seed):
        sandbox.reset()
        sandbox.add_fault("status", status=500, share=0.5, seed=seed)
        return [push(sandbox).status_code for _ in range(40)]

    first = outcomes(1)
    assert set(first) == {200, 500}
    assert outcomes(1) == first
    assert outcomes(2) != first


def test_first_fault_that_hits_decides(sandbox):
    sandbox.add_fault("status", status=500, times=1)
    sandbox.add_fault("status", status=404)
    assert [push(sandbox).status_code for _ in range(2)] == [500, 404]


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({}, "action"),
        ({"action": "explode"}, "explode"),
        ({"action": "status"}, "status"),
        ({"action": "status", "status": 200}, "400"),
        ({"action": "status", "status": 500, "share": 2}, "share"),
        ({"action": "status", "status": 500, "path": "("}, "regular expression"),
        ({"action": "status", "status": 500, "nth": 1, "times": 2}, "nth"),
        ({"action": "status", "status": 500, "headers": {"a b": "c"}}, "header"),
        ({"action": "status", "status": 500, "headers": {"X": "a\r\nb"}}, "header"),
        ({"action": "status", "status": 500, "headers": {"Content-Length": "1"}}, "cut_body"),
        ({"action": "hold", "stage": "later"}, "stage"),
        ({"action": "hold", "stage": "headers", "deliver": True}, "deliver"),
        ({"action": "latency"}, "latency"),
        ({"action": "close_before", "deliver": True}, "deliver"),
        ({"action": "redirect"}, "location"),
        ({"action": "redirect", "location": "http://x/\r\nA: b"}, "location"),
        ({"action": "redirect", "location": "http://x/🎉"}, "location"),
        (["status"], "dict"),
    ],
)
def test_faults_are_validated(sandbox, fault, word):
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=30)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 1  # only what is wrong with this action
    assert word in json.dumps(answer.json())
    assert requests.get(f"{sandbox.url}/_sandbox/faults", timeout=30).json() == {"faults": []}


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "1e999"])
def test_endless_numbers_are_refused(sandbox, seconds):
    """Python can read these numbers from JSON, but it cannot sleep for so long and cannot write them as JSON."""
    for path, order in [
        ("faults", '{"action": "latency", "latency": %s}'),
        ("tickets", '{"seconds": %s}'),
        ("rate-limit", '{"per_second": %s}'),
    ]:
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{sandbox.url}/_sandbox/{path}", data=order % seconds, headers=headers, timeout=30)
        assert answer.status_code == 422
        assert "finite" in answer.text


def test_half_a_surrogate_pair_can_be_asked_for(sandbox):
    fault = {"action": "status", "status": 500, "body": "\ud800"}
    assert requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=30).json()["faults"][0]["hit"] == 0
    assert push(sandbox).content == b"\xed\xa0\x80"


def test_requests_written_at_once_are_told_apart(sandbox):
    sandbox.add_fault("close_after", nth=2, deliver=False)
    request = (
        b"POST /v1/pass/123/notify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic c2FuZGJveDpzYW5kYm94\r\n"
        b'Content-Length: 14\r\n\r\n{"value": "x"}'
    )
    with raw_request(sandbox, b'{"value": "x"}' + 2 * request, 14) as connection:
        answers = b""
        while more := connection.recv(4096):
            answers += more
    assert answers.count(b"200 OK") == 1
    assert delivered(sandbox) == 1


def test_fault_by_the_control_endpoint(sandbox):
    fault = {"action": "status", "status": 503, "times": 1}
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=30)
    assert (answer.status_code, answer.json()) == (201, {"faults": [{**fault, "matched": 0, "hit": 0}]})
    assert push(sandbox).status_code == 503


def test_rate_limit(sandbox):
    requests.post(f"{sandbox.url}/_sandbox/rate-limit", json={"per_second": 0.01}, timeout=30)
    assert push(sandbox).status_code == 200
    refused = push(sandbox)
    assert refused.status_code == 429
    assert refused.json()["code"] == 429
    assert 1 < int(refused.headers["Retry-After"]) <= 100
    assert delivered(sandbox) == 1
    sandbox.limit_rate(None)
    assert push(sandbox).status_code == 200


@pytest.mark.parametrize("limit", [0, -1, "many"])
def test_rate_limit_is_validated(sandbox, limit):
    answer = requests.post(f"{sandbox.url}/_sandbox/rate-limit", json={"per_second": limit}, timeout=30)
    assert answer.status_code == 422
