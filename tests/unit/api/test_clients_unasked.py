"""Both clients with a server that speaks before it was asked. What came before a request is never its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_passnotify.api import attempt
from airflow_provider_passnotify.api.protocol import Outcome, TransportFailure, Verdict
from tests.answer_table import EVIL
from tests.certificates import Certificate, make_certificate
from tests.clients import DELETE, LOOK, SEND, Call, config_for
from tests.servers import CLOSE, TICKET, Greeter, TLSGreeter, answer, serving

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

NOT_FOUND = answer(404, body={"code": 404, "description": "No.", "details": "because"})
GREETINGS = {
    "a ticket": EVIL,
    "half a ticket": EVIL[:30],
    "a refusal": NOT_FOUND.data,
    "a 429": answer(429).data,
    "a 103": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "an empty line": b"\r\n",
    "no HTTP": b"220 mail.example.com ESMTP\r\n",
}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients wait until the greeting is there, however busy this machine is."""
    monkeypatch.setattr(attempt, "QUIET_SECONDS", 20.0)


def not_sent(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE), verdict
        assert "before it was asked" in verdict.reason


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_a_greeting_is_nobodys_answer(call: Call, greeting: bytes) -> None:
    with Greeter(greeting, NOT_FOUND) as server:
        not_sent(call(config_for(server.url, max_retries=1), SEND, DELETE, LOOK, SEND))
    assert server.received == [], "nothing was written"
    assert server.connections == 8, "no connection is used again"


@pytest.mark.usefixtures("patient")
def test_a_greeting_before_the_connection_is_closed(call: Call) -> None:
    """Like this, a gateway refuses a connection when it has too many."""
    with Greeter(answer(503, then=CLOSE).data, then=CLOSE) as server:
        not_sent(call(config_for(server.url, max_retries=0), SEND))


@pytest.mark.usefixtures("patient")
def test_a_proxy_that_greets(call: Call) -> None:
    with Greeter(EVIL, NOT_FOUND) as proxy:
        config = config_for("http://api.example.com", allow_http=True, proxies={"http": proxy.url}, max_retries=0)
        not_sent(call(config, SEND, SEND))
    assert proxy.received == []


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_a_greeting_with_the_end_of_the_handshake(call: Call, certificate: Certificate, greeting: bytes) -> None:
    with TLSGreeter(greeting, certificate.context) as server:
        config = config_for(server.url, verify=str(certificate.path), max_retries=1)
        not_sent(call(config, SEND, DELETE, LOOK, SEND))
    assert server.received == [], "nothing was written"
    assert server.connections == 8, "no connection is used again"


def test_session_tickets_are_no_greeting(call: Call, certificate: Certificate) -> None:
    """In TLS 1.3, the server sends them behind the handshake. They make the socket readable."""
    certificate.context.num_tickets = 4
    with serving(TICKET, tls=certificate.context) as server:
        verdicts = call(config_for(server.url, verify=str(certificate.path), max_retries=0), *[SEND] * 5)
    assert [verdict.ticket_id for verdict in verdicts] == [12345] * 5
    assert server.connections == 1
