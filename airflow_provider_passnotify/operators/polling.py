"""Poll tickets until they end, inside an Airflow task. The operators and the sensor share this code.

What an answer means is in :mod:`~airflow_provider_passnotify.api.ticket_tracker`. This module adds the clock, the
client and Airflow's errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_passnotify.api.protocol import ticket_request
from airflow_provider_passnotify.api.ticket_event import as_event
from airflow_provider_passnotify.api.ticket_poll import LAST_POLL_SECONDS, NO_ANSWER, PollSchedule
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import Ticket, TicketState
from airflow_provider_passnotify.arguments import MAX_DURATION
from airflow_provider_passnotify.exceptions import (
    FinalTicketFailedError,
    FinalTicketTimeoutError,
    PassNotifyConfigError,
    RejectedError,
    TicketError,
    TicketFailedError,
    TicketTimeoutError,
    explain,
)
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook

if TYPE_CHECKING:
    from airflow_provider_passnotify.api.client import PassNotifyClient

TRIGGERER_GRACE = timedelta(minutes=1)
"""Airflow itself gives up this much later than the trigger. This matters only if no triggerer is running."""
_ACCEPTED = "What the API accepted stays accepted."
_CANNOT_ASK = (
    "Mend the cause. A sensor can be cleared then: it only asks.",
    "A task that sends: a clear sends again (with on_clear='resend'). To ask only, use the sensor with this ticketId.",
)
_FAILED = (
    "Nothing, if Airflow retries the task: the retry does it again for the tickets that failed.",
    "A tag, segment or template: look first whether some passes have got it already.",
)
_FAILED_FINAL = (
    "Look which passes failed, and why: the children of the ticket tell.",
    "To send again, clear the task that sent.",
)
_LATE = (
    "Nothing, if Airflow retries the task: the retry waits for the same tickets, and sends nothing.",
    "The API needs longer than {limit}: make {limit} longer.",
)
_LATE_FINAL = ("Ask later: a NotificationTicketSensor with this ticketId only asks. Nothing needs to be sent again.",)


class _TimeUpError(Exception):
    """The poll cycle has used all the time that it may take."""


def polling_client(hook: PassNotifyHook) -> PassNotifyClient:
    """Return a client that makes only one attempt. The next poll takes the place of a retry."""
    from airflow_provider_passnotify.api.client import PassNotifyClient

    client = hook.get_conn()
    return PassNotifyClient(replace(client.config, max_retries=0), client.rate_limiter)


def poll(
    tracker: TicketTracker,
    client: PassNotifyClient,
    *,
    until: float,
    check: Callable[[], None] | None = None,
) -> None:
    """Poll each ticket that has not ended once.

    :param until: the time (monotonic clock) when the time is up. The poll cycle may take :data:`LAST_POLL_SECONDS`
        longer. Before a task defers, this is now: the triggerer then polls the remaining tickets, many at a time.
    :param check: called before each poll, and from time to time. It can raise an exception to end the poll cycle.
    """
    last_moment = max(until, time.monotonic()) + LAST_POLL_SECONDS

    def go_on() -> None:
        if check:
            check()
        if time.monotonic() >= last_moment:
            raise _TimeUpError

    try:
        for ticket_id in tracker.begin_cycle():
            if not tracker.take(ticket_id, client.call(ticket_request(ticket_id), before_attempt=go_on)):
                break
    except _TimeUpError:
        if not tracker.cycle.answered:
            tracker.cycle.problem = tracker.cycle.problem or NO_ANSWER


def wait_here(
    tracker: TicketTracker, client: PassNotifyClient, schedule: PollSchedule, *, until: float, check: Callable[[], None]
) -> None:
    """Poll, and keep the worker slot, until all tickets have ended or the time is up.

    :param until: a time of the monotonic clock.
    :param check: called from time to time. It can raise an exception to end the waiting.
    """
    from airflow_provider_passnotify.api.client import wait

    while tracker.end is None:
        poll(tracker, client, until=until, check=check)
        tracker.timed_out = time.monotonic() >= until
        if tracker.end is None:
            wait(min(schedule.next(tracker.cycle), until - time.monotonic()), check)


def defer(
    operator: BaseOperator,
    context: Mapping[str, Any],
    tracker: TicketTracker,
    *,
    conn_id: str,
    timeout: float,
    poll_interval: float,
    kwargs: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Let the triggerer poll the remaining tickets. After that, ``execute_complete`` of the operator is called.

    :param timeout: seconds. ``execution_timeout`` is applied too: Airflow 3 ignores it while a task is deferred.
    :param kwargs: for ``execute_complete``. In Airflow's ``dag.test()`` they do not arrive there; only the event does.
    :param more: more arguments for the trigger.
    """
    from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger

    now = pendulum.now("UTC")
    end = now + timedelta(seconds=min(timeout, MAX_DURATION.total_seconds()))
    execution_end = _execution_end(operator, context)
    by_execution_timeout = execution_end is not None and execution_end <= end
    if execution_end is not None:
        end = min(end, execution_end)
    operator.defer(
        trigger=NotificationTicketTrigger(
            tracker.left,
            end=end.isoformat(),
            poll_interval=poll_interval,
            passnotify_conn_id=conn_id,
            success_statuses=tracker.words.success,
            failure_statuses=tracker.words.failure,
            so_far=as_event(tracker),
            by_execution_timeout=by_execution_timeout,
            **more,
        ),
        method_name="execute_complete",
        kwargs=kwargs,
        timeout=timedelta(seconds=max(0.0, (end - now).total_seconds())) + TRIGGERER_GRACE,
    )


