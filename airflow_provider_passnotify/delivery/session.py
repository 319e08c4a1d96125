"""What all senders of a task share in the process of one try: who has sent, and the folder that was opened.

It is kept on the task instance object. Airflow creates a new one for each try. The object is the same in the context,
in ``get_current_context()`` and in callbacks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_provider_passnotify.delivery.folder import Folder, check_journal_path, open_files, path_segment
from airflow_provider_passnotify.delivery.journal import Journal
from airflow_provider_passnotify.delivery.store import MemoryStore, Store, TaskStore
from airflow_provider_passnotify.delivery.task import TaskTry, is_being_cleared
from airflow_provider_passnotify.exceptions import (
    PassNotifyConfigError,
    SendRefusedError,
    SupersededError,
    explain,
    first_line,
)

T = TypeVar("T")
log = logging.getLogger(__name__)

_ATTRIBUTE = "_passnotify_session"
_CALLBACK_STATES = {"success", "failed", "up_for_retry", "skipped", "upstream_failed", "up_for_reschedule", "removed"}


class Session:
    """One try of one task instance, in one process."""

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.has_warned = False
        self.senders: set[str] = set()
        """Identities of the operators that have sent."""
        self.messages: dict[str, bytes] = {}
        """What ``send_once`` has sent: the digest of the message, by identity."""
        self.remembered: set[str] = set()
        """Where the memory of this try is written: see :mod:`.store`."""
        self.lock = threading.RLock()
        self._folders: dict[str, Folder] = {}

    def folder(self, journal_path: str, this_try: TaskTry) -> Folder:
        """Return the folder of the task instance. All sends of this process share one start in it."""
        if journal_path not in self._folders:
            files, where = open_files(journal_path, this_try)
            self._folders[journal_path] = Folder(files, this_try, where=where)
        return self._folders[journal_path]

    @property
    def is_superseded(self) -> bool:
        """Whether a later try has begun, according to a folder."""
        return any(folder.is_superseded() for folder in self._folders.values())


def session_of(context: Mapping[str, Any]) -> Session:
    """Return the session of the try that is running."""
    ti = context.get("ti")
    found = getattr(ti, _ATTRIBUTE, None)
    if isinstance(found, Session):
        return found
    session = Session()
    if ti is not None:
        setattr(ti, _ATTRIBUTE, session)
    return session


def open_task_store(
    context: Mapping[str, Any], *, identity: str = "", journal_path: str | None = None, retries: int | None = None
) -> TaskStore:
    """Return the place where the records of the running task are kept.

    :param context: Airflow's context.
    :param identity: of the sender, see :func:`identity_of`.
    :param journal_path: ``None``: the one in Airflow's configuration, if there is one.
    :param retries: used if the context has no task.
    """
    this_try, session = TaskTry.of(context, retries), session_of(context)
    path = path_in_use(journal_path)
    folder = None if path is None else session.folder(path, this_try)
    store: Store | None = context.get("task_state_store")
    memory = session.memory if store is None else store
    return TaskStore(
        this_try,
        memory,
        folder=folder,
        identity=identity,
        discards=store is not None and may_discard(),
        is_being_cleared=lambda: is_being_cleared(context.get("ti")),
        remembered=session.remembered,
    )


def open_journal(
    context: Mapping[str, Any],
    *,
    resume: bool,
    identity: str = "",
    journal_path: str | None = None,
    retries: int | None = None,
) -> Journal:
    """Return the journal of a single send of the running task. See :func:`open_task_store`.

    :param resume: whether records from before a clear count.
    """
    tasks = open_task_store(context, identity=identity, journal_path=journal_path, retries=retries)
    return Journal(tasks, resume=resume)


def identity_of(context: Mapping[str, Any], task_id: str) -> str:
    """Return the identity of an operator: its task id as a path segment, or empty for the task's own operator."""
    running = getattr(context.get("task"), "task_id", None) or getattr(context.get("ti"), "task_id", None) or task_id
    return "" if running == task_id else path_segment(task_id)


