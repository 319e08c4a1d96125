"""The trigger against the sandbox: events, problems, what it shares with others, and what it must not do."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict, ticket_request
from airflow_provider_passnotify.api.ticket_event import as_event
from airflow_provider_passnotify.api.ticket_tracker import TicketTracker
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.triggers import shared_client
from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger
from tests.sandbox_tickets import send
from tests.stalls import again_if_stalled, patient


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(ticket_seconds=0) as running:
        yield running


@pytest.fixture
def connect(sandbox: RunningSandbox, connection: Callable[..., str]) -> Callable[..., str]:
    """Make the connection to the sandbox, with more fields or options in its Extra."""

    def make(*, password: str = "sandbox", **extra: Any) -> str:
        fields = json.loads(sandbox.connection)
        return connection(host=fields["host"], login=fields["login"], password=password, extra=extra)

    return make


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that were looked up."""
    seen: list[str] = []
    real = PassNotifyAsyncHook.get_config

    async def get_config(self: PassNotifyAsyncHook) -> Any:
        seen.append(self.passnotify_conn_id)
        await asyncio.sleep(0.01)
        return await real(self)

    monkeypatch.setattr(PassNotifyAsyncHook, "get_config", get_config)
    return seen


def trigger(ticket_ids: list[int], *, seconds: float = 30, **more: Any) -> NotificationTicketTrigger:
    """A trigger that is made from its serialized form, as in a triggerer."""
    end = pendulum.now("UTC").add(microseconds=int(seconds * 1e6)).isoformat()
    path, arguments = NotificationTicketTrigger(
        ticket_ids, end=end, **{"poll_interval": 0.1, "passnotify_conn_id": "passnotify_default", **more}
    ).serialize()
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert made.serialize() == (path, arguments)
    return made  # type: ignore[no-any-return]


async def fire(one: NotificationTicketTrigger) -> dict[str, Any]:
    """Run a trigger until it ends, and return its only event."""
    [event] = [event async for event in one.run()]
    return dict(json.loads(json.dumps(event.payload)))


