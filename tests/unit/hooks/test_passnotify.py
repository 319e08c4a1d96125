"""The hooks: what the calls return and raise, and what Test connection says."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.api.tickets import StatusWords, TicketState
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    InvalidNotificationError,
    NotSentError,
    PassNotifyApiError,
    PassNotifyConfigError,
    RejectedError,
)
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, PassNotifyHook
from airflow_provider_passnotify.targets import PassTarget
from tests.certificates import make_certificate
from tests.servers import NOTHING, Answer, answer, serving

pytestmark = pytest.mark.usefixtures("no_proxy", "no_back_off")

Connect = Callable[..., str]
API_404 = answer(404, body={"code": 404, "description": "Gone.", "details": "no such ticket"})


class SyncHook:
    """The synchronous hook."""

    def __init__(self) -> None:
        self.hook = PassNotifyHook()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hook, name)


class BlockingHook:
    """The asynchronous hook, each call run to its end."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with PassNotifyAsyncHook() as hook:
                return await getattr(hook, name)(*args, **kwargs)

        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@pytest.fixture(params=[SyncHook, BlockingHook], ids=["sync", "async"])
def hook(request: pytest.FixtureRequest) -> Any:
    return request.param()


def connect(connection: Connect, url: str, **extra: Any) -> None:
    connection(host=url, login="me", password="secret", extra={"max_retries": 0, **extra})


@pytest.mark.parametrize("target", [PassTarget(123), {"target_type": "pass", "pass_id": 123}])
def test_calls(hook: Any, connection: Connect, target: Any) -> None:
    ticket = answer(body={"Status": "COMPLETED", "createdAt": "2013-03-28 18:18:36.0", "ID": 7, "children": {"a": []}})
    with serving(answer(body={"ticketId": 7}), answer(body={"ticketId": "8"}), ticket) as server:
        connect(connection, server.url)
        assert hook.send_notification(target, value="x", label="y") == 7
        assert hook.delete_notification(target) == 8
        found = hook.get_ticket(7)
    assert (found.id, found.status, found.state, found.children) == (7, "COMPLETED", TicketState.SUCCEEDED, {"a": []})
    assert found.created_at.isoformat() == "2013-03-28T18:18:36+00:00"
    assert server.lines[-1] == "GET /v1/ticket/7 HTTP/1.1"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (({"target_type": "pass"},), "pass_id missing"),
        (({"target_type": "pass", "pass_id": ".."},), "another path"),
        (({"target_type": "segment", "project_id": 1, "segment_id": 2},), "template_id is missing"),
        ((None,), "target must be"),
        (({"target_type": "pass", "pass_id": 1, "value": "x"},), "does not take value"),
    ],
)
def test_a_bad_target_is_refused_before_anything_is_connected(hook: Any, arguments: Any, why: str) -> None:
    with pytest.raises(InvalidNotificationError, match=why):
        hook.send_notification(*arguments, value="x")


@pytest.mark.parametrize("value", ["", None, 5])
def test_a_bad_value_is_refused(hook: Any, value: Any) -> None:
    with pytest.raises(InvalidNotificationError, match="value"):
        hook.send_notification(PassTarget(1), value=value)


@pytest.mark.parametrize("ticket_id", [None, "None", True, -1, "x", 1.0, ""])
def test_a_bad_ticket_id_is_refused(hook: Any, ticket_id: Any) -> None:
    with pytest.raises(InvalidNotificationError, match="ticket_id"):
        hook.get_ticket(ticket_id)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(404), RejectedError),
        (answer(429), NotSentError),
        (answer(502), DeliveryUnknownError),
        (NOTHING, DeliveryUnknownError),
    ],
)
def test_errors_of_a_send(hook: Any, connection: Connect, reply: Answer, error: type) -> None:
    with serving(reply) as server:
        connect(connection, server.url)
        with pytest.raises(PassNotifyApiError) as caught:
            hook.send_notification(PassTarget(1), value="x")
    assert type(caught.value) is error


@pytest.mark.parametrize("body", [{"id": 1}, [], {"status": 5}, {"status": ""}, {"status": None}])
def test_a_ticket_that_cannot_be_read(hook: Any, connection: Connect, body: Any) -> None:
    with serving(answer(body=body)) as server:
        connect(connection, server.url)
        with pytest.raises(PassNotifyApiError, match="ticket 1"):
            hook.get_ticket(1)


def test_words_of_the_users_own(hook: Any, connection: Connect) -> None:
    with serving(answer(body={"status": "Delivered", "ID": 1})) as server:
        connect(connection, server.url)
        assert hook.get_ticket(1).state is TicketState.RUNNING
        assert hook.get_ticket(1, words=StatusWords(success=["delivered"])).state is TicketState.SUCCEEDED
        assert hook.get_ticket(1, words=StatusWords(failure=["DELIVERED"])).state is TicketState.FAILED


def test_a_connection_that_cannot_be_used(hook: Any, connection: Connect) -> None:
    connection(host="api.example.com")
    with pytest.raises(PassNotifyConfigError, match=r"Connection 'passnotify_default': it has no password\. Give"):
        hook.send_notification(PassTarget(1), value="x")


