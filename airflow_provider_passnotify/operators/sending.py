"""What all operators that send have in common, for one notification or many: the message, and how carefully to send."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.arguments import is_resolved_at_runtime, parse_deadline
from airflow_provider_passnotify.delivery.folder import check_journal_path
from airflow_provider_passnotify.delivery.journal import Delivery, OnClear, check_choices
from airflow_provider_passnotify.delivery.session import claim, identity_of, open_task_store
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.base import TargetArgumentsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath


class SendingOperator(TargetArgumentsOperator):
    """An operator that sends.

    :param value: the text of the message.
    :param notification_label: its optional header (``label`` in the API; on an operator, ``label`` is the name of the
        task).
    :param delivery: ``at_most_once`` (default) or ``at_least_once``: what to do if nobody knows whether an earlier try
        has sent.
    :param on_clear: ``resend`` or ``resume``: what a cleared task does.
    :param send_before: a datetime or ISO string. What is not sent by then is not sent at all.
    :param journal_path: a folder, local or in any object storage, for the records of what was sent. It gives full
        at-most-once on every Airflow version, and its records stay when Airflow's own memory is lost. ``None``:
        ``[passnotify] journal_path`` of Airflow's configuration is used, if it is set.
    """

    template_fields: Sequence[str] = (
        *TargetArgumentsOperator.template_fields,
        "value",
        "notification_label",
        "send_before",
        "journal_path",
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
        journal_path: str | os.PathLike[str] | ObjectStoragePath | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_label(kwargs)
        super().__init__(**kwargs)
        self.value = value
        self.notification_label = notification_label
        self.delivery = delivery
        self.on_clear = on_clear
        self.send_before = send_before
        self.journal_path = journal_path
        self._has_journal_path = journal_path is not None

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin a mapped operator, like Airflow's own ``partial``."""
        _refuse_label(kwargs)
        return super().partial(**kwargs)

    def _check_arguments(self) -> None:
        check_choices(self.delivery, self.on_clear)
        if not is_resolved_at_runtime(self.send_before):
            parse_deadline(self.send_before)
        super()._check_arguments()
        if not is_resolved_at_runtime(self.journal_path):
            self._own_journal_path()

    def _claim(self, context: Context) -> None:
        """Begin to send: first check the values that the journal depends on, then make sure that this is the only send.

        :raises InvalidNotificationError: it names the argument.
        :raises SendRefusedError: see :func:`~airflow_provider_passnotify.delivery.session.claim`.
        """
        self._checked(lambda: check_choices(self.delivery, self.on_clear))
        claim(context, self.task_id, self._checked(self._own_journal_path))

    def _task_store(self, context: Context) -> TaskStore:
        return open_task_store(
            context,
            identity=identity_of(context, self.task_id),
            journal_path=self._checked(self._own_journal_path),
            retries=self.retries,
        )

    def _own_journal_path(self) -> str | None:
        if not self._has_journal_path:
            return None
        check_journal_path(self.journal_path)
        return str(self.journal_path)


def _refuse_label(arguments: Mapping[str, Any]) -> None:
    if "label" in arguments:
        raise InvalidNotificationError(
            f"Task {arguments.get('task_id')!r}: label is the task's own name in the graph; "
            "write notification_label for the header of the message."
        )
