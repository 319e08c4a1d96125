"""Both clients with a server that speaks before it was asked. What came before a request is never its answer."""

from __future__ import annotations

import pytest

from airflow_provider_passnotify.api import attempt
from airflow_provider_passnotify.api.protocol import Outcome, TransportFailure, Verdict
from tests.answer_table import EVIL
from tests.certificates import Certificate, make_certificate
from tests.clients import DELETE, LOOK, SEND, Call, config_for
from tests.servers import CLOSE, Greeter, answer

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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def not_sent(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE), verdict
        assert "before it was asked" in verdict.reason


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_a_greeting_is_nobodys_answer(call: Call, greeting: bytes) -> None:
    server = Greeter(greeting, NOT_FOUND)
    try:
        not_sent(call(config_for(server.url, max_retries=1), SEND, DELETE, LOOK, SEND))
    finally:
        server.stop()
    assert server.received == [], "nothing was written"
    assert server.connections == 8, "no connection is used again"


@pytest.mark.usefixtures("patient")
def test_a_greeting_before_the_connection_is_closed(call: Call) -> None:
    """Like this, a gateway refuses a connection when it has too many."""
    server = Greeter(answer(503, then=CLOSE).data, then=CLOSE)
    try:
        not_sent(call(config_for(server.url, max_retries=0), SEND))
    finally:
        server.stop()


@pytest.mark.usefixtures("patient")
def test_a_proxy_that_greets(call: Call) -> None:
    proxy = Greeter(EVIL, NOT_FOUND)
    try:
        config = config_for("http://api.example.com", allow_http=True, proxies={"http": proxy.url}, max_retries=0)
        not_sent(call(config, SEND, SEND))
    finally:
        proxy.stop()
    assert proxy.received == []