def claim(context: Mapping[str, Any], task_id: str, journal_path: str | None = None) -> str:
    """Note that an operator sends in this try, and return its identity. It may do so only once.

    :raises SendRefusedError: if it has already sent in this try, or if the task is over (in a callback).
    """
    refuse_in_callback(context, f"operator {task_id!r}")
    identity, senders = identity_of(context, task_id), session_of(context).senders
    if identity in senders:
        raise SendRefusedError(
            explain(
                f"Not sent: operator {task_id!r} has already sent in this try.",
                known=["A task instance has one notification. A retry could not tell two of them apart."],
                ways=[
                    "Map the operator over its targets: .partial(...).expand(...).",
                    "Or send a batch: SendNotificationBatchOperator.",
                    "Or call PassNotifyHook().send_once(...) for each target.",
                    "Or give each operator a task_id of its own.",
                ],
                section="Refused",
            )
        )
    senders.add(identity)
    warn_of_discards(context, journal_path)
    return identity


@contextmanager
def final_unless_superseded(context: Mapping[str, Any]) -> Iterator[None]:
    """Raise no final error if a later try has begun. Airflow 2.11 would mark the task as failed, whatever that try did.

    :raises SupersededError: instead of it.
    """
    try:
        yield
    except SupersededError:
        raise
    except AirflowFailException as error:
        if not session_of(context).is_superseded:
            raise
        raise SupersededError(
            explain(
                "This try failed, but a later try has begun: what the later one says holds.",
                known=[f"{type(error).__name__}: {first_line(error)}"],
                ways=["Nothing: look at the log of the later try."],
                section="Another process has the task",
            )
        ) from error


def refuse_in_callback(context: Mapping[str, Any], sender: str) -> None:
    """Refuse to send if the task is over.

    :param sender: the name of the sender, for the error.
    :raises SendRefusedError: in a callback.
    """
    ti = context.get("ti")
    state = getattr(ti, "state", None)
    state = getattr(state, "value", state)
    by_hand = getattr(ti, "test_mode", False)  # in 2.11, "airflow tasks test" leaves an earlier run's state there
    # Airflow 2 may report a dead try more than once. A late report hits the next try, which then has this state, too.
    is_retry = state == "up_for_retry" and "exception" not in context  # callbacks have one
    if state in _CALLBACK_STATES and not by_hand and not is_retry:
        raise SendRefusedError(
            explain(
                f"Not sent: {sender} was called in a callback.",
                known=[f"The task has ended ({state}). No record of a send can be kept any more."],
                ways=["Use PassNotifyNotifier (airflow_provider_passnotify.notifications.passnotify) as the callback."],
                section="Refused",
            )
        )


def warn_of_discards(context: Mapping[str, Any], journal_path: str | None) -> None:
    """Warn, once in a try, if Airflow's configuration makes it discard the memory after a success."""
    session = session_of(context)
    has_folder = path_in_use(journal_path) is not None
    if context.get("task_state_store") is None or has_folder or session.has_warned or not clears_on_success():
        return
    session.has_warned = True
    log.warning(
        "%s",
        explain(
            "When this task succeeds, Airflow will forget what it sent.",
            known=[
                "[state_store] clear_on_success is on in Airflow's configuration.",
                "If the task is cleared after that, it cannot know what it has sent.",
            ],
            ways=["Set journal_path.", "Or turn clear_on_success off."],
        ),
    )


def path_in_use(journal_path: T | None) -> T | str | None:
    """Return the ``journal_path`` of an operator, or that of Airflow's configuration if it has none.

    :raises PassNotifyConfigError: if the configured one cannot be used for a journal.
    """
    return configured_path() if journal_path is None else journal_path


def configured_path() -> str | None:
    """Return ``[passnotify] journal_path`` of Airflow's configuration.

    :raises PassNotifyConfigError: if it cannot be used for a journal.
    """
    path: str | None = conf.get("passnotify", "journal_path", fallback=None)
    if not path:
        return None
    try:
        check_journal_path(path)
    except ValueError as error:
        raise PassNotifyConfigError(f"[passnotify] in Airflow's configuration: {error}") from None
    return path


def may_discard() -> bool:
    """Whether Airflow's store may discard records before they expire: after a clear, or after a success."""
    return discards_on_clear() or clears_on_success()


def discards_on_clear() -> bool:
    """Whether this Airflow asks, when a task is cleared, whether to keep its state."""
    from airflow import __version__

    return [int(part) for part in __version__.split(".")[:2]] >= [3, 4]


def clears_on_success() -> bool:
    """Return ``[state_store] clear_on_success`` of Airflow's configuration."""
    return bool(conf.getboolean("state_store", "clear_on_success", fallback=False))
