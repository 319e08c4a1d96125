"""The trigger: it polls tickets for a deferred task. It never sends, so that it may run twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_passnotify.api.protocol import ticket_request
from airflow_provider_passnotify.api.ticket_poll import LAST_POLL_SECONDS, NO_ANSWER, PollSchedule, TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords
from airflow_provider_passnotify.exceptions import PassNotifyConfigError
from airflow_provider_passnotify.hooks.passnotify import DEFAULT_CONN_ID
from airflow_provider_passnotify.triggers.shared_client import SharedClient, shared_client

CALLS_AT_ONCE = 16
MAX_CYCLES_WITHOUT_CONNECTION = 3
"""Rounds in a row without a connection of that id, until it counts as missing: a secrets backend that is away looks the
same."""
_ARGUMENTS = (
    "ticket_ids",
    "end",
    "poll_interval",
    "passnotify_conn_id",
    "success_statuses",
    "failure_statuses",
    "growth",
    "longest_interval",
    "so_far",
    "by_execution_timeout",
)


class NotificationTicketTrigger(BaseTrigger):
    """Poll tickets until all have ended or the time is up, and fire one event that says how.

    The event is ``{"status": "success" | "failed" | "timeout" | "error", "message": ..., "tickets": [...], ...}``, see
    :meth:`~airflow_provider_passnotify.api.ticket_poll.TicketTracker.as_event`.

    :param ticket_ids: the tickets to wait for.
    :param end: when the time is up, ISO 8601: absolute, so that a restarted triggerer does not begin anew.
    :param poll_interval: seconds between two looks at a ticket.
    :param passnotify_conn_id: the Airflow connection.
    :param success_statuses: more words that mean success.
    :param failure_statuses: more words that mean failure.
    :param growth: what ``poll_interval`` is multiplied by after each round.
    :param longest_interval: seconds that growth ends at.
    :param so_far: what the worker knew, as an event; the event holds it, too.
    :param by_execution_timeout: whether ``end`` is the task's ``execution_timeout``.
    """

    def __init__(
        self,
        ticket_ids: Iterable[int],
        *,
        end: str,
        poll_interval: float,
        passnotify_conn_id: str = DEFAULT_CONN_ID,
        success_statuses: Iterable[str] = (),
        failure_statuses: Iterable[str] = (),
        growth: float = 1.0,
        longest_interval: float | None = None,
        so_far: Mapping[str, Any] | None = None,
        by_execution_timeout: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ticket_ids = list(ticket_ids)
        self.end = end
        self.poll_interval = poll_interval
        self.passnotify_conn_id = passnotify_conn_id
        self.success_statuses = list(success_statuses)
        self.failure_statuses = list(failure_statuses)
        self.growth = growth
        self.longest_interval = longest_interval
        self.so_far = so_far
        self.by_execution_timeout = by_execution_timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in _ARGUMENTS}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire the event."""
        tracker = TicketTracker(self.ticket_ids, StatusWords(self.success_statuses, self.failure_statuses))
        if self.so_far:
            tracker.load(self.so_far)
        tracker.by_execution_timeout = self.by_execution_timeout
        schedule = PollSchedule(self.poll_interval, growth=self.growth, longest=self.longest_interval)
        async with shared_client(self.passnotify_conn_id) as shared:
            await self._wait(tracker, schedule, shared)
        yield TriggerEvent(tracker.as_event())  # type: ignore[no-untyped-call]

    async def _wait(self, tracker: TicketTracker, schedule: PollSchedule, shared: SharedClient) -> None:
        # The clock of the loop from here on: the time of day may be set.
        loop = asyncio.get_running_loop()
        end = loop.time() + (datetime.fromisoformat(self.end) - pendulum.now("UTC")).total_seconds()
        missing = 0
        # The worker has just looked, and a restarted triggerer starts all at once.
        wait = schedule.first() + tracker.retry_after
        while tracker.end is None:
            await asyncio.sleep(max(0.0, min(wait, end - loop.time())))
            try:
                await asyncio.wait_for(_look(tracker, shared), max(0.0, end - loop.time()) + LAST_POLL_SECONDS)
                missing = 0
            except asyncio.TimeoutError:
                tracker.problem = tracker.problem or NO_ANSWER
            except AirflowNotFoundException as error:
                missing += 1
                tracker.server_problem(f"connection {self.passnotify_conn_id!r} was not found: {error}")
                if missing == MAX_CYCLES_WITHOUT_CONNECTION:
                    tracker.error = f"Looked up {missing} times in a row: {tracker.problem}"
            except PassNotifyConfigError as error:
                tracker.error = str(error)
            tracker.timed_out = loop.time() >= end
            wait = schedule.next(tracker)


async def _look(tracker: TicketTracker, shared: SharedClient) -> None:
    """Ask for each ticket that has not ended, a few at a time."""
    ticket_ids = iter(tracker.begin_cycle())

    async def ask() -> None:
        for ticket_id in ticket_ids:
            if not tracker.take(ticket_id, await shared.look(ticket_request(ticket_id))):
                for _ in ticket_ids:  # nobody goes on with this round
                    pass

    try:
        await shared.ready()
    except (PassNotifyConfigError, AirflowNotFoundException):
        raise
    except Exception as error:  # noqa: BLE001 (whatever Airflow's look-up met may be over at the next interval)
        tracker.server_problem(f"the connection could not be looked up: {type(error).__name__}: {error}")
        return
    await asyncio.gather(*(ask() for _ in range(min(CALLS_AT_ONCE, len(tracker.left)))))
