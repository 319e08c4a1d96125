"""Every way in which an answer can be broken, or only odd, and the verdict that it must get.

``python -m tests.answer_table`` plays all of it with both clients and prints the table.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, replace

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict, delete_request, send_request
from airflow_provider_passnotify.targets import PassTarget
from tests.clients import CLIENTS, config_for
from tests.servers import CLOSE, HANG, NOTHING, RESET, TICKET, Answer, Received, Server, answer
from tests.stalls import patient

SENT, NOT_SENT, REJECTED, UNKNOWN = Outcome.ACCEPTED, Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN
KEPT, CLOSED = "kept", "closed"
"""What becomes of the connection."""
LARGE = 12_000_000
"""More bytes than an operating system buffers while nobody reads them."""
REQUESTS = {
    "POST": send_request(PassTarget(1), value="20% off"),
    "DELETE": delete_request(PassTarget(1)),
    "GET": Request("GET", "/ticket/1"),
}
NEXT, NEXT_TICKET = send_request(PassTarget(2), value="the next one"), 222


@dataclass(frozen=True)
class Way:
    """One way to answer.

    :param reply: what the server does with each request.
    :param outcome: the outcome of a POST and a DELETE. It is also that of a GET, unless ``get`` is given.
    :param connection: whether the connection is kept, in the same way.
    :param unasked: what the server sends later on the kept connection, without a request.
    :param slow: whether the clients have to give up waiting.
    :param late: whether the deadline of the whole attempt ends it; ``None`` if this or a time-out may end it.
    :param aiohttp: the outcome in the asynchronous client, if the two clients must differ.
    :param large: whether a POST has a large body.
    :param small: the outcome of a DELETE and a GET, which have no large body.
    """

    reply: Answer
    outcome: Outcome
    connection: str
    get: tuple[Outcome, str] | None = None
    unasked: bytes = b""
    slow: bool = False
    late: bool | None = False
    aiohttp: tuple[Outcome, str] | None = None
    large: bool = False
    small: tuple[Outcome, str] | None = None

    def expected(self, client: str, method: str) -> tuple[Outcome, str]:
        """Return the outcome, and whether the connection is kept."""
        if self.small and method != "POST":
            return self.small
        if self.aiohttp and client == "aiohttp":
            return self.aiohttp
        return self.get if self.get and method == "GET" else (self.outcome, self.connection)


@dataclass(frozen=True)
class Cell:
    """The result of one way to answer, with one client and one method."""

    verdict: Verdict
    connection: str
    following: Verdict
    seconds: float


def play(way: Way, client: str, method: str) -> Cell:
    """Send a request to a server that answers in this way, then send another one with the same client."""
    request = REQUESTS[method]
    if way.large and method == "POST":
        request = send_request(PassTarget(1), value="x" * LARGE)
    started, seconds = time.monotonic(), 0.0
    server = _TableServer(way)

    def between() -> None:
        nonlocal seconds
        seconds = seconds or time.monotonic() - started
        if way.unasked and len(server.received) == 1:
            server.push(way.unasked)
        if way.reply.then in {CLOSE, RESET}:
            server.closed.wait()  # the next request could still go out on a connection that is just being closed

    try:
        # (If a busy machine is too slow for the short time-outs, the next request is sent once more.)
        options = {"timeout": [patient(0.4), patient(0.2)]} if way.slow else {}
        calls = [request] + [NEXT] * (5 if way.slow else 1)
        verdict, *following = CLIENTS[client](config_for(server.url, max_retries=0, **options), *calls, between=between)
        first = next(received for received in server.received if not _is_next(received))
        second = next(received for received in server.received if _is_next(received))
    finally:
        server.stop()
    connection = KEPT if first.connection == second.connection else CLOSED
    return Cell(verdict, connection, next((v for v in following if v.outcome is SENT), following[0]), seconds)


class _TableServer(Server):
    def __init__(self, way: Way) -> None:
        self._way = way
        super().__init__(())

    def _reply_to(self, request: Received) -> Answer:
        return answer(body={"ticketId": NEXT_TICKET}) if _is_next(request) else self._way.reply


def _is_next(request: Received) -> bool:
    return "/pass/2/" in request.target


def _head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def _api_error(status: int, code: object = None, **headers: str) -> Answer:
    body = {"code": status if code is None else code, "description": "No.", "details": "because"}
    return answer(status, headers, body)


def _html(status: int, **headers: str) -> Answer:
    return answer(status, headers, "<html>Oops</html>")


BODY = b'{"ticketId": 12345}'
JSON = "Content-Type: application/json"
OK = _head("200 OK", JSON, f"Content-Length: {len(BODY)}")
EVIL = answer(body={"ticketId": 666}).data
CHUNKED = _head("200 OK", JSON, "Transfer-Encoding: chunked")
CHUNK = b"13\r\n" + BODY + b"\r\n"
ZIPPED = gzip.compress(BODY)
BOMB = gzip.compress(b" " * 50_000_000)
NOT_FOUND = _head("404 Not Found", JSON, "Content-Length: 100")
DEEP = b"[" * 100_000 + b"]" * 100_000


def _odd(*bodies: object) -> dict[str, Way]:
    """A 200 without a usable ticketId. For a poll, it is as good as any other JSON."""
    return {f"200 with {body!s:.30}": Way(answer(body=body), UNKNOWN, CLOSED, get=(SENT, KEPT)) for body in bodies}


WAYS: dict[str, Way] = {
    # accepted
    "a ticket": Way(TICKET, SENT, KEPT),
    "201": Way(answer(201, body={"ticketId": "12345"}), SENT, KEPT),
    "no reason phrase": Way(Answer(b"HTTP/1.1 200\r\n" + TICKET.data.split(b"\r\n", 1)[1]), SENT, KEPT),
    "chunked": Way(Answer(CHUNKED + CHUNK + b"0\r\n\r\n"), SENT, KEPT),
    "chunked with a trailer": Way(Answer(CHUNKED + CHUNK + b"0\r\nX: y\r\n\r\n"), SENT, KEPT),
    "100 before": Way(Answer(_head("100 Continue") + TICKET.data), SENT, KEPT),
    "103 before": Way(Answer(_head("103 Early Hints", "Link: </x>") + TICKET.data), SENT, KEPT),
    "102, 103, 100 before": Way(Answer(_head("102 P") + _head("103 E") + _head("100 C") + TICKET.data), SENT, KEPT),
    "103 before a refusal": Way(Answer(_head("103 Early Hints") + _api_error(404).data), REJECTED, KEPT),
    "103 before a 502": Way(Answer(_head("103 Early Hints") + _html(502).data), UNKNOWN, CLOSED),
    "blanks around the length": Way(Answer(_head("200 OK", JSON, "Content-Length:  19 ") + BODY), SENT, KEPT),
    "blanks around the encoding": Way(
        Answer(_head("200 OK", JSON, "Transfer-Encoding:  Chunked ") + CHUNK + b"0\r\n\r\n"), SENT, KEPT
    ),
    "a header in two lines": Way(Answer(_head("200 OK", "X: a\r\n b", "Content-Length: 19") + BODY), SENT, KEPT),
    "a header in Latin-1": Way(Answer(_head("200 OK", "X: \xe9\xff", "Content-Length: 19") + BODY), SENT, KEPT),
    "an empty header": Way(Answer(_head("200 OK", "X:", "Content-Length: 19") + BODY), SENT, KEPT),
    "line ends without CR": Way(Answer(TICKET.data.replace(b"\r\n", b"\n")), SENT, KEPT),
    "gzip": Way(answer(200, {"Content-Encoding": "gzip"}, ZIPPED), SENT, KEPT),
    "a cookie of nonsense": Way(answer(200, {"Set-Cookie": '\xff=;;"=\x01'.replace("\x01", "")}, BODY), SENT, KEPT),
    "HTTP/1.0": Way(Answer(TICKET.data.replace(b"HTTP/1.1", b"HTTP/1.0"), CLOSE), SENT, CLOSED),
    "Connection: close": Way(answer(200, {"Connection": "close"}, BODY, then=CLOSE), SENT, CLOSED),
    "until the end": Way(Answer(_head("200 OK", JSON) + BODY, CLOSE), SENT, CLOSED),
    "gzip, until the end": Way(Answer(_head("200 OK", JSON, "Content-Encoding: gzip") + ZIPPED, CLOSE), SENT, CLOSED),
    "empty lines before": Way(Answer(b"\r\n\r\n" + TICKET.data), SENT, KEPT),
    "empty lines before a 404": Way(Answer(b"\r\n\r\n" + _api_error(404).data), REJECTED, KEPT),
    "an empty line behind it": Way(Answer(TICKET.data + b"\r\n"), SENT, CLOSED),
    "an empty line behind the chunks": Way(Answer(CHUNKED + CHUNK + b"0\r\n\r\n\r\n"), SENT, CLOSED),
    "a ticket with the code 200": Way(answer(body={"ticketId": 12345, "code": 200}), SENT, KEPT),
    # more than one answer
    "noise behind it": Way(Answer(TICKET.data + b"noise"), UNKNOWN, CLOSED),
    "half an answer behind it": Way(Answer(TICKET.data + EVIL[:30]), UNKNOWN, CLOSED),
    "another answer behind it": Way(Answer(TICKET.data + EVIL), UNKNOWN, CLOSED),
    "the same answer behind it": Way(Answer(TICKET.data * 2), UNKNOWN, CLOSED),
    "a 404 behind it": Way(Answer(TICKET.data + _api_error(404).data), UNKNOWN, CLOSED),
    "another answer behind the chunks": Way(Answer(CHUNKED + CHUNK + b"0\r\n\r\n" + EVIL), UNKNOWN, CLOSED),
    "half an answer behind the chunks": Way(Answer(CHUNKED + CHUNK + b"0\r\n\r\n" + EVIL[:30]), UNKNOWN, CLOSED),
    "404, noise behind it": Way(Answer(_api_error(404).data + b"noise"), UNKNOWN, CLOSED),
    "404, half an answer behind it": Way(Answer(_api_error(404).data + EVIL[:30]), UNKNOWN, CLOSED),
    "empty 404, half an answer behind it": Way(Answer(answer(404).data + EVIL[:30]), UNKNOWN, CLOSED),
    "404, another answer behind it": Way(Answer(_api_error(404).data + EVIL), UNKNOWN, CLOSED),
    "503 of the API, another answer behind it": Way(Answer(_api_error(503).data + EVIL), UNKNOWN, CLOSED),
    # more, but later
    "another answer later": Way(TICKET, SENT, CLOSED, unasked=EVIL),
    "half an answer later": Way(TICKET, SENT, CLOSED, unasked=EVIL[:30]),
    "a 404 later": Way(TICKET, SENT, CLOSED, unasked=_api_error(404).data),
    "a 103 later": Way(TICKET, SENT, CLOSED, unasked=_head("103 Early Hints")),
    # told to come back
    "429": Way(_html(429), NOT_SENT, KEPT),
    "503 of the API": Way(_api_error(503), NOT_SENT, KEPT),
    # refused
    **{f"{status} of the API": Way(_api_error(status), REJECTED, KEPT) for status in (400, 404, 408, 409, 422, 499)},
    **{f"{status} in HTML": Way(_html(status), REJECTED, KEPT) for status in (400, 401, 403, 404, 405, 406, 413)},
    "404, body cut": Way(Answer(NOT_FOUND + b'{"code"', CLOSE), REJECTED, CLOSED),
    "404, body reset": Way(Answer(NOT_FOUND + b'{"code"', RESET), REJECTED, CLOSED),
    "404, gzip that is none": Way(answer(404, {"Content-Encoding": "gzip"}, b"none"), REJECTED, CLOSED),
    "404, body stands still": Way(Answer(NOT_FOUND + b'{"code"', HANG), REJECTED, CLOSED, slow=True),
    # what a gateway may have written
    "503 of a cache": Way(_html(503, **{"Retry-After": "5"}), UNKNOWN, CLOSED),
    "503 whose code is another": Way(_api_error(503, 500), UNKNOWN, CLOSED),
    "503 with two codes": Way(answer(503, body=b'{"code": 500, "code": 503, "details": "x"}'), UNKNOWN, CLOSED),
    "409 with two codes": Way(answer(409, body=b'{"code": 500, "code": 409, "details": "x"}'), UNKNOWN, CLOSED),
    "404 with two codes": Way(answer(404, body=b'{"code": 500, "code": 404, "details": "x"}'), REJECTED, KEPT),
    "503, body cut": Way(Answer(_api_error(503).data[:-3], CLOSE), UNKNOWN, CLOSED),
    "409, body cut": Way(Answer(_api_error(409).data[:-3], CLOSE), UNKNOWN, CLOSED),
    **{f"{status} of a gateway": Way(_html(status), UNKNOWN, CLOSED) for status in (402, 407, 408, 409, 425, 460, 499)},
    **{f"{status}": Way(_html(status), UNKNOWN, CLOSED) for status in (500, 501, 502, 504, 520)},
    # no ticket
    **_odd({}, [], 5, {"ticketId": None}, {"ticketId": -1}, {"ticketId": 2**63}, {"ticketId": 1.0}, {"ticketId": -0.0}),
    **_odd({"ticketId": 1, "code": 404, "details": "Pass not found"}),
    "200 with two ticketIds": Way(answer(body=b'{"ticketId": 1, "ticketId": 2}'), UNKNOWN, CLOSED),
    "200 with two documents": Way(answer(body=BODY + BODY), UNKNOWN, CLOSED),
    **{f"{status} with a ticketId": Way(answer(status, body=BODY), UNKNOWN, CLOSED) for status in (206, 207, 226)},
    "200 with 4,000 digits": Way(answer(body=b'{"ticketId": ' + b"9" * 4000 + b"}"), UNKNOWN, CLOSED, (SENT, KEPT)),
    "200 with 5,000 digits": Way(answer(body=b'{"ticketId": ' + b"9" * 5000 + b"}"), UNKNOWN, CLOSED),
    "200 without JSON": Way(answer(body="OK"), UNKNOWN, CLOSED),
    "200 nested deeply": Way(answer(body=DEEP), UNKNOWN, CLOSED),
    "200 of 2 MB": Way(answer(body=b" " * 2_000_000 + BODY), UNKNOWN, CLOSED, get=(SENT, KEPT)),
    "200 of 17 MB": Way(answer(body=b" " * 17_000_000 + BODY), UNKNOWN, CLOSED),
    "204": Way(Answer(_head("204 No Content")), UNKNOWN, CLOSED),
    "302": Way(answer(302, {"Location": "https://elsewhere.example.com/"}), UNKNOWN, CLOSED),
    "302, Location not UTF-8": Way(answer(302, {"Location": "/\xff\xfe"}), UNKNOWN, CLOSED),
    "307, Location no URL": Way(answer(307, {"Location": "http://[::1"}), UNKNOWN, CLOSED),
    "101": Way(Answer(_head("101 Switching Protocols", "Upgrade: x", "Connection: upgrade"), CLOSE), UNKNOWN, CLOSED),
    # no answer, or none that can be read
    "closed": Way(NOTHING, UNKNOWN, CLOSED),
    "reset": Way(Answer(then=RESET), UNKNOWN, CLOSED),
    "no HTTP": Way(Answer(b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE), UNKNOWN, CLOSED),
    "status line cut": Way(Answer(b"HTTP/1.1 404 Not", CLOSE), UNKNOWN, CLOSED),
    "head cut": Way(Answer(OK[:-10], CLOSE), UNKNOWN, CLOSED),
    "head of a 404 cut in a line": Way(Answer(NOT_FOUND[:-10], CLOSE), UNKNOWN, CLOSED),
    "head of a 404 cut behind a line": Way(Answer(NOT_FOUND[:-2], CLOSE), UNKNOWN, CLOSED),
    "only 103": Way(Answer(_head("103 Early Hints"), CLOSE), UNKNOWN, CLOSED),
    "body cut": Way(Answer(TICKET.data[:-3], CLOSE), UNKNOWN, CLOSED),
    "body reset": Way(Answer(TICKET.data[:-3], RESET), UNKNOWN, CLOSED),
    "chunk cut": Way(Answer(CHUNKED + CHUNK[:-5], CLOSE), UNKNOWN, CLOSED),
    "no last chunk": Way(Answer(CHUNKED + CHUNK, CLOSE), UNKNOWN, CLOSED),
    "last chunk cut": Way(Answer(CHUNKED + CHUNK + b"0\r\n", CLOSE), UNKNOWN, CLOSED),
    "chunk size is nonsense": Way(Answer(CHUNKED + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n", CLOSE), UNKNOWN, CLOSED),
    "two lengths": Way(Answer(_head("200 OK", "Content-Length: 19", "Content-Length: 20") + BODY), UNKNOWN, CLOSED),
    "two lengths in one": Way(Answer(_head("200 OK", "Content-Length: 19, 20") + BODY), UNKNOWN, CLOSED),
    "length is a word": Way(Answer(_head("200 OK", "Content-Length: many") + BODY, CLOSE), UNKNOWN, CLOSED),
    "length is negative": Way(Answer(_head("200 OK", "Content-Length: -1") + BODY, CLOSE), UNKNOWN, CLOSED),
    "chunked, and a length": Way(
        Answer(_head("200 OK", "Content-Length: 19", "Transfer-Encoding: chunked") + CHUNK + b"0\r\n\r\n"),
        UNKNOWN,
        CLOSED,
    ),
    "the same length twice": Way(
        Answer(_head("200 OK", "Content-Length: 19", "Content-Length: 19") + BODY), UNKNOWN, CLOSED
    ),
    **{
        f"{status} with Transfer-Encoding {encoding!r}": Way(
            Answer(_head(f"{status} X", JSON, f"Transfer-Encoding: {encoding}") + CHUNK + b"0\r\n\r\n"), UNKNOWN, CLOSED
        )
        for encoding in ("gzip, chunked", "chunked\r\nTransfer-Encoding: chunked", "chunked, chunked")
        for status in (200, 404)
    },
    **{
        f"{status} with Transfer-Encoding {encoding!r} until the end": Way(
            Answer(_head(f"{status} X", JSON, f"Transfer-Encoding: {encoding}") + body, CLOSE), UNKNOWN, CLOSED
        )
        for encoding, body in (("gzip", ZIPPED), ("gzip", BODY), ("identity", BODY), ("nonsense", BODY))
        for status in (200, 404)
    },
    **{
        f"{status} with chunk size {size!r}": Way(
            Answer(CHUNKED.replace(b"200", status.encode()) + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n", CLOSE),
            UNKNOWN,
            CLOSED,
        )
        for size in (b"f" * 20, b"zz", b"-13", b"+13", b"0x13", b"1_3")
        for status in ("200", "404")
    },
    **{
        f"{status} with noise behind a chunk": Way(
            Answer(CHUNKED.replace(b"200", status.encode()) + CHUNK[:-2] + b"xx0\r\n\r\n", CLOSE), UNKNOWN, CLOSED
        )
        for status in ("200", "404")
    },
    **{
        f"{status} with the header {header!r}": Way(
            Answer(_head(f"{status} X", header, "Content-Length: 19") + BODY, CLOSE), UNKNOWN, CLOSED
        )
        for header in ("X: a\0b", "X: a\rb", "X : y", "Transfer-Encoding : chunked", "Content-Length : 5")
        for status in (200, 404)
    },
    **{
        f"begins with {line!r}": Way(Answer(line + TICKET.data.partition(b"\r\n")[2], CLOSE), UNKNOWN, CLOSED)
        for line in (
            b"HTTP/1.1 200 O\rK\r\n",
            b"HTTP/1.1 404 N\ro\r\n",
            b"\rHTTP/1.1\r200 OK\r\n",
            b" HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1  404 OK\r\n",
            b"HTTP/1.1\t200 OK\r\n",
            b"HTTP/1.1 0200 OK\r\n",
            b"HTTP/1.10 200 OK\r\n",
            b"HTTP/0.9 200 OK\r\n",
            b"HTTP/2.0 404 OK\r\n",
        )
    },
    "header without a colon": Way(Answer(_head("200 OK", "nonsense", "Content-Length: 19") + BODY), UNKNOWN, CLOSED),
    "endless header": Way(Answer(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, CLOSE), UNKNOWN, CLOSED),
    "99 headers": Way(Answer(_head("200 OK", *["X: y"] * 98, "Content-Length: 19") + BODY), SENT, KEPT),
    "100 headers": Way(Answer(_head("200 OK", *["X: y"] * 99, "Content-Length: 19") + BODY), UNKNOWN, CLOSED),
    "200 headers": Way(Answer(_head("200 OK", *["X: y"] * 200, "Content-Length: 19") + BODY), UNKNOWN, CLOSED),
    "a long header": Way(Answer(_head("200 OK", f"X: {'y' * 40_000}", "Content-Length: 19") + BODY), SENT, KEPT),
    "a long reason phrase": Way(Answer(_head("200 " + "x" * 40_000, "Content-Length: 19") + BODY), SENT, KEPT),
    **{
        f"{status} with the odd header {header!r}": Way(
            Answer(_head(f"{status} X", header, "Content-Length: 19") + BODY, CLOSE), UNKNOWN, CLOSED
        )
        for header in (": y", "X(y): z", "X\t: y", "X: a\rY: b", "X: a\rContent-Length: 5")
        for status in (200, 404)
    },
    **{
        f"{status} with a length of {len(length)} digits": Way(
            Answer(_head(f"{status} X", f"Content-Length: {length}") + BODY, CLOSE), UNKNOWN, CLOSED
        )
        for length in ("9" * 20, "9" * 40)
        for status in (200, 404)
    },
    "a length behind a control character": Way(
        Answer(_head("200 OK", "Content-Length:\x0b19") + BODY, CLOSE), UNKNOWN, CLOSED
    ),
    "a length in the next line": Way(Answer(_head("200 OK", "Content-Length:\r\n 19") + BODY), SENT, KEPT),
    "Connection: keep-alive, and close": Way(
        answer(200, {"Connection": "keep-alive\r\nConnection: close"}, BODY, then=CLOSE), SENT, CLOSED
    ),
    "Proxy-Connection: close": Way(answer(200, {"Proxy-Connection": "close"}, BODY, then=CLOSE), SENT, CLOSED),
    "99 headers in a 103": Way(Answer(_head("103 E", *["X: y"] * 99) + TICKET.data), SENT, KEPT),
    "a length in a 103": Way(Answer(_head("103 E", "Content-Length: 5") + TICKET.data), SENT, KEPT),
    **{
        f"{status} behind a {interim[:3]} with {len(headers)} times {headers[0]!r}": Way(
            Answer(_head(interim, *headers) + answer(status, body=BODY).data, CLOSE), UNKNOWN, CLOSED
        )
        for headers in (
            ["nonsense"],
            ["X : y"],
            ["X: y"] * 100,
            ["X: y"] * 200,
            ["Connection: close"],
            ["Connection: keep-alive", "Connection: close"],
            ["Proxy-Connection: close"],
            ["Transfer-Encoding: gzip"],
            ["Content-Length: 0"] * 2,
            ["Content-Encoding: gzip"] * 2,
            ["X: a\0b"],
        )
        for interim, status in (("103 Early Hints", 404), ("100 Continue", 200))
    },
    **{
        f"{status} behind a 103 of HTTP/1.0": Way(
            Answer(b"HTTP/1.0 103 Early Hints\r\n\r\n" + answer(status, body=BODY).data, CLOSE), UNKNOWN, CLOSED
        )
        for status in (200, 404)
    },
    **{
        f"{status} with the trailer {trailer[:20]!r}": Way(
            Answer(CHUNKED.replace(b"200", status.encode()) + CHUNK + b"0\r\n" + trailer + b"\r\n\r\n", CLOSE),
            UNKNOWN,
            CLOSED,
        )
        for trailer in (
            b"nonsense",
            b" X: y",
            b"X : y",
            b": y",
            b"X: a\rb",
            b"Content-Length: 19",
            b"X: " + b"y" * 70_000,
        )
        for status in ("200", "404")
    },
    "200 trailers": Way(Answer(CHUNKED + CHUNK + b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"), UNKNOWN, CLOSED),
    "a chunk size that ends without CR": Way(
        Answer(CHUNKED + CHUNK.replace(b"\r\n", b"\n", 1) + b"0\r\n\r\n"), UNKNOWN, CLOSED
    ),
    "until the end, which is a reset": Way(Answer(_head("200 OK", JSON) + BODY, RESET), UNKNOWN, CLOSED),
    "two Content-Encodings": Way(
        answer(200, {"Content-Encoding": "gzip\r\nContent-Encoding: gzip"}, ZIPPED), UNKNOWN, CLOSED
    ),
    "gzip that is none": Way(answer(200, {"Content-Encoding": "gzip"}, BODY), UNKNOWN, CLOSED),
    "gzip cut": Way(answer(200, {"Content-Encoding": "gzip"}, ZIPPED[:-9]), UNKNOWN, CLOSED),
    "gzip of 50 MB": Way(answer(200, {"Content-Encoding": "gzip"}, BOMB), UNKNOWN, CLOSED),
    "br": Way(answer(200, {"Content-Encoding": "br"}, BODY), UNKNOWN, CLOSED),
    # time-outs
    "nothing at all": Way(Answer(then=HANG), UNKNOWN, CLOSED, slow=True),
    "head stands still": Way(Answer(OK[:-10], HANG), UNKNOWN, CLOSED, slow=True),
    "body stands still": Way(Answer(TICKET.data[:-3], HANG), UNKNOWN, CLOSED, slow=True),
    "103, then nothing": Way(Answer(_head("103 Early Hints"), HANG), UNKNOWN, CLOSED, slow=True, late=None),
    # deadlines
    "head drips": Way(Answer(b"HTTP/1.1 200 OK\r\nX: ", drip=b"x"), UNKNOWN, CLOSED, slow=True, late=True),
    "head of a 404 drips": Way(Answer(b"HTTP/1.1 404 Gone\r\nX: ", drip=b"x"), UNKNOWN, CLOSED, slow=True, late=True),
    "status line drips": Way(Answer(drip=b"HTTP/1.1 200 OK "), UNKNOWN, CLOSED, slow=True, late=True),
    "body drips": Way(
        Answer(_head("200 OK", "Content-Length: 90000"), drip=b" "), UNKNOWN, CLOSED, slow=True, late=True
    ),
    "body of a 404 drips": Way(
        Answer(_head("404 Gone", "Content-Length: 90000"), drip=b" "), UNKNOWN, CLOSED, slow=True, late=True
    ),
    "a ticket, then drops until the end": Way(
        Answer(_head("200 OK") + BODY, drip=b" "), UNKNOWN, CLOSED, slow=True, late=True
    ),
    "chunks drip": Way(Answer(CHUNKED + CHUNK, drip=b"1\r\n \r\n"), UNKNOWN, CLOSED, slow=True, late=True),
    "a flood of 103": Way(Answer(flood=_head("103 Early Hints")), UNKNOWN, CLOSED, slow=True, late=True),
    "103 drips": Way(Answer(drip=_head("103 E")), UNKNOWN, CLOSED, slow=True, late=True),
    "a flood of empty lines in a trailer": Way(
        Answer(CHUNKED + CHUNK + b"0\r\nX: ", drip=b"y"), UNKNOWN, CLOSED, slow=True, late=True
    ),
    "the body is never read": Way(Answer(deaf=True, then=HANG), UNKNOWN, CLOSED, slow=True, late=None, large=True),
    "a ticket while the body is never read": Way(
        replace(TICKET, deaf=True, then=HANG), UNKNOWN, CLOSED, slow=True, late=None, large=True, small=(SENT, CLOSED)
    ),
    "a ticket, then closed, while the body is never read": Way(
        replace(TICKET, deaf=True, then=CLOSE), UNKNOWN, CLOSED, large=True, small=(SENT, CLOSED)
    ),
    "a ticket, then reset, while the body is never read": Way(
        replace(TICKET, deaf=True, then=RESET), UNKNOWN, CLOSED, large=True, small=(SENT, CLOSED)
    ),
    # requests reads only after it has written everything; aiohttp does both at once.
    "refused while the body is never read": Way(
        replace(_api_error(404), deaf=True, then=HANG),
        UNKNOWN,
        CLOSED,
        slow=True,
        late=None,
        large=True,
        aiohttp=(REJECTED, CLOSED),
        small=(REJECTED, CLOSED),
    ),
}


def main() -> None:
    """Print the table in Markdown."""
    print("| the answer | method | " + " | ".join(CLIENTS) + " | connection | seconds |")
    print("|---|---|" + "---|" * len(CLIENTS) + "---|---|")
    for name, way in WAYS.items():
        for method in REQUESTS:
            cells = [play(way, client, method) for client in CLIENTS]
            outcomes = " | ".join(cell.verdict.outcome.value for cell in cells)
            connections = " / ".join(dict.fromkeys(cell.connection for cell in cells))
            print(f"| {name} | {method} | {outcomes} | {connections} | {max(cell.seconds for cell in cells):.2f} |")


if __name__ == "__main__":
    main()
