"""The trigger: it polls tickets for a deferred task. It never sends, because a trigger may run twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_passnotify.api.protocol import ticket_request
from airflow_provider_passnotify.api.ticket_event import as_event, load_event
from airflow_provider_passnotify.api.ticket_poll import LAST_POLL_SECONDS, NO_ANSWER, PollSchedule
from airflow_provider_passnotify.api.ticket_tracker import TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords
from airflow_provider_passnotify.exceptions import PassNotifyConfigError
from airflow_provider_passnotify.hooks.passnotify import DEFAULT_CONN_ID
from airflow_provider_passnotify.triggers.shared_client import SharedClient, shared_client

__all__ = ["NotificationTicketTrigger"]

CALLS_AT_ONCE = 16
MAX_CYCLES_WITHOUT_CONNECTION = 3
"""If the connection is not found in so many poll cycles in a row, it counts as missing. (A secrets backend that cannot
be reached looks the same, so one poll cycle is not enough.)"""


class NotificationTicketTrigger(BaseTrigger):
    """Poll tickets until all have ended or the time is up. Then fire one event that says how they ended.

    The event is ``{"status": "success" | "failed" | "timeout" | "error", "message": ..., "tickets": [...], ...}``, see
    :func:`~airflow_provider_passnotify.api.ticket_event.as_event`.

    :param ticket_ids: the tickets to wait for.
    :param end: when the time is up, ISO 8601. It is absolute, so that a restarted triggerer does not start from zero.
    :param poll_interval: seconds between two polls of a ticket.
    :param passnotify_conn_id: the Airflow connection.
    :param success_statuses: more words that mean success.
    :param failure_statuses: more words that mean failure.
    :param growth: ``poll_interval`` is multiplied by this after each poll cycle.
    :param longest_interval: ``poll_interval`` grows up to this, in seconds.
    :param so_far: the initial state: what the worker knew when it deferred, as an event. The final event includes it.
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
        self.initial_state = so_far
        self.by_execution_timeout = by_execution_timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        # Airflow stores both in its database: a task that is deferred during an upgrade is resumed by the new release.
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "ticket_ids": self.ticket_ids,
            "end": self.end,
            "poll_interval": self.poll_interval,
            "passnotify_conn_id": self.passnotify_conn_id,
            "success_statuses": self.success_statuses,
            "failure_statuses": self.failure_statuses,
            "growth": self.growth,
            "longest_interval": self.longest_interval,
            "so_far": self.initial_state,
            "by_execution_timeout": self.by_execution_timeout,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire the event."""
        tracker = TicketTracker(self.ticket_ids, StatusWords(self.success_statuses, self.failure_statuses))
        if self.initial_state:
            load_event(tracker, self.initial_state)
        tracker.by_execution_timeout = self.by_execution_timeout
        schedule = PollSchedule(self.poll_interval, growth=self.growth, longest=self.longest_interval)
        async with shared_client(self.passnotify_conn_id) as shared:
            await self._wait(tracker, schedule, shared)
        yield TriggerEvent(as_event(tracker))  # type: ignore[no-untyped-call]

    async def _wait(self, tracker: TicketTracker, schedule: PollSchedule, shared: SharedClient) -> None:
        # From here on the event loop's clock counts: the time of day may be changed.
        loop = asyncio.get_running_loop()
        end = loop.time() + (datetime.fromisoformat(self.end) - pendulum.now("UTC")).total_seconds()
        missing = 0
        # The worker has just polled; and a restarted triggerer starts all its triggers at once.
        wait = schedule.first() + tracker.cycle.retry_after
        while tracker.end is None:
            await asyncio.sleep(max(0.0, min(wait, end - loop.time())))
            try:
                await asyncio.wait_for(_poll(tracker, shared), max(0.0, end - loop.time()) + LAST_POLL_SECONDS)
                missing = 0
            except asyncio.TimeoutError:
                tracker.cycle.problem = tracker.cycle.problem or NO_ANSWER
            except AirflowNotFoundException as error:
                missing += 1
                tracker.cycle.note_server_problem(f"connection {self.passnotify_conn_id!r} was not found: {error}")
                if missing == MAX_CYCLES_WITHOUT_CONNECTION:
                    tracker.error = f"Looked up {missing} times in a row: {tracker.cycle.problem}"
            except PassNotifyConfigError as error:
                tracker.error = str(error)
            tracker.timed_out = loop.time() >= end
            wait = schedule.next(tracker.cycle)


async def _poll(tracker: TicketTracker, shared: SharedClient) -> None:
    """Poll each ticket that has not ended once, a few at a time."""
    queue = deque(tracker.begin_cycle())
    goes_on = True

    async def poll_next() -> None:
        nonlocal goes_on
        while queue and goes_on:
            ticket_id = queue.popleft()
            verdict = await shared.poll(ticket_request(ticket_id))
            if not tracker.take(ticket_id, verdict):
                goes_on = False

    try:
        await shared.ready()
    except (PassNotifyConfigError, AirflowNotFoundException):
        raise
    except Exception as error:  # noqa: BLE001 (it may work at the next interval)
        tracker.cycle.note_server_problem(f"the connection could not be looked up: {type(error).__name__}: {error}")
        return
    await asyncio.gather(*(poll_next() for _ in range(min(CALLS_AT_ONCE, len(queue)))))