def test_calls_share_one_connection(connection: Connect) -> None:
    with serving() as server:
        connect(connection, server.url)
        hook = PassNotifyHook()
        hook.send_notification(PassTarget(1), value="x")
        hook.delete_notification(PassTarget(1))
        assert server.connections == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_hook_that_was_not_closed_can_be_used_in_another_event_loop(connection: Connect) -> None:
    """(The connections of the first event loop are closed when Python collects them.)"""
    with serving() as server:
        connect(connection, server.url)
        hook = PassNotifyAsyncHook()
        for number in range(1, 4):
            assert asyncio.run(hook.send_notification(PassTarget(number), value="x")) == 12345
        asyncio.run(hook.close())
        gc.collect()  # now, so that what is logged about connections that were not closed disturbs no other test
    assert len(server.received) == 3


async def test_asynchronous_calls_share_one_connection(connection: Connect) -> None:
    with serving() as server:
        connect(connection, server.url)
        async with PassNotifyAsyncHook() as hook:
            await hook.send_notification(PassTarget(1), value="x")
            await hook.delete_notification(PassTarget(1))
        assert server.connections == 1


async def test_the_client_is_made_once_and_off_the_loop(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    real = ssl.create_default_context

    def create_default_context(**arguments: Any) -> ssl.SSLContext:
        made.append(threading.current_thread() is threading.main_thread())
        return real(**arguments)

    monkeypatch.setattr(ssl, "create_default_context", create_default_context)
    connect(connection, "https://127.0.0.1:1")
    async with PassNotifyAsyncHook() as hook:
        clients = await asyncio.gather(*(hook.get_conn() for _ in range(5)))
    assert len(set(map(id, clients))) == 1
    assert made == [False]


WORKS, REFUSED = "Works: ", "Reached, credentials refused: "
STRANGE = "Reached, but it does not answer as PassNotify does"
BUSY, TROUBLE = "Reached, but the API is busy or failing at the moment", {"code": 1, "description": "Later."}
BUSY_OR_OTHER = f"{BUSY}, or this is not PassNotify's host"
HELLO = answer(body={"Hello": "World"})
ANSWERS: dict[str, tuple[list[Answer], bool, str]] = {
    "ticket unknown": ([API_404], True, WORKS),
    "ticket known": ([answer(body={"status": "COMPLETED"})], True, WORKS),
    "bare 404, says hello": ([answer(404), HELLO], True, WORKS),
    "401": ([answer(401)], False, REFUSED),
    "403": ([answer(403)], False, REFUSED),
    "unreadable key": ([answer(500, body={"code": 500, "description": "Error reading the api key"})], False, REFUSED),
    "bare 404 everywhere": ([answer(404)], False, STRANGE),
    "a web page": ([answer(200, body="<html>")], False, STRANGE),
    "redirect": ([answer(302, {"Location": "/login"})], False, STRANGE),
    "429": ([answer(429)], False, f"{BUSY_OR_OTHER}: HTTP 429"),
    "429 of the API": ([answer(429, body=TROUBLE)], False, f"{BUSY}: HTTP 429: Later"),
    "500": ([answer(500)], False, f"{BUSY_OR_OTHER}: HTTP 500"),
    "500 of the API": ([answer(500, body=TROUBLE)], False, f"{BUSY}: HTTP 500: Later"),
    "503": (
        [answer(503, {"Retry-After": "5"}, "<html>")],
        False,
        f"{BUSY}, or this is not PassNotify's host: HTTP 503",
    ),
    "no answer": ([NOTHING], False, "Unreachable: "),
}


@pytest.mark.parametrize(("replies", "works", "says"), ANSWERS.values(), ids=ANSWERS)
def test_test_connection(connection: Connect, replies: list[Answer], works: bool, says: str) -> None:
    with serving(*replies) as server:
        connection(host=server.url, login="me", password="secret")
        result, message = PassNotifyHook().test_connection()
    assert result is works
    assert message.startswith(says)
    assert {request.method for request in server.received} == {"GET"}
    assert len(server.received) <= 2


def test_test_connection_tells_what_is_wrong_with_tls(connection: Connect, tmp_path: Path) -> None:
    with serving(tls=make_certificate(tmp_path).context) as server:
        connection(host=server.url, login="me", password="secret")
        works, message = PassNotifyHook().test_connection()
    assert (works, message.partition(":")[0]) == (False, "TLS problem")


def test_test_connection_unreachable(connection: Connect) -> None:
    with serving() as server:
        url = server.url
    connection(host=url, login="me", password="secret")
    works, message = PassNotifyHook().test_connection()
    assert (works, message.partition(":")[0]) == (False, "Unreachable")


def test_test_connection_says_what_is_wrong_with_the_connection(connection: Connect) -> None:
    connection(host="http://api.example.com", login="me", password="secret")
    works, message = PassNotifyHook().test_connection()
    assert works is False
    assert message.startswith("This connection: plain http to api.example.com")


def test_an_unknown_status_is_logged_once(connection: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with serving(answer(body={"status": "Simmering"})) as server:
        connect(connection, server.url)
        for _ in range(3):
            PassNotifyHook().get_ticket(1)
    assert caplog.text.count("'Simmering' is not known") == 1
