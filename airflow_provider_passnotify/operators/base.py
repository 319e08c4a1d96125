"""What all operators have in common: they can wait for tickets, and they have the arguments that name a target."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_passnotify import retry_policy
from airflow_provider_passnotify.api.ticket_event import load_event
from airflow_provider_passnotify.api.ticket_poll import PollSchedule
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket
from airflow_provider_passnotify.arguments import check_conn_id, check_flags, checked, materialize, seconds_of
from airflow_provider_passnotify.exceptions import JournalError, TicketError, TicketFailedError, explain
from airflow_provider_passnotify.hooks.passnotify import DEFAULT_CONN_ID, PassNotifyHook
from airflow_provider_passnotify.operators import polling
from airflow_provider_passnotify.operators.rendering import TextFields
from airflow_provider_passnotify.targets import ID_NAMES, Id, TargetType

if TYPE_CHECKING:
    from airflow.sdk import Context

R = TypeVar("R")

log = logging.getLogger(__name__)
_DEFERRABLE_BY_DEFAULT = conf.getboolean("operators", "default_deferrable", fallback=False)


class TicketOperator(TextFields, BaseOperator):
    """An operator that gets tickets and may wait until they end.

    A subclass checks its arguments in ``_check_arguments``, and calls ``_check`` at the end of its ``__init__``. Its
    ``execute`` returns ``self.wait_for_tickets(context, ticket_ids, result)``.

    :param passnotify_conn_id: the Airflow connection.
    :param wait_for_completion: wait until the API has done what it accepted. If a ticket failed, the task fails with
        :class:`TicketFailedError`. If a ticket does not end in time, it fails with :class:`TicketTimeoutError`.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds (or a timedelta) between two polls of a ticket.
    :param timeout: the longest time to wait, in seconds (or a timedelta), from the moment when the API accepted.
    :param success_statuses: more words that mean that a ticket succeeded.
    :param failure_statuses: more words that mean that it failed.
    """

    def __init__(
        self,
        *,
        passnotify_conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = False,
        deferrable: bool = _DEFERRABLE_BY_DEFAULT,
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = 3600,
        success_statuses: Iterable[str] | None = None,
        failure_statuses: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.passnotify_conn_id = passnotify_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.success_statuses = materialize(success_statuses)
        self.failure_statuses = materialize(failure_statuses)
        self._killed = False

    @cached_property
    def hook(self) -> PassNotifyHook:
        """The hook. It is created once, so that connections are reused within the task."""
        return PassNotifyHook(self.passnotify_conn_id)

    def _check(self) -> None:
        """Refuse what is certainly wrong. Called while the DAG is parsed, and again when the task runs.

        :raises InvalidNotificationError: it names the task and the argument.
        """
        self._checked(self.check_given)
        self._checked(self._check_arguments)

    def _checked(self, build: Callable[[], R]) -> R:
        return checked(build, f"Task {self.task_id!r}: ")

    def _check_arguments(self) -> None:
        """Refuse wrong arguments for the connection and the waiting. Values known only at run time are accepted here.

        :raises ValueError: it names the argument.
        """
        check_conn_id(self.passnotify_conn_id)
        check_flags(wait_for_completion=self.wait_for_completion, deferrable=self.deferrable)
        seconds_of("poll_interval", self.poll_interval, minimum=0.1)
        seconds_of("timeout", self.timeout)
        self._new_tracker([])

    def wait_for_tickets(self, context: Context, ticket_ids: Iterable[int], result: R) -> R:
        """Wait for the tickets if ``wait_for_completion`` is set, here or deferred, and return ``result``.

        :param result: what ``execute`` returns in the end. It must be JSON, because it is stored while the task is
            deferred. (What must be in XCom in any case is pushed before.)
        :raises TicketFailedError: if tickets failed; it is raised after all have ended.
        :raises TicketTimeoutError: if they did not end in time.
        :raises TicketError: if the task was told to stop.
        """
        if not self.wait_for_completion:
            if self.deferrable and not _DEFERRABLE_BY_DEFAULT:
                log.warning("deferrable=True has no effect: the task waits only with wait_for_completion=True.")
            return result
        interval = seconds_of("poll_interval", self.poll_interval)
        timeout = seconds_of("timeout", self.timeout)
        until = time.monotonic() + timeout
        tracker = self._new_tracker(ticket_ids)

        def check() -> None:
            if self._killed:
                raise TicketError(
                    explain(
                        "The task was told to stop while it waited.",
                        known=[*tracker.facts, "What the API accepted stays accepted."],
                        ways=["Nothing, if Airflow retries the task: the retry waits on, and sends nothing."],
                        section="Tickets",
                    ),
                    tracker.tickets(),
                )

        with closing(polling.polling_client(self.hook)) as client:
            if not self.deferrable:
                polling.wait_here(tracker, client, PollSchedule(interval), until=until, check=check)
            else:  # poll once: tickets that have already ended need no triggerer
                polling.poll(tracker, client, until=time.monotonic(), check=check)
        if tracker.end is None:
            polling.defer(
                self,
                context,
                tracker,
                conn_id=self.passnotify_conn_id,
                timeout=max(0.0, until - time.monotonic()),
                poll_interval=interval,
                kwargs={"result": result},
            )
        self._conclude(context, tracker)
        return result

    def execute_complete(self, context: Context, event: Mapping[str, Any], result: Any = None) -> Any:
        """Go on after the triggerer has waited.

        :param result: as given to :meth:`wait_for_tickets`. ``None`` in Airflow's ``dag.test()``, which loses it.
        """
        tracker = self._new_tracker([])
        load_event(tracker, event)
        self._conclude(context, tracker)
        return result

    def on_kill(self) -> None:
        """Stop waiting. A retry continues."""
        self._killed = True

    def on_tickets_failed(self, context: Context, tickets: Iterable[Ticket]) -> None:
        """Do what must be done before the task fails because of failed tickets."""

    def is_final(self, context: Context) -> bool:  # noqa: ARG002
        """Whether a task that failed because of its tickets must not be retried."""
        return False

    def _conclude(self, context: Context, tracker: TicketTracker) -> None:
        final = tracker.end is not End.SUCCESS and self.is_final(context)
        try:
            polling.conclude(tracker, final=final, whom=self._whom())
        except TicketFailedError as error:
            try:
                self.on_tickets_failed(context, error.tickets)
            except JournalError as problem:
                log.error("A retry waits for the same tickets again, and sends nothing. %s", problem)
            raise
        log.info("%s", tracker.message)

    def _whom(self) -> str:
        """Return the target for errors, if there is only one."""
        return ""

    def _new_tracker(self, ticket_ids: Iterable[int]) -> TicketTracker:
        return TicketTracker(ticket_ids, StatusWords(self.success_statuses or (), self.failure_statuses or ()))


class TargetArgumentsOperator(TicketOperator):
    """An operator with ``target_type`` and the ids of all target types.

    :param target_type: ``pass``, ``external_pass``, ``segment``, ``tag``, ``template`` or ``external_template``.
    :param pass_id: for ``pass``.
    :param template_id: for ``external_pass``, ``segment``, ``tag`` and ``template``.
    :param pass_external_id: for ``external_pass``.
    :param project_id: for ``segment``.
    :param segment_id: for ``segment``.
    :param tag: for ``tag``.
    :param template_external_id: for ``external_template``.
    :param kwargs: the arguments of :class:`~airflow_provider_passnotify.operators.base.TicketOperator`: the connection,
        and whether and how to wait for tickets.
    """

    template_fields: Sequence[str] = ("target_type", *ID_NAMES, "passnotify_conn_id")
    text_fields = frozenset(template_fields)
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        target_type: str | TargetType | None = None,
        pass_id: Id | None = None,
        template_id: Id | None = None,
        pass_external_id: Id | None = None,
        project_id: Id | None = None,
        segment_id: Id | None = None,
        tag: Id | None = None,
        template_external_id: Id | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_type = target_type
        self.pass_id = pass_id
        self.template_id = template_id
        self.pass_external_id = pass_external_id
        self.project_id = project_id
        self.segment_id = segment_id
        self.tag = tag
        self.template_external_id = template_external_id
        if getattr(self, "retry_policy", None) is None:
            self.retry_policy = retry_policy.retry_policy()

    def _ids(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ID_NAMES}
