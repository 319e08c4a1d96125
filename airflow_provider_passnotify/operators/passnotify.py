"""The operators: a notification described by arguments, sent or deleted when the task runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_passnotify import retry_policy
from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.api.tickets import Ticket
from airflow_provider_passnotify.arguments import is_resolved_at_runtime, parse_deadline
from airflow_provider_passnotify.delivery.journal import Delivery, OnClear, check_choices, is_first_try, open_journal
from airflow_provider_passnotify.delivery.single import SinglePush
from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.base import TargetArgumentsOperator
from airflow_provider_passnotify.operators.batch import DeleteNotificationBatchOperator, SendNotificationBatchOperator
from airflow_provider_passnotify.targets import ID_NAMES, PassTarget, Target, TargetType, clean_id, make_target

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "DeleteNotificationBatchOperator",
    "DeleteNotificationOperator",
    "SendNotificationBatchOperator",
    "SendNotificationOperator",
]

T = TypeVar("T")
Read = Callable[[str], Any]


class _TargetOperator(TargetArgumentsOperator):
    """What sending and deleting have in common: a target, and a ticket to wait for.

    :param target_type: and its ids: see
        :class:`~airflow_provider_passnotify.operators.base.TargetArgumentsOperator`.
    :raises InvalidNotificationError: while the DAG is parsed where the value is known then, else when the task starts.
    """

    def __init__(self, *, target_type: str | TargetType, **kwargs: Any) -> None:
        super().__init__(target_type=target_type, **kwargs)
        if getattr(self, "retry_policy", None) is None:
            self.retry_policy = retry_policy.retry_policy()

    def execute_complete(self, context: Context, event: Mapping[str, Any], result: int | None = None) -> int:
        """Go on after the triggerer has waited.

        :return: the ticketId.
        """
        super().execute_complete(context, event, result)
        ticket_id: int = event["tickets"][0]["id"] if event["tickets"] else event["others"][0]["ids"][0]
        return ticket_id

    def _request(self, read: Read) -> Request:
        """Build the request from the arguments that ``read`` gives by name."""
        raise NotImplementedError

    def _target(self, read: Read) -> Target:
        ids = {name: read(name) for name in ID_NAMES}
        if is_resolved_at_runtime(self.target_type):
            for name, value in ids.items():
                if value is not None:
                    clean_id(name, value)
            return PassTarget("any")
        return make_target(read("target_type"), ids)

    def _check_what_is_known(self) -> None:
        """Refuse, while the DAG is parsed, what is surely wrong; a value that only the run will tell passes."""
        self._checked(
            lambda: self._request(
                lambda name: "later" if is_resolved_at_runtime(self._value(name)) else self._value(name)
            )
        )

    def _rendered_request(self) -> Request:
        return self._checked(lambda: self._request(self._value))

    def _value(self, name: str) -> Any:
        return getattr(self, name)

    def _checked(self, build: Callable[[], T]) -> T:
        try:
            return build()
        except ValueError as error:
            raise InvalidNotificationError(f"Task {self.task_id!r}: {error}") from None


class SendNotificationOperator(_TargetOperator):
    """Send a notification to a pass, a tag, a segment or a template; the ticketId is the task's XCom.

    A push is never repeated by accident: see "Delivery guarantees" in the guide.

    :param value: the text of the message.
    :param notification_label: its optional header (``label`` in the API; on an operator that is the task's own name).
    :param delivery: ``at_most_once`` (default), or ``at_least_once``: where nobody knows whether an earlier try sent
        it, fail, or send it again.
    :param on_clear: ``resend`` (default): a cleared task sends again; ``resume``: only if it was not sent.
    :param send_before: a datetime or ISO string; when it has passed, nothing is sent and the task is skipped.
    """

    template_fields: Sequence[str] = (*_TargetOperator.template_fields, "value", "notification_label", "send_before")

    def __init__(
        self,
        *,
        value: str,
        notification_label: str | None = None,
        delivery: str = Delivery.AT_MOST_ONCE.value,
        on_clear: str = OnClear.RESEND.value,
        send_before: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        if "label" in kwargs:
            raise InvalidNotificationError(
                f"Task {kwargs.get('task_id')!r}: label is the task's own name in the graph; "
                "write notification_label for the header of the message."
            )
        super().__init__(**kwargs)
        self.value = value
        self.notification_label = notification_label
        self.delivery = delivery
        self.on_clear = on_clear
        self.send_before = send_before
        self._push: SinglePush | None = None
        self._check_what_is_known()

    def execute(self, context: Context) -> int:
        """Send, unless an earlier try of this task did, and wait if asked to.

        :return: the ticketId.
        """
        self._push = self._new_push(context)
        self._push.stopped = self._killed  # told before there was anything to stop
        ticket_id = self._push.send(self.hook.get_conn)
        try:
            return self.wait_for_tickets(context, [ticket_id], ticket_id)
        finally:
            self._push.waiting_ended()

    def on_kill(self) -> None:
        """Send nothing that is not on its way yet, and wait no longer."""
        super().on_kill()
        if self._push is not None:
            self._push.stopped = True

    def on_tickets_failed(self, context: Context, tickets: Iterable[Ticket]) -> None:
        """Let a retry send again."""
        push = self._push or self._new_push(context)  # none after a deferral
        push.ticket_failed(", ".join(f"ticket {ticket.id}: {ticket.status}" for ticket in tickets))

    def is_final(self, context: Context) -> bool:
        """Whether a retry would have to refuse."""
        return (self._push or self._new_push(context)).retry_is_unsafe

    def _new_push(self, context: Context) -> SinglePush:
        return SinglePush(
            self._rendered_request(),
            open_journal(context, resume=self.on_clear == OnClear.RESUME),
            delivery=Delivery(self.delivery),
            send_before=self._checked(lambda: parse_deadline(self.send_before)),
            first_try=is_first_try(context, self.retries),
            waits=self.wait_for_completion,
        )

    def _request(self, read: Read) -> Request:
        check_choices(self.delivery, self.on_clear)
        if not is_resolved_at_runtime(self.send_before):
            parse_deadline(self.send_before)
        protocol.check_message(read("value"), read("notification_label"), label_name="notification_label")
        return protocol.send_request(self._target(read), value=read("value"), label=read("notification_label"))


class DeleteNotificationOperator(_TargetOperator):
    """Take a notification off the back of the passes; the ticketId is the task's XCom.

    It does not recall a push that a phone has shown. Deleting twice is as good as once, so Airflow may retry it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_what_is_known()

    def execute(self, context: Context) -> int:
        """Delete, and wait if asked to.

        :return: the ticketId.
        """
        target = self._checked(lambda: self._target(self._value))
        ticket_id = self.hook.delete_notification(target)
        self.log.info("Deletion from %s: accepted, ticketId %d.", target, ticket_id)
        return self.wait_for_tickets(context, [ticket_id], ticket_id)

    def _request(self, read: Read) -> Request:
        return protocol.delete_request(self._target(read))
