"""The operators: a notification described by arguments, sent or deleted when the task runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.api.tickets import Ticket
from airflow_provider_passnotify.arguments import is_resolved_at_runtime, parse_deadline
from airflow_provider_passnotify.delivery.journal import Delivery, Journal, OnClear
from airflow_provider_passnotify.delivery.session import final_unless_superseded
from airflow_provider_passnotify.delivery.single import SinglePush
from airflow_provider_passnotify.exceptions import InvalidNotificationError, first_line
from airflow_provider_passnotify.operators.base import TargetArgumentsOperator
from airflow_provider_passnotify.operators.batch import DeleteNotificationBatchOperator, SendNotificationBatchOperator
from airflow_provider_passnotify.operators.sending import SendingOperator
from airflow_provider_passnotify.retry_policy import retry_after_told
from airflow_provider_passnotify.targets import Target, TargetType, clean_id, make_target

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

__all__ = [
    "DeleteNotificationBatchOperator",
    "DeleteNotificationOperator",
    "SendNotificationBatchOperator",
    "SendNotificationOperator",
]


class _TargetOperator(TargetArgumentsOperator):
    """What sending and deleting have in common: a target, and a ticket to wait for.

    :param target_type: for this and the ids, see
        :class:`~airflow_provider_passnotify.operators.base.TargetArgumentsOperator`.
    :raises InvalidNotificationError: while the DAG is parsed, if the value is known then; else when the task starts.
    """

    def __init__(self, *, target_type: str | TargetType, **kwargs: Any) -> None:
        super().__init__(target_type=target_type, **kwargs)

    def execute_complete(self, context: Context, event: Mapping[str, Any], result: int | None = None) -> int:
        """Go on after the triggerer has waited.

        :return: the ticketId.
        """
        super().execute_complete(context, event, result)
        ticket_id: int = event["tickets"][0]["id"] if event["tickets"] else event["others"][0]["ids"][0]
        return ticket_id

    def _check_arguments(self) -> None:
        super()._check_arguments()
        ids = self._ids()
        if not is_resolved_at_runtime(self.target_type):
            self._check_target(make_target(self.target_type, {name: _known(value) for name, value in ids.items()}))  # type: ignore[arg-type]  # checked there
            return
        for name, value in ids.items():
            if value is not None and not is_resolved_at_runtime(value):
                clean_id(name, value)

    def _check_target(self, target: Target) -> None:
        """Refuse a target that this operator cannot use.

        :raises ValueError: saying why.
        """

    def _whom(self) -> str:
        try:
            return str(self._target())
        except ValueError:  # other ids than before; the ticket is what matters
            return ""

    def _target(self) -> Target:
        return make_target(self.target_type, self._ids())  # type: ignore[arg-type]  # checked there


def _known(value: Any) -> Any:
    """Return the value. If it is known only at run time, return something that passes every check instead."""
    return "later" if is_resolved_at_runtime(value) else value


class SendNotificationOperator(SendingOperator, _TargetOperator):
    """Send a notification to a pass, a tag, a segment or a template. The ticketId is the task's XCom.

    A push is never repeated by accident: see "Delivery guarantees" in the guide.

    :param value: the text of the message.
    :param notification_label: its optional header (``label`` in the API; on an operator, ``label`` is the name of the
        task).
    :param delivery: what to do if nobody knows whether an earlier try sent it. ``at_most_once`` (default): fail.
        ``at_least_once``: send it again.
    :param on_clear: ``resend`` (default): a cleared task sends again. ``resume``: it sends only if it was not sent.
    :param send_before: a datetime or ISO string. After this time, nothing is sent and the task is skipped.
    """

    def __init__(self, *, value: str, **kwargs: Any) -> None:
        super().__init__(value=value, **kwargs)
        self._push: SinglePush | None = None
        self._check()

    def execute(self, context: Context) -> int:
        """Send, unless an earlier try of this task has sent, and wait for the ticket if asked to.

        :return: the ticketId.
        """
        self._claim(context)
        try:
            self._check()
            self._push = self._new_push(context)
        except InvalidNotificationError as error:
            self._open_journal(context).write_refusal(first_line(error))
            raise
        self._push.stopped = self._killed  # it may have been told to stop before there was anything to stop
        with retry_after_told(self), final_unless_superseded(context):
            ticket_id = self._push.send(self.hook.get_conn)
        try:
            return self.wait_for_tickets(context, [ticket_id], ticket_id)
        finally:
            self._push.waiting_ended()

    def on_kill(self) -> None:
        """Send nothing that is not on its way yet, and stop waiting."""
        super().on_kill()
        if self._push is not None:
            self._push.stopped = True

    def on_tickets_failed(self, context: Context, tickets: Iterable[Ticket]) -> None:
        """Let a retry send again."""
        push = self._push or self._new_push(context)  # after a deferral there is none
        push.ticket_failed(", ".join(f"ticket {ticket.id}: {ticket.status}" for ticket in tickets))

    def is_final(self, context: Context) -> bool:
        """Whether a retry would have to refuse to send."""
        return (self._push or self._new_push(context)).retry_is_unsafe

    def _new_push(self, context: Context) -> SinglePush:
        return SinglePush(
            self._checked(self._request),
            self._open_journal(context),
            delivery=Delivery(self.delivery),
            send_before=self._checked(lambda: parse_deadline(self.send_before)),
            waits=self.wait_for_completion,
        )

    def _open_journal(self, context: Context) -> Journal:
        return Journal(self._task_store(context), resume=self.on_clear == OnClear.RESUME)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        protocol.check_message(_known(self.value), _known(self.notification_label), label_name="notification_label")

    def _check_target(self, target: Target) -> None:
        target.check_sendable()

    def _request(self) -> Request:
        return protocol.send_request(self._target(), value=self.value, label=self.notification_label)  # type: ignore[arg-type]  # checked there


class DeleteNotificationOperator(_TargetOperator):
    """Remove a notification from the back of the passes. The ticketId is the task's XCom.

    It cannot take back a push that a phone has already shown. Deleting twice has the same effect as deleting once, so
    Airflow may retry it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check()

    def execute(self, context: Context) -> int:
        """Delete, and wait for the ticket if asked to.

        :return: the ticketId.
        """
        self._check()
        target = self._checked(self._target)
        started = time.monotonic()
        with retry_after_told(self):
            ticket_id = self.hook.delete_notification(target)
        milliseconds = round((time.monotonic() - started) * 1000)
        log.info("Deleted from %s: ticketId %d, %d ms.", target, ticket_id, milliseconds)
        return self.wait_for_tickets(context, [ticket_id], ticket_id)
