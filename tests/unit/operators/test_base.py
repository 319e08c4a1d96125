"""What the operators and the sensor refuse while the DAG is parsed, and what they give to the trigger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
import requests
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor

SEND = {"task_id": "t", "target_type": "pass", "pass_id": 123, "value": "x"}


@pytest.fixture
def sandbox(connection: Callable[..., str]) -> Iterator[RunningSandbox]:
    with running_sandbox(ticket_seconds=0) as running:
        fields = json.loads(running.connection)
        connection(host=fields["host"], login=fields["login"], password=fields["password"])
        yield running


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"poll_interval": 0}, "poll_interval must be seconds (a number from 0.1) or a timedelta, not 0"),
        ({"poll_interval": "5"}, "poll_interval must be seconds"),
        ({"poll_interval": True}, "poll_interval must be seconds"),
        ({"poll_interval": timedelta(0)}, "poll_interval must be seconds"),
        ({"timeout": -1}, "timeout must be seconds (a number from 0)"),
        ({"timeout": None}, "timeout must be seconds"),
        ({"timeout": float("inf")}, "timeout must be seconds"),
        ({"timeout": float("nan")}, "timeout must be seconds"),
        ({"timeout": 1e12}, "timeout must be no longer than 3650 days, not 1000000000000.0"),
        ({"timeout": 10**400}, "timeout must be no longer than 3650 days"),
        ({"poll_interval": timedelta.max}, "poll_interval must be no longer than 3650 days"),
        ({"wait_for_completion": "false"}, "wait_for_completion must be True or False, not 'false'"),
        ({"wait_for_completion": 1}, "wait_for_completion must be True or False, not 1"),
        ({"deferrable": "false"}, "deferrable must be True or False, not 'false'"),
        ({"deferrable": None}, "deferrable must be True or False, not None"),
        ({"passnotify_conn_id": None}, "passnotify_conn_id must be the id of a connection, not None"),
        ({"passnotify_conn_id": " "}, "passnotify_conn_id must be the id of a connection"),
        ({"success_statuses": 5}, "success_statuses must be a list of words, not 5"),
        ({"success_statuses": "DONE"}, "success_statuses must be a list of words"),
        (
            {"failure_statuses": ["ODD"], "success_statuses": ["odd"]},
            "success_statuses and failure_statuses both hold ODD",
        ),
    ],
)
def test_what_cannot_be_waited_by_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNotificationError) as refused:
        SendNotificationOperator(**SEND, **arguments)
    assert f"Task 't': {message}" in str(refused.value)
    with pytest.raises(InvalidNotificationError):
        DeleteNotificationOperator(task_id="t", target_type="pass", pass_id=1, **arguments)


@pytest.mark.parametrize("value", [None, "None", True, -1, "abc", [1, None], ["{{ x }}", -1], 1.5, "[1, 'x']", "[1"])
def test_a_sensor_refuses_what_is_no_ticket_id(value: Any) -> None:
    with pytest.raises(InvalidNotificationError, match="Task 's': ticket_id"):
        NotificationTicketSensor(task_id="s", ticket_id=value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deferrable": "false"}, "Task 's': deferrable must be True or False, not 'false'"),
        ({"deferrable": None}, "Task 's': deferrable must be True or False, not None"),
        ({"timeout": 1e12}, "Task 's': timeout must be no longer than 3650 days"),
        ({"timeout": timedelta.max}, "Task 's': timeout must be no longer than 3650 days"),
        ({"poke_interval": 1e12}, "Task 's': poke_interval must be no longer than 3650 days"),
        ({"timeout": 1e18}, "Task 's': poke_interval, timeout or max_wait is longer than 3,650 days."),
        ({"poke_interval": float("inf")}, "Task 's': poke_interval, timeout or max_wait is longer than 3,650 days."),
        ({"failure_statuses": 5}, "Task 's': failure_statuses must be a list of words, not 5"),
    ],
)
def test_a_sensor_refuses_what_cannot_be_waited_by(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNotificationError) as refused:
        NotificationTicketSensor(task_id="s", ticket_id=1, **arguments)
    assert str(refused.value).startswith(message)


def test_words_may_come_from_a_generator() -> None:
    for make in (
        lambda **words: NotificationTicketSensor(task_id="s", ticket_id=1, **words),
        lambda **words: SendNotificationOperator(**SEND, **words),
    ):
        operator = make(success_statuses=(word for word in ["Shown"]), failure_statuses=iter(["Lost"]))
        for _ in range(2):
            words = operator._new_tracker([]).words
            assert (words.success, words.failure) == (("Shown",), ("Lost",))


@pytest.mark.parametrize("value", [0, 1, "1", [], [1, "2"], "{{ x }}", ["{{ x }}", 1], "[1, '2']"])
def test_a_sensor_takes_ids_and_templates(value: Any) -> None:
    assert NotificationTicketSensor(task_id="s", ticket_id=value).ticket_id == value


@pytest.mark.parametrize("poll", [timedelta(seconds=7), 7])
def test_a_deferral_asks_for_what_is_left_until_the_earlier_limit(sandbox: RunningSandbox, poll: Any) -> None:
    url = f"{sandbox.url}/v1/pass/123/notify"
    ids = [requests.post(url, json={"value": "x"}, auth=sandbox.credential).json()["ticketId"] for _ in range(3)]
    sandbox.set_tickets(ids[0], final="FAILED", seconds=0)
    sandbox.set_tickets(ids[2], hang=True)
    started = pendulum.now("UTC")
    context: Any = {"ti": SimpleNamespace(start_date=started)}
    for limits, seconds, by_execution_timeout in (
        ({"timeout": timedelta(minutes=10)}, 600, False),
        ({"timeout": 600, "execution_timeout": timedelta(seconds=60)}, 60, True),
        ({"timeout": 60, "execution_timeout": timedelta(seconds=600)}, 60, False),
        ({"timeout": 60, "execution_timeout": timedelta.max}, 60, False),
        ({"timeout": timedelta(days=3650)}, 3650 * 86400, False),
    ):
        operator = SendNotificationOperator(
            **SEND, wait_for_completion=True, deferrable=True, poll_interval=poll, failure_statuses=["odd"], **limits
        )
        with pytest.raises(TaskDeferred) as deferred:
            operator.wait_for_tickets(context, ids, 5)
        ended = pendulum.now("UTC")
        trigger = deferred.value.trigger
        assert trigger.ticket_ids == [ids[2]]
        assert trigger.poll_interval == 7
        assert trigger.failure_statuses == ["odd"]
        assert trigger.by_execution_timeout is by_execution_timeout
        end = pendulum.parse(trigger.end)
        assert isinstance(end, pendulum.DateTime)
        clock_step = timedelta(seconds=1)  # a machine's clock may be set meanwhile
        assert started - clock_step <= end.subtract(seconds=seconds) <= ended + clock_step
        assert deferred.value.timeout is not None
        assert type(deferred.value.timeout) is timedelta, "Airflow cannot send a pendulum Duration"
        assert deferred.value.timeout - timedelta(minutes=1) <= timedelta(seconds=seconds)
        assert deferred.value.kwargs == {"result": 5}
        known = [(ticket["id"], ticket["state"]) for ticket in trigger.initial_state["tickets"]]
        assert known == [(ids[0], "failed"), (ids[1], "succeeded")]


def test_without_wait_for_completion_nothing_is_asked(sandbox: RunningSandbox) -> None:
    operator = SendNotificationOperator(**SEND, deferrable=True)
    assert operator.wait_for_tickets({}, [1, 2], "result") == "result"  # type: ignore[typeddict-item]
    assert sandbox.requests()["methods"]["GET"] == 0
