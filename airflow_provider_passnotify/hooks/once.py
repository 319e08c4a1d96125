"""Implements ``send_once``. It gives the code of a plain ``@task`` the same guarantees as the operator.

Each send has its own records in the journal of the running task. They are stored under its ``dedupe_key``. If it has
no ``dedupe_key``, they are stored under its target. So a retry of the task returns the first ticketId and sends
nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.arguments import checked, parse_deadline
from airflow_provider_passnotify.delivery.folder import check_journal_path, path_segment
from airflow_provider_passnotify.delivery.journal import Delivery, OnClear, check_choices
from airflow_provider_passnotify.delivery.session import (
    final_unless_superseded,
    open_journal,
    refuse_in_callback,
    session_of,
    warn_of_discards,
)
from airflow_provider_passnotify.delivery.single import SinglePush
from airflow_provider_passnotify.exceptions import InvalidNotificationError, SendRefusedError, explain
from airflow_provider_passnotify.targets import Target, as_target

if TYPE_CHECKING:
    from airflow_provider_passnotify.api.client import PassNotifyClient

log = logging.getLogger(__name__)

_CHANGED_TARGET = (
    "Give each message a dedupe_key of its own: one dedupe_key stands for one message to one target.",
    "Or leave dedupe_key out: then the target is the key.",
)


def send_once(
    get_client: Callable[[], PassNotifyClient],
    target: Target | Mapping[str, object],
    *,
    value: str,
    label: str | None,
    dedupe_key: str | None,
    delivery: str,
    on_clear: str,
    send_before: datetime | str | None,
    journal_path: object,
) -> int:
    """Send one notification of the running task, once. See :meth:`.PassNotifyHook.send_once`.

    :param get_client: returns the client. It is called only if something is to be sent.
    :return: the ticketId.
    """
    request = checked(lambda: protocol.send_request(as_target(target), value=value, label=label))
    checked(lambda: check_choices(delivery, on_clear))
    deadline = checked(lambda: parse_deadline(send_before))
    path = checked(lambda: _path(journal_path))
    identity = checked(lambda: _identity(request, dedupe_key))
    context = _running_task(request)
    refuse_in_callback(context, "send_once")
    session = session_of(context)
    with session.lock:  # one send at a time, because one thread writes the records of a task
        _check_same_message(session.messages, identity, request)
        warn_of_discards(context, path)
        push = SinglePush(
            request,
            open_journal(context, resume=on_clear == OnClear.RESUME.value, identity=identity, journal_path=path),
            delivery=Delivery(delivery),
            send_before=deadline,
            changed_target=_CHANGED_TARGET,
        )
        with final_unless_superseded(context):
            return push.send(get_client)


def _running_task(request: Request) -> Mapping[str, Any]:
    from airflow.providers.common.compat.sdk import get_current_context

    try:
        context: Mapping[str, Any] = get_current_context()
    except Exception as error:
        raise SendRefusedError(
            explain(
                f"Not sent to {request.whom}: send_once needs a running task.",
                known=["No task is running here, so there is no place for the records."],
                ways=[
                    "Call send_once in a task.",
                    "Or call send_notification, which keeps no records.",
                ],
                section="Refused",
            )
        ) from error
    return context


def _path(journal_path: Any) -> str | None:
    if journal_path is None:
        return None
    check_journal_path(journal_path)
    return str(journal_path)


def _identity(request: Request, dedupe_key: object) -> str:
    if dedupe_key is None:
        whom = f"target:{request.address}"
    elif isinstance(dedupe_key, str) and dedupe_key.strip() and dedupe_key != "None":
        whom = f"key:{dedupe_key}"
    else:
        raise ValueError(f"dedupe_key must be a text, or be left out; it is {dedupe_key!r:.80}.")
    return path_segment(f"send_once/{whom}")  # no task id contains a slash


def _check_same_message(messages: dict[str, bytes], identity: str, request: Request) -> None:
    digest = hashlib.sha256(request.address.encode() + b"\n" + (request.body or b"")).digest()
    if messages.setdefault(identity, digest) != digest:
        raise InvalidNotificationError(
            explain(
                f"Not sent to {request.whom}: send_once has sent another message under this key in this try.",
                known=["A retry could not tell the two messages apart."],
                ways=["Give each message a dedupe_key of its own."],
                section="Refused",
            )
        )