@asynccontextmanager
async def running(*triggers: NotificationTicketTrigger) -> AsyncIterator[list[asyncio.Task[dict[str, Any]]]]:
    """Run triggers in the background. Those that have not ended are cancelled, as a triggerer does."""
    tasks = [asyncio.create_task(fire(one)) for one in triggers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def received(sandbox: RunningSandbox, count: int) -> None:
    """Wait until the sandbox received so many look-ups."""
    await asyncio.to_thread(sandbox.wait_for, count, method="GET")


@pytest.mark.usefixtures("connect")
async def test_it_fires_once_when_the_ticket_has_ended_and_never_sends(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect()
    [ticket_id] = send(sandbox)
    event = await fire(trigger([ticket_id]))
    assert (event["status"], event["message"]) == ("success", "1 of 1 tickets succeeded.")
    assert [(ticket["id"], ticket["status"]) for ticket in event["tickets"]] == [(ticket_id, "COMPLETED")]
    assert sandbox.requests()["methods"] == {"POST": 1, "GET": 1, "DELETE": 0}


async def test_it_asks_on_only_for_what_has_not_ended(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect()
    done, hanging = send(sandbox, 2)
    sandbox.set_tickets(hanging, hang=True)

    async def scenario() -> dict[str, Any]:
        async with running(trigger([done, hanging])) as [task]:
            await received(sandbox, 5)
            sandbox.set_tickets(hanging, final="FAILED", seconds=0)
            return await task

    event = await scenario()
    assert (event["status"], event["message"].partition(".")[0]) == (
        "failed",
        f"1 of 2 tickets failed: {hanging} (FAILED)",
    )
    assert event["tickets"][1]["children"]
    paths = [request["path"] for request in sandbox.requests()["last"] if request["method"] == "GET"]
    assert paths.count(f"/v1/ticket/{done}") == 1


async def test_what_the_worker_knew_is_in_the_event(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect()
    before = TicketTracker([1, 2])
    before.take(1, Verdict(Outcome.ACCEPTED, payload={"status": "FAILED", "children": ["why"]}))
    [ticket_id] = send(sandbox)
    event = await fire(trigger([ticket_id], so_far={**as_event(before), "others": []}))
    assert event["status"] == "failed"
    assert [(ticket["id"], ticket["children"]) for ticket in event["tickets"]] == [(1, ["why"]), (ticket_id, {})]


async def test_two_thousand_tickets_of_which_one_fails(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect()
    ticket_ids = send(sandbox, 2000)
    sandbox.set_tickets(ticket_ids[1234], final="FAILED", seconds=0)
    event = await fire(trigger(ticket_ids, seconds=120))
    assert event["status"] == "failed"
    assert [ticket["id"] for ticket in event["tickets"]] == [ticket_ids[1234]]
    assert [(group["status"], len(group["ids"])) for group in event["others"]] == [("COMPLETED", 1999)]
    assert len(json.dumps(event)) < 40_000
    assert sandbox.requests()["methods"]["GET"] == 2000


async def test_the_time_is_up_even_for_a_trigger_that_starts_again(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect()
    [ticket_id] = send(sandbox)
    sandbox.set_tickets(ticket_id, hang=True)
    event = await fire(trigger([ticket_id], seconds=0.3))
    assert event["status"] == "timeout"
    assert event["message"] == f"1 of 1 tickets did not end: {ticket_id} (PROCESSING)."

    sandbox.set_tickets(ticket_id, seconds=0)
    late = await fire(trigger([ticket_id], seconds=-3600, poll_interval=3600))
    assert late["status"] == "success", "it looks once more, and does not wait"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"action": "status", "status": 429, "retry_after": 0}, "HTTP 429"),
        ({"action": "status", "status": 408}, "HTTP 408"),
        ({"action": "status", "status": 500}, "HTTP 500"),
        ({"action": "close_before"}, "no usable answer"),
        ({"action": "body", "body": "<html>"}, "without a JSON body"),
        ({"action": "body", "body": "[]"}, "the answer is no JSON object"),
        ({"action": "body", "body": "{}"}, "has no status"),
        ({"action": "redirect", "location": "/elsewhere"}, "a redirect"),
    ],
)
async def test_a_poll_that_fails_is_made_again_until_the_time_is_up(
    sandbox: RunningSandbox, connect: Callable[..., str], fault: dict[str, Any], problem: str
) -> None:
    connect()
    [ticket_id] = send(sandbox)
    path = {} if fault["action"] == "close_before" else {"path": "/ticket/"}
    sandbox.add_fault(**fault, **path, times=2)
    assert (await fire(trigger([ticket_id])))["status"] == "success"

    sandbox.clear_faults()
    sandbox.add_fault(**fault, **path)
    event = await fire(trigger([ticket_id], seconds=0.5))
    assert event["status"] == "timeout"
    assert f"The last problem: ticket {ticket_id}: " in event["message"]
    assert problem in event["message"]


async def test_an_unknown_ticket_fails_at_once(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect()
    known = send(sandbox, 20)
    event = await fire(trigger([known[0], 999_999, *known[1:]], seconds=3600))
    assert event["status"] == "error"
    assert event["message"].startswith("Ticket 999999 cannot be looked up: HTTP 404")
    assert event["refused"]["ticket_id"] == 999_999


@pytest.mark.parametrize("key_error", [True, False])
async def test_a_refused_credential_fails_at_once_and_shows_no_secret(
    connection: Callable[..., str], key_error: bool
) -> None:
    with running_sandbox(api_key_error=key_error) as sandbox:
        connection(host=sandbox.url, login="sandbox", password="wrong-secret")
        one = trigger([1001], seconds=3600)
        event = await fire(one)
    assert event["status"] == "error"
    assert event["refused"]["status_code"] == (500 if key_error else 401)
    assert "wrong-secret" not in json.dumps(event) + repr(one)


async def test_a_connection_that_cannot_be_used_fails_at_once(connection: Callable[..., str]) -> None:
    connection(login="x", password="y")
    event = await fire(trigger([1], seconds=3600))
    assert (event["status"], event["message"].partition(".")[0]) == (
        "error",
        "Connection 'passnotify_default': it has no host",
    )


@pytest.mark.usefixtures("no_back_off")
async def test_a_connection_that_stays_missing_fails_after_three_look_ups(lookups: list[str]) -> None:
    event = await fire(trigger([1], seconds=3600, passnotify_conn_id="nowhere"))
    assert event["status"] == "error"
    assert event["message"].startswith("Looked up 3 times in a row: connection 'nowhere' was not found: ")
    assert lookups == ["nowhere"] * 3


async def test_a_connection_that_is_missing_when_the_time_is_up_is_named() -> None:
    event = await fire(trigger([1], seconds=-1, passnotify_conn_id="nowhere"))
    assert event["status"] == "timeout"
    assert "The last problem: connection 'nowhere' was not found" in event["message"]


AWAY, MISSING = ConnectionError("the API server is away"), AirflowNotFoundException("The conn_id isn't defined")


@pytest.mark.usefixtures("no_back_off")
@pytest.mark.parametrize("errors", [[AWAY], [MISSING, MISSING], [MISSING, MISSING, AWAY, MISSING, MISSING]])
async def test_a_look_up_of_the_connection_that_fails_is_made_again(
    sandbox: RunningSandbox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, errors: list[Exception]
) -> None:
    connect()
    [ticket_id] = send(sandbox)
    real, calls = PassNotifyAsyncHook.get_config, []

    async def get_config(self: PassNotifyAsyncHook) -> Any:
        calls.append(self)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return await real(self)

    monkeypatch.setattr(PassNotifyAsyncHook, "get_config", get_config)
    assert (await fire(trigger([ticket_id])))["status"] == "success"
    assert len(calls) == len(errors) + 1


async def test_a_thousand_triggers_share_one_look_up_one_rate_and_few_connections(
    sandbox: RunningSandbox, connect: Callable[..., str], lookups: list[str]
) -> None:
    connect(requests_per_second=2000, max_connections=4)
    ticket_ids = send(sandbox, 300)

    async def scenario() -> list[dict[str, Any]]:
        async with running(*(trigger([ticket_id]) for ticket_id in ticket_ids)) as tasks:
            first = await asyncio.gather(*tasks)
        assert not any(shared_client._shared.values()), "the last one closes the client"
        return first

    assert {event["status"] for event in await scenario()} == {"success"}
    assert lookups == ["passnotify_default"]


async def test_the_rate_of_the_connection_holds_across_triggers(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect(requests_per_second=50)
    sandbox.set_tickets(hang=True)
    ticket_ids = send(sandbox, 40)

    async def scenario() -> float:
        started = asyncio.get_running_loop().time()
        async with running(trigger(ticket_ids[:20]), *(trigger([ticket_id]) for ticket_id in ticket_ids[20:])):
            await received(sandbox, 50)
        return asyncio.get_running_loop().time() - started

    assert await scenario() > 0.9, "50 look-ups at 50 a second"


async def test_a_loop_that_was_blocked_does_not_catch_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    async def attempt(self: PassNotifyAsyncClient, request: Request) -> Verdict:  # noqa: ARG001
        calls.append(time.monotonic())
        return Verdict(Outcome.ACCEPTED)

    monkeypatch.setattr(PassNotifyAsyncClient, "attempt", attempt)
    client = PassNotifyAsyncClient(Config("http://127.0.0.1", "key", requests_per_second=100))

    async def scenario() -> float:
        tasks = [asyncio.create_task(client.call(ticket_request(1))) for _ in range(80)]
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251
        unblocked = time.monotonic()
        await asyncio.gather(*tasks)
        return unblocked

    unblocked = await scenario()
    assert len(calls) == 80
    assert sum(0 <= call - unblocked < 0.1 for call in calls) < 30, "not the 50 whose turn came while it was blocked"


@again_if_stalled
async def test_retry_after_quiets_every_trigger_of_the_connection(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    sandbox.reset()
    connect(requests_per_second=10 / patient(1))  # the others are in the queue when the first answer comes
    ticket_ids = send(sandbox, 20)
    sandbox.add_fault("status", status=429, retry_after=3600, path="/ticket/")

    async def scenario() -> list[dict[str, Any]]:
        slow = [trigger([ticket_id], seconds=patient(3)) for ticket_id in ticket_ids]
        async with running(*slow) as tasks:
            return list(await asyncio.gather(*tasks))

    events = await scenario()
    assert {event["status"] for event in events} == {"timeout"}
    assert all("HTTP 429" in event["message"] for event in events)
    assert sandbox.requests()["methods"]["GET"] <= len(ticket_ids) // 2


async def test_a_new_password_is_noticed_where_the_old_one_is_refused(
    sandbox: RunningSandbox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, lookups: list[str]
) -> None:
    monkeypatch.setattr(shared_client, "RENEWABLE_SECONDS", 0.0)
    connect()
    ticket_ids = send(sandbox, 5)
    sandbox.set_tickets(hang=True)
    [hanging] = send(sandbox)
    connect(password="old")

    async def scenario() -> list[dict[str, Any]]:
        async with shared_client.shared_client("passnotify_default") as client:
            await client.ready()
            connect()
            async with running(*(trigger([ticket_id]) for ticket_id in ticket_ids)) as tasks:
                return list(await asyncio.gather(*tasks))

    assert {event["status"] for event in await scenario()} == {"success"}
    assert 2 <= len(lookups) <= 3
    assert hanging


async def test_the_one_that_looks_up_may_be_cancelled_without_harm_to_the_others(
    sandbox: RunningSandbox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    ticket_ids = send(sandbox, 3)
    real = PassNotifyAsyncHook.get_config

    async def scenario() -> list[str]:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def get_config(self: PassNotifyAsyncHook) -> Any:
            asked.set()
            await go_on.wait()
            return await real(self)

        monkeypatch.setattr(PassNotifyAsyncHook, "get_config", get_config)
        monkeypatch.setattr("random.uniform", lambda low, high: low)  # noqa: ARG005
        async with running(*(trigger([ticket_id], poll_interval=0.1) for ticket_id in ticket_ids)) as tasks:
            await asked.wait()
            tasks[0].cancel()
            go_on.set()
            return [event["status"] for event in await asyncio.gather(*tasks[1:])]

    assert await scenario() == ["success", "success"]


async def test_a_refusal_with_retry_after_is_that_tickets_alone(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect()
    first, second = send(sandbox, 2)
    sandbox.add_fault("status", status=404, retry_after=3600, path=f"/ticket/{first}", times=1)

    async def wait_for_both() -> list[str]:
        async with shared_client.shared_client("passnotify_default"):  # one client for both
            return [(await fire(trigger([ticket_id])))["status"] for ticket_id in (first, second)]

    assert await wait_for_both() == ["error", "success"]


async def test_what_stands_in_line_for_a_connection_hears_of_retry_after(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect(max_connections=2)
    ticket_ids = send(sandbox, 20)
    sandbox.add_fault("status", status=429, retry_after=3600, path="/ticket/")

    async def wait_for_all() -> None:
        await asyncio.gather(*(fire(trigger([ticket_id], seconds=1.0)) for ticket_id in ticket_ids))

    await wait_for_all()
    assert sandbox.requests()["methods"]["GET"] <= 2


async def test_retry_after_that_the_worker_met_holds_in_the_triggerer(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect()
    sandbox.set_tickets(hang=True)
    tracker = TicketTracker(send(sandbox))
    tracker.begin_cycle()
    tracker.take(tracker.left[0], Verdict(Outcome.NOT_SENT, "HTTP 429", status_code=429, retry_after=3600))
    event = await fire(trigger(tracker.left, seconds=0.5, so_far=as_event(tracker)))
    assert event["status"] == "timeout"
    assert sandbox.requests()["methods"]["GET"] == 1, "when the time was up"
