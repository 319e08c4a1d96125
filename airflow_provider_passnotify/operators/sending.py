"""What every operator that sends has in common, one notification or many: the message, and how carefully to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_passnotify.arguments import is_resolved_at_runtime, parse_deadline
from airflow_provider_passnotify.delivery.journal import Delivery, OnClear, check_choices
from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.base import TargetArgumentsOperator


class SendingOperator(TargetArgumentsOperator):
    """An operator that sends.

    :param value: the text of the message.
    :param notification_label: its optional header (``label`` in the API; on an operator that is the task's own name).
    :param delivery: ``at_most_once`` (default) or ``at_least_once``: what to do where nobody knows whether an earlier
        try has sent.
    :param on_clear: ``resend`` or ``resume``: what a cleared task does.
    :param send_before: a datetime or ISO string; what has not been sent by then is not sent.
    """

    template_fields: Sequence[str] = (
        *TargetArgumentsOperator.template_fields,
        "value",
        "notification_label",
        "send_before",
    )
    text_fields = frozenset(template_fields)
    may_be_empty = frozenset({"notification_label"})

    def __init__(
        self,
        *,
        value: str | None = None,
        notification_label: str | None = None,
        delivery: str = Delivery.AT_MOST_ONCE.value,
        on_clear: str = OnClear.RESEND.value,
        send_before: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_label(kwargs)
        super().__init__(**kwargs)
        self.value = value
        self.notification_label = notification_label
        self.delivery = delivery
        self.on_clear = on_clear
        self.send_before = send_before

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin a mapped operator, as Airflow's own ``partial``."""
        _refuse_label(kwargs)
        return super().partial(**kwargs)

    def _check_arguments(self) -> None:
        check_choices(self.delivery, self.on_clear)
        if not is_resolved_at_runtime(self.send_before):
            parse_deadline(self.send_before)
        super()._check_arguments()


def _refuse_label(arguments: Mapping[str, Any]) -> None:
    if "label" in arguments:
        raise InvalidNotificationError(
            f"Task {arguments.get('task_id')!r}: label is the task's own name in the graph; "
            "write notification_label for the header of the message."
        )
