"""One client in several processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

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
