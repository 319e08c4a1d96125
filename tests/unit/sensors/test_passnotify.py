"""The sensor's pokes against the sandbox: what limits a poke, and what is kept from poke to poke."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_passnotify.exceptions import FinalTicketTimeoutError
from airflow_provider_passnotify.operators import polling
from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor
from tests.sandbox_tickets import send


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        running.set_tickets(hang=True)
        yield running


@pytest.fixture
def connect(sandbox: RunningSandbox, connection: Callable[..., str]) -> Callable[..., str]:
    def make(**extra: Any) -> str:
        fields = json.loads(sandbox.connection)
        return connection(host=fields["host"], login=fields["login"], password=fields["password"], extra=extra)

    return make


def run(ticket_id: list[int], **arguments: Any) -> NotificationTicketSensor:
    """Run a sensor until its time is up, and return it."""
    sensor = NotificationTicketSensor(task_id="s", ticket_id=ticket_id, **arguments)
    context: Any = {"ti": SimpleNamespace(start_date=pendulum.now("UTC"))}
    sensor.pre_execute(context)
    with pytest.raises(FinalTicketTimeoutError):
        sensor.execute(context)
    return sensor


def polls(sandbox: RunningSandbox) -> int:
    return int(sandbox.requests()["methods"]["GET"])


def test_the_timeout_limits_a_poll_cycle_of_many_tickets(
    sandbox: RunningSandbox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "LAST_POLL_SECONDS", 0.0)
    connect(requests_per_second=4)
    run(send(sandbox, 16), timeout=1)
    assert polls(sandbox) < 16


def test_the_rate_holds_from_poke_to_poke(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect(requests_per_second=4)
    started = time.monotonic()
    sensor = run(send(sandbox), timeout=1, poke_interval=0)
    assert polls(sandbox) <= 2 + 4 * (time.monotonic() - started), "one at once and four a second"
    assert deepcopy(sensor).task_id == "s", "Airflow copies operators"


def test_no_poke_polls_before_retry_after_is_over(
    sandbox: RunningSandbox, connect: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    connect()
    ticket_ids = send(sandbox)
    sandbox.add_fault("status", status=429, retry_after=3600, path="/ticket/")
    sensor = NotificationTicketSensor(task_id="s", ticket_id=ticket_ids, timeout=600)
    sensor.pre_execute({})  # type: ignore[typeddict-item]
    assert not any(sensor.poke({}) for _ in range(3))  # type: ignore[typeddict-item]
    assert polls(sandbox) == 1
    assert "Not asked: the API wants to be left alone for " in caplog.text


def test_a_poke_polls_again_once_retry_after_is_over(sandbox: RunningSandbox, connect: Callable[..., str]) -> None:
    connect()
    ticket_ids = send(sandbox)
    sandbox.add_fault("status", status=429, retry_after=1, path="/ticket/", times=1)
    sandbox.set_tickets(ticket_ids[0], final="COMPLETED", seconds=0)
    sensor = NotificationTicketSensor(task_id="s", ticket_id=ticket_ids, timeout=600, poke_interval=0.1)
    sensor.pre_execute({})  # type: ignore[typeddict-item]
    (ticket,) = sensor.execute({})  # type: ignore[typeddict-item]
    assert ticket["state"] == "succeeded"
    assert polls(sandbox) == 2


def test_a_deferral_gets_what_the_first_look_has_left_of_the_timeout(
    sandbox: RunningSandbox, connect: Callable[..., str]
) -> None:
    connect(requests_per_second=1)
    sensor = NotificationTicketSensor(task_id="s", ticket_id=send(sandbox, 3), timeout=60, deferrable=True)
    started = pendulum.now("UTC")
    sensor.pre_execute({})  # type: ignore[typeddict-item]
    ready = pendulum.now("UTC")
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})  # type: ignore[typeddict-item]
    end = pendulum.parse(deferred.value.trigger.end)
    assert isinstance(end, pendulum.DateTime)
    rounded = timedelta(seconds=0.1)  # two clocks
    assert started - rounded <= end.subtract(seconds=60) <= ready + rounded, "not from the end of a poll that took 2 s"


@pytest.mark.parametrize("of_an_operator", [True, False])
def test_many_tickets_do_not_keep_a_task_from_deferring(
    sandbox: RunningSandbox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, of_an_operator: bool
) -> None:
    """Polling them one after the other takes long. Deferring is meant to free the worker's slot at once."""
    monkeypatch.setattr(polling, "LAST_POLL_SECONDS", 1.0)
    connect(requests_per_second=4)
    ticket_ids = send(sandbox, 40)
    if of_an_operator:
        send_operator = SendNotificationOperator(
            task_id="s", target_type="pass", pass_id=123, value="x", wait_for_completion=True, deferrable=True
        )
        execute = partial(send_operator.wait_for_tickets, {}, ticket_ids, None)
    else:
        sensor = NotificationTicketSensor(task_id="s", ticket_id=ticket_ids, deferrable=True)
        sensor.pre_execute({})  # type: ignore[typeddict-item]
        execute = partial(sensor.execute, {})
    with pytest.raises(TaskDeferred) as deferred:
        execute()
    assert polls(sandbox) < 40
    assert sorted(deferred.value.trigger.ticket_ids) == ticket_ids
    assert deferred.value.trigger.initial_state["problem"] == "" or not polls(sandbox)
