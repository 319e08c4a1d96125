"""The sensor: it waits for tickets that other tasks received."""

from __future__ import annotations

import ast
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_passnotify.api.ticket_event import load_event
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords, clean_ticket_id
from airflow_provider_passnotify.arguments import (
    MAX_DURATION,
    check_conn_id,
    check_flags,
    checked,
    is_resolved_at_runtime,
    materialize,
    seconds_of,
)
from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.hooks.passnotify import DEFAULT_CONN_ID, PassNotifyHook
from airflow_provider_passnotify.operators import polling
from airflow_provider_passnotify.operators.rendering import TextFields

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_passnotify.api.client import PassNotifyClient

__all__ = ["NotificationTicketSensor"]


log = logging.getLogger(__name__)


class NotificationTicketSensor(TextFields, BaseSensorOperator):
    """Wait until all tickets have ended. If one of them failed, the sensor then fails.

    The XCom is always a list: the final state of each ticket, in the order in which they were given, as
    :meth:`~airflow_provider_passnotify.api.tickets.Ticket.as_dict` returns it. It is pushed before a failed ticket
    fails the sensor. With more than 100 tickets, ``created_at`` and ``children`` are kept only for failed tickets.

    If a poll fails for a reason that may pass (429, 5xx, no connection), or if its answer cannot be read, the ticket is
    polled again after the next interval. If the API does not know a ticket, or rejects the credential, the sensor fails
    at once. Airflow does not retry a failed sensor, because the end of a ticket does not change. With ``soft_fail`` it
    is skipped instead. Both are true in every mode.

    :param ticket_id: one ticketId, a list of them, or an XCom with one or the other. A list may contain XComs. With an
        empty list, the sensor succeeds at once. If the task that gives an XCom was skipped, that XCom is left out. If
        that task failed, the sensor fails. The same is true for each instance of a mapped task.
    :param passnotify_conn_id: the Airflow connection.
    :param success_statuses: more words that mean that a ticket succeeded.
    :param failure_statuses: more words that mean that it failed.
    :param deferrable: wait in the triggerer, without a worker slot. ``poke_interval``, ``timeout``, ``soft_fail``,
        ``exponential_backoff`` and ``max_wait`` have the same meaning there.
    :param kwargs: the arguments of Airflow's ``BaseSensorOperator``.
    """

    template_fields: Sequence[str] = ("ticket_id", "passnotify_conn_id")
    text_fields = frozenset(template_fields)
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        ticket_id: int | str | Iterable[Any],
        passnotify_conn_id: str = DEFAULT_CONN_ID,
        success_statuses: Iterable[str] | None = None,
        failure_statuses: Iterable[str] | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        try:
            super().__init__(**kwargs)
        except OverflowError:
            raise InvalidNotificationError(
                f"Task {kwargs.get('task_id')!r}: poke_interval, timeout or max_wait is longer than "
                f"{MAX_DURATION.days:,} days."
            ) from None
        self.ticket_id = ticket_id = materialize(ticket_id)
        self.passnotify_conn_id = passnotify_conn_id
        self.success_statuses = materialize(success_statuses)
        self.failure_statuses = materialize(failure_statuses)
        self.deferrable = deferrable
        self._tracker = self._new_tracker([] if is_resolved_at_runtime(ticket_id) else ticket_id, later=True)
        self._until = float("inf")
        self._quiet_until = 0.0

    @cached_property
    def hook(self) -> PassNotifyHook:
        """The hook. It is created once, so that the connection is looked up only once."""
        return PassNotifyHook(self.passnotify_conn_id)

    @cached_property
    def client(self) -> PassNotifyClient:
        """The client. It is created once, so that its rate limit also holds between pokes."""
        return polling.polling_client(self.hook)

    def pre_execute(self, context: Context) -> None:
        """Start again from nothing. A wrong ticketId is refused here, because here ``soft_fail`` does not hide it."""
        super().pre_execute(context)
        self._tracker = self._new_tracker(self.ticket_id)
        self._until = time.monotonic() + self.timeout

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once for each ticket that has not ended. If one is still left and ``deferrable`` is set, defer."""
        tracker = self._tracker
        if tracker.end is None:
            self._poll(tracker)
            # Airflow would also raise a time-out, but its error would say nothing about the tickets.
            tracker.timed_out = not self.reschedule and not self.deferrable and time.monotonic() > self._until
        if tracker.end is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, tracker))
        log.info("%s", tracker.message)
        if self.deferrable:
            polling.defer(
                self,
                context,
                tracker,
                conn_id=self.passnotify_conn_id,
                timeout=max(0.0, min(self.timeout, self._until - time.monotonic())),
                poll_interval=self.poke_interval,
                growth=2.0 if self.exponential_backoff else 1.0,
                longest_interval=self.max_wait.total_seconds() if self.max_wait else None,
            )
        return PokeReturnValue(is_done=False)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Go on after the triggerer has waited."""
        tracker = self._new_tracker(self.ticket_id)
        load_event(tracker, event)
        return self._conclude(context, tracker)

    def check_given(self) -> None:
        """Refuse a ``ticket_id`` without a value. The error says what a list of XComs can do and ``expand`` cannot.

        :raises ValueError: it names the argument.
        """
        if "ticket_id" in self._came_to_nothing:
            raise ValueError(
                "ticket_id came to nothing: the task that it was to come from was skipped, failed, or returned no "
                "ticketId; in expand and in a Jinja template nothing tells which. What you can do: give the XComs "
                "themselves, as in ticket_id=[a.output, b.output]; then what comes from skipped tasks is left out."
            )
        super().check_given()

    def _render_text(self, given: Any, context: Mapping[str, Any], env: jinja2.Environment, seen_oids: set[int]) -> Any:
        """Render the ticketIds. An XCom of a skipped task gives no ticketId."""
        if isinstance(given, list | tuple) and id(given) not in seen_oids:
            found: list[Any] = []
            for part in given:
                rendered = self._render_text(part, context, env, seen_oids)
                is_list = isinstance(rendered, Iterable) and not isinstance(rendered, str | bytes | Mapping)
                found += rendered if is_list else [rendered]
            return found
        rendered = super()._render_text(given, context, env, seen_oids)
        if rendered is None and hasattr(given, "iter_references"):
            task_ids = sorted({operator.task_id for operator, _ in given.iter_references()})
            states = polling.states_of(context, task_ids)
            if states and all(state == "skipped" for state in states):
                log.info("Left out: the ticketId of %s, which was skipped.", ", ".join(task_ids))
                return []
            log.error("There is no ticketId of %s (%s).", ", ".join(task_ids), ", ".join(map(str, states)))
        elif type(rendered).__name__.startswith("LazyXCom") and hasattr(given, "operator"):
            return self._of_mapped(given.operator.task_id, list(rendered), context)
        return rendered

    @staticmethod
    def _of_mapped(task_id: str, found: list[Any], context: Mapping[str, Any]) -> list[Any]:
        """Return what a mapped task pushed, and ``None`` for each instance that pushed nothing but was not skipped."""
        states = polling.mapped_states_of(context, task_id)
        skipped = states.count("skipped")
        if skipped:
            log.info("Left out: %d ticketIds of %s, which were skipped.", skipped, task_id)
        missing = len(states) - skipped - states.count("removed") - len(found)
        if missing > 0:
            others = sorted({str(state) for state in states} - {"skipped", "removed", "success"}) or ["success"]
            log.error("There are no ticketIds of %d instances of %s (%s).", missing, task_id, ", ".join(others))
        return [*found, *[None] * missing]

    def _poll(self, tracker: TicketTracker) -> None:
        quiet = self._quiet_until - time.monotonic()
        if quiet > 0:
            log.info("Not asked: the API wants to be left alone for %.0f s more (Retry-After).", quiet)
            return
        with closing(self.client) as client:
            polling.poll(tracker, client, until=time.monotonic() if self.deferrable else self._until)
        self._quiet_until = time.monotonic() + tracker.cycle.retry_after

    def _conclude(self, context: Context, tracker: TicketTracker) -> list[dict[str, Any]]:
        known = {ticket.id: ticket.as_dict() for ticket in tracker.tickets()}
        states = [known[ticket_id] for ticket_id in self._ticket_ids(self.ticket_id)]
        if tracker.end is End.FAILED and self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=states)
        polling.conclude(tracker, final=True)
        log.info("%s", tracker.message)
        return states

    def _new_tracker(self, ticket_id: object, *, later: bool = False) -> TicketTracker:
        def build() -> TicketTracker:
            self.check_given()
            check_conn_id(self.passnotify_conn_id)
            check_flags(deferrable=self.deferrable)
            seconds_of("poke_interval", self.poke_interval)
            seconds_of("timeout", self.timeout)
            words = StatusWords(self.success_statuses or (), self.failure_statuses or ())
            return TicketTracker(self._ticket_ids(ticket_id, later=later), words)

        return checked(build, f"Task {self.task_id!r}: ")

    @staticmethod
    def _ticket_ids(value: object, *, later: bool = False) -> list[int]:
        """Return the ids, in order. ``later`` leaves out values that are only known when the task runs."""
        if isinstance(value, str) and value.lstrip().startswith(("[", "(")):
            try:
                value = ast.literal_eval(value)  # a list that Jinja has rendered
            except (ValueError, SyntaxError):
                raise ValueError(f"ticket_id is no list of ticketIds: {value!r:.80}") from None
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return [clean_ticket_id(value)]
        return [
            clean_ticket_id(item, f"ticket_id[{index}]")
            for index, item in enumerate(value)
            if not (later and is_resolved_at_runtime(item))
        ]
