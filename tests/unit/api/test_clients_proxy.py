"""Both clients through a proxy: the connection's, the environment's, or none."""

from __future__ import annotations

import base64
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_passnotify.api.protocol import Outcome, TransportFailure
from tests.certificates import make_certificate
from tests.clients import DELETE, SEND, Call, config_for
from tests.servers import CLOSE, HANG, TICKET, Answer, Received, Server, answer, closed_port, serving

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

HOST = "http://api.example.com"  # only a proxy can find this host
HTTPS = "https://api.example.com"


class Tunnel(Server):
    """A proxy that accepts CONNECT and sends all bytes to one server."""

    def __init__(self, to: Server) -> None:
        self._to = to
        super().__init__((answer(200, {"Content-Length": ""}),))

    def _converse(self, connection: socket.socket, number: int) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        self.received.append(Received(head, b"", number))
        with socket.create_connection((self._to.host, self._to.port)) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pairs = {connection: onward, onward: connection}
            while True:
                for ready in select.select(list(pairs), [], [])[0]:
                    if not (data := ready.recv(65536)):
                        return
                    pairs[ready].sendall(data)


@contextmanager
def tunnelling(to: Server) -> Iterator[Tunnel]:
    proxy = Tunnel(to)
    try:
        yield proxy
    finally:
        proxy.stop()


def test_http_goes_through_the_proxy_of_the_connection(call: Call) -> None:
    with serving() as proxy:
        config = config_for(HOST, allow_http=True, proxies={"http": proxy.url})
        verdicts = call(config, SEND, DELETE)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 2
    assert proxy.lines[0] == f"POST {HOST}/v1/pass/123/notify HTTP/1.1"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""], ids=["url", "bare"])
def test_the_proxy_of_the_environment(call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str) -> None:
    with serving() as proxy:
        monkeypatch.setenv(variable, f"{scheme}127.0.0.1:{proxy.port}")
        (verdict,) = call(config_for(HOST, allow_http=True, max_retries=0), SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict


def test_the_connection_outweighs_the_environment(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy, serving() as other:
        monkeypatch.setenv("http_proxy", other.url)
        call(config_for(HOST, allow_http=True, proxies={"all": proxy.url}), SEND)
    assert (len(proxy.received), len(other.received)) == (1, 0)


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
def test_a_loopback_host_needs_no_proxy(call: Call, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", no_proxy)
        call(config_for(server.url), SEND)
    assert (len(proxy.received), len(server.received)) == (0, 1)


def test_no_proxies_means_none(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        config = config_for("http://api.example.invalid", allow_http=True, proxies={}, max_retries=0)
        (verdict,) = call(config, SEND)
    assert verdict.outcome is Outcome.NOT_SENT
    assert proxy.received == []


def test_https_is_tunnelled_and_the_proxy_sees_no_credential(call: Call, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, host="api.example.com")
    with serving(tls=certificate.context) as server, tunnelling(server) as proxy:
        proxies = {"https": f"http://someone:p%40ss@127.0.0.1:{proxy.port}"}
        config = config_for(HTTPS, proxies=proxies, verify=str(certificate.path), max_retries=0)
        (verdict,) = call(config, SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict
    (connect,) = proxy.received
    assert (connect.method, connect.target) == ("CONNECT", "api.example.com:443")
    assert "authorization" not in connect.headers
    assert connect.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"someone:p@ss").decode()
    assert "proxy-authorization" not in server.received[0].headers


@pytest.mark.parametrize("status", [403, 407, 502, 503])
def test_a_tunnel_that_is_refused_is_certainly_not_sent(call: Call, status: int) -> None:
    with serving(answer(status, body="no")) as proxy:
        (verdict,) = call(config_for(HTTPS, proxies={"https": proxy.url}, max_retries=1), SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE), verdict
    assert [request.method for request in proxy.received] == ["CONNECT"] * 2


def test_a_tunnel_that_is_never_answered(call: Call) -> None:
    with serving(Answer(then=HANG)) as proxy:
        config = config_for(HTTPS, proxies={"https": proxy.url}, timeout="0.3,0.3", max_retries=0)
        (verdict,) = call(config, SEND)
    assert verdict.outcome is Outcome.NOT_SENT, verdict


@pytest.mark.parametrize("host", [HOST, HTTPS])
def test_a_proxy_whose_certificate_nobody_knows_gets_nothing(call: Call, tmp_path: Path, host: str) -> None:
    with serving(tls=make_certificate(tmp_path).context) as proxy:
        proxies = {"all": f"https://someone:p%40ss@127.0.0.1:{proxy.port}"}
        (verdict,) = call(config_for(host, allow_http=True, proxies=proxies, max_retries=0), SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.TLS), verdict
    assert "certificate is refused" in verdict.reason
    assert proxy.received == []


def test_http_goes_through_a_proxy_that_speaks_tls(call: Call, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with serving(tls=certificate.context) as proxy:
        config = config_for(HOST, allow_http=True, proxies={"http": proxy.url}, verify=str(certificate.path))
        verdicts = call(config, SEND, DELETE)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 2
    assert proxy.connections == 1


def test_a_proxy_that_cannot_be_reached(call: Call) -> None:
    with closed_port() as port:
        for host in (HTTPS, HOST):
            config = config_for(host, allow_http=True, proxies={"all": f"http://127.0.0.1:{port}"}, max_retries=0)
            (verdict,) = call(config, SEND)
            assert verdict.outcome is Outcome.NOT_SENT, verdict


@pytest.mark.parametrize("reply", [answer(502), answer(504), Answer(then="close")])
def test_http_through_a_proxy_that_fails_may_have_been_sent(call: Call, reply: Answer) -> None:
    with serving(reply, TICKET) as proxy:
        (verdict,) = call(config_for(HOST, allow_http=True, proxies={"http": proxy.url}), SEND)
    assert verdict.outcome is Outcome.UNKNOWN
    assert len(proxy.received) == 1


def test_a_proxy_of_a_kind_that_is_not_spoken(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ValueError, match="the environment variable https_proxy holds no proxy that can be used"):
        call(config_for(HTTPS, max_retries=0), SEND)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Answer(then=HANG), "no connection within"),
        (Answer(b"HTTP/1.1 200 OK\r\n", HANG), "no connection within"),
        (Answer(b"HTTP/1.1 200 OK\r\nX: ", drip=b"x"), "no connection within"),
        (Answer(b"HTTP/1.1 200 OK\r\n\r\n", HANG), "no connection within"),
        (Answer(b"HTTP/1.1 200 OK\r\n\r\n", CLOSE), "the connection was broken off"),
        (Answer(then=CLOSE), "the server closed the connection without an answer"),
        (answer(502, body="<html>Oops</html>"), "the proxy answered with HTTP 502"),
    ],
    ids=["hangs", "hangs in its head", "drips", "no TLS behind it", "closes behind it", "closes", "502"],
)
def test_the_words_for_a_proxy_that_makes_no_connection(call: Call, reply: Answer, words: str) -> None:
    with serving(reply) as proxy:
        config = config_for(HTTPS, proxies={"https": proxy.url}, timeout="0.3,0.3", max_retries=0)
        (verdict,) = call(config, SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE)
    assert verdict.reason.startswith(
        f"unreachable: api.example.com:443 through the proxy 127.0.0.1:{proxy.port}: {words}"
    )
