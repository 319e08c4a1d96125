"""Why there is no usable answer: both clients say it in the same plain words."""

from __future__ import annotations

import gzip
import http.client
from pathlib import Path

import pytest

from airflow_provider_passnotify.api.attempt import SeveralAnswersError
from airflow_provider_passnotify.api.failure_text import BREAKS_RULES, causes, failure_text
from tests.certificates import make_certificate
from tests.clients import SEND, Call, config_for
from tests.servers import CLOSE, HANG, NOTHING, RESET, TICKET, Answer, answer, closed_port, serving
from tests.stalls import again_if_stalled, patient

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

_OK = b"HTTP/1.1 200 OK\r\n"
_TICKET = b'{"ticketId": 12345}'
ANSWERS = {
    "the server closed the connection without an answer": [NOTHING],
    "the connection was broken off": [Answer(then=RESET)],
    "the answer was cut off": [
        Answer(b"HTTP/1.1 200", CLOSE),
        Answer(_OK + b"Content-Len", CLOSE),
        Answer(_OK + b"Content-Length: 100\r\n\r\n" + _TICKET, CLOSE),
        Answer(_OK + b"Content-Length: 100\r\n\r\n" + _TICKET, RESET),
        Answer(_OK + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + _TICKET + b"\r\n", CLOSE),
        Answer(_OK + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + _TICKET + b"\r\n0\r\n", CLOSE),
    ],
    BREAKS_RULES: [
        Answer(b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE),
        Answer(_OK + b"Content-Length: 19\r\nContent-Length: 19\r\n\r\n" + _TICKET, CLOSE),
        Answer(_OK + b"Transfer-Encoding: chunked\r\n\r\n+13\r\n" + _TICKET + b"\r\n0\r\n\r\n", CLOSE),
    ],
    str(SeveralAnswersError()): [Answer(TICKET.data * 2)],
    "the answer has a header line that is too long": [Answer(_OK + b"X: " + b"x" * 100_000, CLOSE)],
    "the answer has too many headers": [
        answer(headers={f"X-{number}": "x" for number in range(count)}, body=_TICKET) for count in (98, 300)
    ],
    "the answer is larger than 1 MB": [answer(body=b" " * 1_100_000)],
    "the decompressed answer is larger than 1 MB": [
        answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b" " * 50_000_000))
    ],
    "the answer could not be decompressed: it is no gzip": [answer(headers={"Content-Encoding": "gzip"}, body=_TICKET)],
    "the answer could not be decompressed: its gzip was cut off": [
        answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(_TICKET)[:-9])
    ],
    "the answer could not be decompressed: its Content-Encoding is 'br'": [
        answer(headers={"Content-Encoding": "br"}, body=_TICKET)
    ],
}
CASES = [(words, reply) for words, replies in ANSWERS.items() for reply in replies]


@pytest.mark.parametrize(("words", "reply"), CASES, ids=[f"{words} {n}" for n, (words, _) in enumerate(CASES)])
def test_an_answer_that_cannot_be_used(call: Call, words: str, reply: Answer) -> None:
    with serving(reply) as server:
        (verdict,) = call(config_for(server.url, max_retries=0), SEND)
    assert verdict.reason == f"no usable answer: 127.0.0.1:{server.port}: {words}"


@pytest.mark.parametrize(
    ("begun", "words"),
    [(b"", ": nothing came for"), (_OK + b"Content-Length: 9\r\n\r\n{", "cut off: nothing more came for")],
    ids=["no answer", "half an answer"],
)
@again_if_stalled
def test_a_read_time_out(call: Call, begun: bytes, words: str) -> None:
    with serving(Answer(begun, HANG)) as server:
        (verdict,) = call(config_for(server.url, max_retries=0, timeout=[20, patient(0.2)]), SEND)
    assert verdict.reason.startswith(f"no usable answer: 127.0.0.1:{server.port}: ")
    assert verdict.reason.endswith(f"{words} {patient(0.2):g} s")


def test_nothing_listens(call: Call) -> None:
    with closed_port() as port:
        (verdict,) = call(config_for(f"http://127.0.0.1:{port}", max_retries=0), SEND)
    assert verdict.reason == f"unreachable: 127.0.0.1:{port}: connection refused"


def test_a_host_that_does_not_exist(call: Call) -> None:
    (verdict,) = call(config_for("https://no-such-host.invalid", max_retries=0), SEND)
    assert verdict.reason.startswith("unreachable: no-such-host.invalid:443: the address of the host was not found (")


def test_no_tls(call: Call) -> None:
    with serving(answer(400)) as server:
        (verdict,) = call(config_for(server.url.replace("http:", "https:"), max_retries=0), SEND)
    assert verdict.reason.startswith(f"TLS problem: 127.0.0.1:{server.port}: no TLS connection could be made: ")


def test_a_certificate_that_nobody_knows(call: Call, tmp_path: Path) -> None:
    with serving(tls=make_certificate(tmp_path).context) as server:
        (verdict,) = call(config_for(server.url, max_retries=0), SEND)
    words = "the server's certificate is refused: self-signed certificate"
    assert verdict.reason == f"TLS problem: 127.0.0.1:{server.port}: {words}"


def test_a_proxy_that_refuses(call: Call) -> None:
    with serving(answer(407)) as proxy:
        (verdict,) = call(config_for("https://api.example.com", proxies={"https": proxy.url}, max_retries=0), SEND)
    where = f"api.example.com:443 through the proxy 127.0.0.1:{proxy.port}"
    assert verdict.reason == f"unreachable: {where}: the proxy answered with HTTP 407"


def text(error: Exception | None, *, is_sent: bool = True, has_begun: bool = False) -> str:
    return failure_text(error, timeout=(3.0, 10.0), is_sent=is_sent, has_begun=has_begun)


def test_time_outs() -> None:
    assert text(TimeoutError("timed out"), is_sent=False) == "no connection within 3 s"
    assert text(TimeoutError()) == "nothing came for 10 s"
    assert text(TimeoutError(), has_begun=True) == "the answer was cut off: nothing more came for 10 s"


def test_what_has_no_words_of_ours() -> None:
    """The text of the operating system; else the class and the text of the innermost error."""
    assert text(OSError(113, "Connect call failed ('192.0.2.1', 443)")) == "No route to host"
    assert text(KeyError("x")) == "KeyError: 'x'"
    assert text(None) == "the reason is not known"
    assert text(http.client.HTTPException("odd")) == BREAKS_RULES


def test_the_innermost_cause_is_told() -> None:
    error = RuntimeError("https://api.example.com/secret")
    error.__context__ = ConnectionResetError(104, "Connection reset by peer")
    assert list(causes(error)) == [error, error.__context__]
    assert text(error) == "the connection was broken off"
    assert text(error, has_begun=True) == "the answer was cut off"


def test_a_cause_that_is_hidden_is_not_told() -> None:
    error = ValueError("the answer could not be decompressed: it is no gzip")
    error.__context__, error.__suppress_context__ = ConnectionResetError(104, "Connection reset by peer"), True
    assert text(error) == "the answer could not be decompressed: it is no gzip"
