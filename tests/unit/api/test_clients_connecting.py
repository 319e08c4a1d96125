"""Both clients before they are connected (certainly not sent), and on a connection that was kept open."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Outcome, TransportFailure, Verdict
from tests.certificates import Certificate, make_certificate
from tests.clients import DELETE, SEND, Call, config_for
from tests.servers import CLOSE, TICKET, Answer, answer, closed_port, serving

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full, so that a new connection is neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for client in waiting:
            client.close()


def not_sent(verdict: Verdict, failure: TransportFailure) -> None:
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, failure), verdict
    assert not verdict.may_have_been_sent


def test_connection_refused(call: Call) -> None:
    with closed_port() as port:
        (verdict,) = call(config_for(f"http://127.0.0.1:{port}"), SEND)
    not_sent(verdict, TransportFailure.UNREACHABLE)


def test_a_server_that_closes_in_the_handshake(call: Call) -> None:
    with serving(Answer(then=CLOSE)) as server:
        (verdict,) = call(config_for(server.url.replace("http:", "https:"), max_retries=0), SEND)
    not_sent(verdict, TransportFailure.UNREACHABLE)
    assert verdict.reason.endswith("the connection was broken off")


def test_a_host_that_does_not_exist(call: Call) -> None:
    (verdict,) = call(config_for("https://no-such-host.invalid", max_retries=1), SEND)
    not_sent(verdict, TransportFailure.UNREACHABLE)


def test_connect_time_out(call: Call, full_backlog: int) -> None:
    (verdict,) = call(config_for(f"http://127.0.0.1:{full_backlog}", timeout="0.2,20", max_retries=1), SEND)
    not_sent(verdict, TransportFailure.UNREACHABLE)


def test_a_plain_server_where_tls_is_spoken(call: Call) -> None:
    with serving(answer(400)) as server:
        (verdict,) = call(config_for(server.url.replace("http:", "https:"), max_retries=1), SEND)
    not_sent(verdict, TransportFailure.TLS)


def test_a_certificate_that_nobody_knows(call: Call, certificate: Certificate) -> None:
    with serving(tls=certificate.context) as server:
        (verdict,) = call(config_for(server.url, max_retries=1), SEND)
    not_sent(verdict, TransportFailure.TLS)
    assert server.received == []


def test_a_certificate_for_another_host(call: Call, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, host="elsewhere.example.com")
    with serving(tls=other.context) as server:
        (verdict,) = call(config_for(server.url, max_retries=1, verify=str(other.path)), SEND)
    not_sent(verdict, TransportFailure.TLS)
    assert server.received == []


def test_a_server_that_closes_during_the_handshake(call: Call) -> None:
    class Closing(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, **_: object):  # type: ignore[no-untyped-def, override]
            sock.recv(64)
            raise ConnectionResetError

    with serving(tls=Closing(ssl.PROTOCOL_TLS_SERVER)) as server:
        (verdict,) = call(config_for(server.url, max_retries=2), SEND)
        assert server.connections == 3
    assert verdict.outcome is Outcome.NOT_SENT, verdict


def test_a_server_that_does_not_answer_the_handshake(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (verdict,) = call(config_for(f"https://127.0.0.1:{port}", timeout="0.2,0.2", max_retries=1), SEND)
    assert verdict.outcome is Outcome.NOT_SENT, verdict


@pytest.mark.parametrize("verify", [False, "false", "path", "folder", "environment"])
def test_verify(
    call: Call, certificate: Certificate, verify: bool | str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: dict[str, object] = {"verify": verify}
    if verify == "path":
        options = {"verify": str(certificate.path)}
    elif verify == "folder":
        (tmp_path / "ca.pem").write_bytes(certificate.path.read_bytes())
        subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
        options = {"verify": str(tmp_path)}
    elif verify == "environment":
        options = {}
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    with serving(tls=certificate.context) as server:
        (verdict,) = call(config_for(server.url, max_retries=0, **options), SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict


def test_verify_false_outweighs_the_environment(
    call: Call, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with serving(tls=certificate.context) as server:
        (verdict,) = call(config_for(server.url, max_retries=0, verify=False), SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict


def test_a_connection_is_kept(call: Call) -> None:
    with serving() as server:
        verdicts = call(config_for(server.url), SEND, DELETE, SEND, SEND)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.ACCEPTED}
    assert server.connections == 1


def test_a_connection_is_kept_after_errors_that_were_understood(call: Call) -> None:
    busy = {"code": 503, "description": "Busy."}
    with serving(answer(404, body={"code": 404, "description": "gone"}), answer(503, body=busy), TICKET) as server:
        call(config_for(server.url, max_retries=0), SEND, SEND, SEND)
    assert server.connections == 1


def test_a_kept_connection_that_was_closed_is_not_used(call: Call) -> None:
    """The server closes the connection after each answer without saying so. Its FIN arrives before the next call."""
    with serving(Answer(TICKET.data, CLOSE)) as server:

        def wait_for_close() -> None:
            assert server.closed.wait(10)
            server.closed.clear()

        verdicts = call(config_for(server.url), SEND, SEND, between=wait_for_close)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 2
    assert len(server.received) == 2


def test_a_connection_that_sat_idle_is_not_used_for_a_push(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_IDLE_SECONDS", 0.0)
    with serving() as server:
        call(config_for(server.url), SEND, SEND)
    assert server.connections == 2


def test_the_server_is_reached_by_ipv6(call: Call) -> None:
    with serving(host="::1") as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.outcome is Outcome.ACCEPTED, verdict
    assert server.received[0].headers["host"] == f"[::1]:{server.port}"