def conclude(tracker: TicketTracker, *, final: bool, whom: str = "") -> None:
    """Return if every ticket succeeded.

    :param final: whether Airflow must not retry.
    :param whom: the target, if there is only one.
    :raises TicketFailedError: if a ticket failed.
    :raises TicketTimeoutError: if a ticket did not end in time; ``AirflowTaskTimeout`` if Airflow would raise that.
    :raises RejectedError: if the API rejected a look-up.
    :raises PassNotifyConfigError: if the connection cannot be used.
    """
    if tracker.end is None:
        raise TicketError(
            explain(
                "The tickets to wait for have changed while the task was deferred.",
                known=tracker.facts,
                ways=["Clear the task: it asks for the tickets of now."],
                section="Tickets",
            )
        )
    if tracker.end is End.ERROR and tracker.rejected:
        ticket_id, verdict = tracker.rejected
        raise RejectedError(ticket_request(ticket_id), verdict, [_ACCEPTED], _CANNOT_ASK)
    if tracker.end is End.ERROR:
        raise PassNotifyConfigError(
            explain(
                "The tickets cannot be looked up: the Airflow connection cannot be used.",
                known=[*tracker.facts, _ACCEPTED],
                ways=_CANNOT_ASK,
                section="Tickets",
            )
        )
    if tracker.end is End.FAILED:
        failed = tracker.tickets(TicketState.FAILED)
        message = explain(
            f"{_named(failed, tracker, whom)} failed.",
            known=tracker.facts,
            ways=_FAILED_FINAL if final else _FAILED,
            section="Tickets",
        )
        raise (FinalTicketFailedError if final else TicketFailedError)(message, failed)
    if tracker.end is End.TIMEOUT:
        left = tracker.tickets(TicketState.RUNNING)
        by_airflow = tracker.by_execution_timeout
        limit = "execution_timeout" if by_airflow else "timeout"
        message = explain(
            f"{_named(left, tracker, whom)} did not end in time ({limit}).",
            known=[*tracker.facts, _ACCEPTED],
            ways=_LATE_FINAL if final else [way.format(limit=limit) for way in _LATE],
            section="Tickets",
        )
        if by_airflow:
            raise AirflowTaskTimeout(message)
        raise (FinalTicketTimeoutError if final else TicketTimeoutError)(message, left)


def _named(tickets: list[Ticket], tracker: TicketTracker, whom: str) -> str:
    total = len(tracker.tickets())
    if total > 1:
        return f"{len(tickets)} of {total} tickets"
    return f"Ticket {tickets[0].id} for {whom}" if whom else f"Ticket {tickets[0].id}"


def states_of(context: Mapping[str, Any], task_ids: list[str]) -> list[str | None]:
    """Return the states of tasks of this run. For tasks mapped together with this one, the same map index is used."""
    ti = context["ti"]
    if hasattr(ti, "get_task_states"):
        states = ti.get_task_states(ti.dag_id, task_ids=task_ids, run_ids=[ti.run_id]).get(ti.run_id, {})
        mine = {task_id: states.get(f"{task_id}_{ti.map_index}", states.get(task_id)) for task_id in task_ids}
        return [mine[task_id] for task_id in task_ids]
    found = []  # Airflow 2
    for task_id in task_ids:
        other = context["dag_run"].get_task_instance(task_id, map_index=ti.map_index)
        other = other or context["dag_run"].get_task_instance(task_id)
        found.append(None if other is None else other.state)
    return found


def mapped_states_of(context: Mapping[str, Any], task_id: str) -> list[str | None]:
    """Return the states of all instances of a mapped task of this run."""
    ti = context["ti"]
    if hasattr(ti, "get_task_states"):
        return list(ti.get_task_states(ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id]).get(ti.run_id, {}).values())
    return [other.state for other in context["dag_run"].get_task_instances() if other.task_id == task_id]  # Airflow 2


def _execution_end(operator: BaseOperator, context: Mapping[str, Any]) -> pendulum.DateTime | None:
    if operator.execution_timeout is None:
        return None
    started: datetime | None = getattr(context.get("ti"), "start_date", None)
    started = started or pendulum.now("UTC")
    return pendulum.instance(started).in_timezone("UTC") + min(operator.execution_timeout, MAX_DURATION)
