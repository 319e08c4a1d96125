"""One attempt has one deadline: also during a DNS look-up, in TLS, behind a proxy, and in a batch."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
from airflow_provider_passnotify.api.client import PassNotifyClient
from airflow_provider_passnotify.api.protocol import Outcome, TransportFailure, Verdict, send_request
from airflow_provider_passnotify.delivery.batch.breaker import MAX_UNKNOWN_IN_A_ROW
from airflow_provider_passnotify.delivery.batch.sender import Job, Sender
from airflow_provider_passnotify.targets import PassTarget
from tests.answer_table import EVIL, WAYS
from tests.certificates import Certificate, make_certificate
from tests.clients import DELETE, SEND, Call, config_for
from tests.servers import TICKET, Answer, Received, Server, answer, serving
from tests.stalls import again_if_stalled, patient

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")
LATE = {name: way.reply for name, way in WAYS.items() if way.late}


def gateway() -> dict[str, Any]:
    """Return options for a server of which nothing is expected."""
    return {"timeout": [patient(0.3), patient(0.1)], "max_retries": 0}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("reply", LATE.values(), ids=LATE)
@again_if_stalled
def test_within_tls(call: Call, reply: Answer, certificate: Certificate) -> None:
    with serving(reply, tls=certificate.context) as server:
        config = config_for(server.url, verify=str(certificate.path), timeout=[patient(1), patient(0.1)], max_retries=0)
        (verdict,) = call(config, SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.UNKNOWN, TransportFailure.LOST), verdict


def test_what_follows_an_answer_within_tls(call: Call, certificate: Certificate) -> None:
    with serving(Answer(TICKET.data + EVIL), tls=certificate.context) as server:
        verdicts = call(config_for(server.url, verify=str(certificate.path), max_retries=0), SEND, SEND)
        assert server.connections == 2
    assert [verdict.outcome for verdict in verdicts] == [Outcome.UNKNOWN] * 2


@again_if_stalled
def test_a_proxy_that_drips_its_answer_to_connect(call: Call) -> None:
    with serving(Answer(b"HTTP/1.1 200 OK\r\nX: ", drip=b"x")) as proxy:
        config = config_for("https://api.example.com", proxies={"https": proxy.url}, **gateway())
        (verdict,) = call(config, SEND)
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE), verdict


def test_a_server_that_drips_its_handshake(call: Call) -> None:
    with serving(Answer(b"\x16\x03\x03\x40\x00", drip=b"\x02")) as server:
        (verdict,) = call(config_for(server.url.replace("http:", "https:"), **gateway()), SEND)
    assert verdict.outcome is Outcome.NOT_SENT, verdict


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """(Only the synchronous client: with the other one, the end of this test would wait for its thread.)"""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait())
    client = PassNotifyClient(config_for("https://api.example.com", **gateway()))
    verdict = client.call(SEND)
    released.set()
    assert (verdict.outcome, verdict.failure) == (Outcome.NOT_SENT, TransportFailure.UNREACHABLE)
    assert not client.in_flight


@again_if_stalled
def test_a_client_of_several_threads_watches_each_alone() -> None:
    """If the attempt of one thread is late, the attempt of another thread does not become unknown."""

    class Mixed(Server):
        def _reply_to(self, request: Received) -> Answer:
            return LATE["body drips"] if "/pass/1/" in request.target else TICKET

    server = Mixed(())
    client = PassNotifyClient(config_for(server.url, timeout=[patient(2), patient(0.2)], max_retries=0))
    verdicts: dict[int, list[Verdict]] = {1: [], 2: []}

    def send(number: int, times: int) -> None:
        for _ in range(times):
            verdicts[number].append(client.attempt(send_request(PassTarget(number), value="x")))

    threads = [threading.Thread(target=send, args=arguments) for arguments in ((1, 1), (2, 200))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    server.stop()
    assert {verdict.outcome for verdict in verdicts[1]} == {Outcome.UNKNOWN}
    assert {verdict.outcome for verdict in verdicts[2]} == {Outcome.ACCEPTED}


def test_a_bomb_is_not_unpacked(call: Call) -> None:
    bomb = answer(200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 100_000_000))
    with serving(bomb) as server:
        tracemalloc.start()
        verdicts = call(config_for(server.url, max_retries=0), SEND, DELETE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert {verdict.outcome for verdict in verdicts} == {Outcome.UNKNOWN}
    assert peak < 40_000_000
    assert server.received[0].headers["accept-encoding"] == "identity"


async def send_batch(url: str, count: int, connections: int = 16, **options: object) -> dict[int, Verdict]:
    results: dict[int, Verdict] = {}

    async def jobs() -> AsyncIterator[Job]:
        for number in range(count):
            yield Job(number, send_request(PassTarget(number), value="x"))

    async with PassNotifyAsyncClient(config_for(url, max_connections=connections, **options)) as client:
        await Sender(client).run(jobs(), lambda job, verdict: results.update({job.number: verdict}))
    return results


async def test_no_answer_however_deep_ends_a_batch() -> None:
    class Deep(Server):
        def _reply_to(self, request: Received) -> Answer:
            depth = 850 + int(request.target.split("/")[3])
            return answer(body=f'{{"ticketId": {"[" * depth}{"]" * depth}}}')

    server = Deep(())
    results = await send_batch(server.url, 180)
    server.stop()
    assert len(results) == 180
    assert {verdict.outcome for verdict in results.values()} <= {Outcome.UNKNOWN, Outcome.NOT_SENT}


@pytest.mark.parametrize("reply", [LATE["head drips"], LATE["a flood of 103"]], ids=["drip", "flood"])
async def test_a_batch_does_not_stand_still(reply: Answer) -> None:
    with serving(reply) as server:
        results = await send_batch(server.url, 32, **gateway())
    # (A flood keeps the event loop so busy that some do not even connect in time.)
    assert {verdict.outcome for verdict in results.values()} <= {Outcome.UNKNOWN, Outcome.NOT_SENT}
    assert len(results) == 32


@again_if_stalled
async def test_the_breaker_opens_on_a_server_that_drips() -> None:
    with serving(LATE["head drips"]) as server:
        results = await send_batch(server.url, 400, connections=32, **gateway())
    outcomes = Counter(verdict.outcome for verdict in results.values())
    assert outcomes[Outcome.UNKNOWN] + outcomes[Outcome.NOT_SENT] == 400
    assert outcomes[Outcome.UNKNOWN] <= MAX_UNKNOWN_IN_A_ROW + 2 * 32
    assert "given up: 100 sends in a row" in results[399].reason
