"""One client in several processes and threads."""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.client import PassNotifyClient
from airflow_provider_passnotify.api.protocol import send_request
from airflow_provider_passnotify.targets import PassTarget
from tests.certificates import make_certificate
from tests.clients import config_for
from tests.servers import Answer, Received, Server, answer

pytestmark = pytest.mark.usefixtures("no_proxy")


class Numbered(Server):
    """The ticketId is the number of the pass."""

    def _reply_to(self, request: Received) -> Answer:
        return answer(body={"ticketId": int(request.target.split("/")[3])})


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the threads are the test's
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_process_that_was_forked_uses_connections_of_its_own(scheme: str, tmp_path: Path) -> None:
    """On a connection of both processes, each would get the answers to the other's requests."""
    certificate = make_certificate(tmp_path)

    with Numbered((), tls=certificate.context if scheme == "https" else None) as server:
        client = PassNotifyClient(config_for(server.url, verify=str(certificate.path), max_retries=0))

        def send(*numbers: int) -> list[int | None]:
            return [client.call(send_request(PassTarget(number), value="x")).ticket_id for number in numbers]

        assert send(1) == [1]
        forking = multiprocessing.get_context("fork")
        tickets = forking.SimpleQueue()
        child = forking.Process(target=lambda: tickets.put(send(2, 3)))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert tickets.get() == [2, 3]
        assert send(4) == [4]
        client.close()
    connections = [received.connection for received in server.received]
    assert not {connections[0], connections[3]} & {connections[1], connections[2]}


class TwoAtOnce(Server):
    """Answers requests to pass 2 only when there are two of them at once, so on two connections."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self._both = threading.Barrier(2)
        super().__init__(())
        self._lock = nullcontext()  # type: ignore[assignment]

    def _reply_to(self, request: Received) -> Answer:
        number = int(request.target.split("/")[3])
        self.used.append((number, request.connection))
        if number == 2:
            self._both.wait()
        return answer(body={"ticketId": number})


def test_a_connection_that_only_another_thread_used_may_have_been_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread sends all the time. The second connection is idle meanwhile, and a push on it may be lost."""
    monkeypatch.setattr(protocol, "MAX_IDLE_SECONDS", 0.5)
    with TwoAtOnce() as server:
        client = PassNotifyClient(config_for(server.url, max_retries=0))

        def send(number: int) -> None:
            assert client.attempt(send_request(PassTarget(number), value="x")).ticket_id == number

        def send_two() -> set[int]:
            before = len(server.used)
            threads = [threading.Thread(target=send, args=(2,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return {connection for _, connection in server.used[before:]}

        first = send_two()
        until = time.monotonic() + 2 * protocol.MAX_IDLE_SECONDS
        while time.monotonic() < until:
            send(1)
        idle = first - {connection for number, connection in server.used if number == 1}
        assert len(first) == 2
        assert idle
        assert not send_two() & idle
        client.close()
