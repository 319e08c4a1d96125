"""Where the records of a task instance are kept from try to try, and what that memory can account for.

There are three places: a folder of the user's (:mod:`.folder`), Airflow's ``task_state_store`` (3.3 and later), and the
memory of the process, which ends with it. With a folder, Airflow's own store is still read where it exists, so that
turning the folder on between two tries loses nothing. That a try used a folder is a key in Airflow's store, so that
turning it off is noticed.

A memory that was taken away is not an empty one. Airflow 3.4 discards a task's state when the task is cleared, and 3.3
does after a success where ``[state_store] clear_on_success`` is set; a local folder is empty on another machine. What
each place accounts for::

    folder                                   every try that counts has a start in it
    Airflow's store, which keeps             always: what is not there was never written
    Airflow's store, which may discard       whole records are there; or nothing is, and no number says it was cleared
    memory of the process                    the first try
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from airflow_provider_passnotify.delivery.folder import Folder
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import JournalError, SupersededError

log = logging.getLogger(__name__)

VERSION = 1
RETENTION = timedelta(days=90)
FOLDER_USED = "journal_path"
_FIRST_RECORDS = ("begin", "intent", "outcome", "chunk.0.intent")
"""What a try wrote if it wrote anything: one of these (the last one: batches of releases that wrote no begin)."""


class Store(Protocol):
    """Where values live from try to try; Airflow's ``task_state_store`` is one."""

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Write the value, or raise."""


class MemoryStore:
    """A store that lives as long as the process."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""
        return self._values.get(key)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:  # noqa: ARG002
        """Keep the value."""
        self._values[key] = value


class TaskStore:
    """The records of one sender of a task instance: its operator, an operator inside it, or ``send_once``.

    :param this_try: writes only records of its own; reads all.
    :param store: Airflow's; ``None`` before 3.3.
    :param folder: the user's.
    :param identity: of the sender, as a path segment; empty for the task's own operator.
    :param discards: whether Airflow's store may lose records before the task is over.
    :param is_being_cleared: asks Airflow whether the task was cleared while this process runs.
    """

    def __init__(
        self,
        this_try: TaskTry,
        store: Store | None = None,
        *,
        folder: Folder | None = None,
        identity: str = "",
        discards: bool = False,
        is_being_cleared: Callable[[], bool] = lambda: False,
    ) -> None:
        self.this_try, self.folder, self.identity = this_try, folder, identity
        self.store: Store = MemoryStore() if store is None else store
        self._discards, self._is_being_cleared = discards, is_being_cleared
        self._airflow_knows = False

    @property
    def try_number(self) -> int:
        """The number of this try, from 1."""
        return self.this_try.try_number

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return self.folder is not None or self._has_airflow_store

    @property
    def may_be_discarded(self) -> bool:
        """Whether Airflow may take away what is written here."""
        return self.folder is None and self._discards and self._has_airflow_store

    def start(self) -> None:
        """Open the folder, before anything is read: from here on no earlier try sends.

        :raises SupersededError: when another process has this try.
        :raises JournalError: when the folder cannot be used.
        """
        if self.folder is None:
            return
        try:
            self.folder.start()
        except SupersededError:
            raise
        except Exception as error:
            raise JournalError(
                f"journal_path cannot be used ({self.folder.where}): {type(error).__name__}: {error}"
            ) from error

    def look(self) -> None:
        """Return if this process may send what it has written an intent for.

        Airflow's own store needs no look: it refuses the intent itself.

        :raises SupersededError: when it may not.
        :raises JournalError: when nobody can tell.
        """
        if self.folder is None:
            return
        try:
            self.folder.look()
        except SupersededError:
            raise
        except Exception as error:
            raise JournalError(
                f"Whether this try may still send cannot be read ({self.folder.where}): {type(error).__name__}: {error}"
            ) from error

    def get(self, try_number: int, part: str) -> Any:
        """Return what a try wrote: ``None`` where it did not, ``UNREADABLE`` (:mod:`.folder`) where nobody can read it.

        :raises JournalError: when the store does not answer.
        """
        try:
            value = None if self.folder is None else self.folder.get(self._name(try_number, part))
            if value is None:
                value = self.store.get(self._key(try_number, part))
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return value

    def get_older(self, try_number: int, part: str) -> Any:
        """Return what a release that gave no sender an identity of its own wrote for this one, if it did."""
        if not self.identity:
            return None
        try:
            value = self.store.get(_key("", try_number, part))
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return value if isinstance(value, dict) and "clear_number" not in value else None

    def set(self, part: str, value: Mapping[str, Any]) -> None:
        """Write a record of this try.

        :raises SupersededError: when the folder has refused this process.
        :raises JournalError: when it was not accepted.
        """
        if self.folder is None:
            self._set_in_store(self._key(self.try_number, part), value)
            return
        if part.endswith("intent"):
            self._tell_airflow()
        try:
            self.folder.set(self._name(self.try_number, part), value)
        except SupersededError:
            raise
        except Exception as error:
            raise JournalError(f"{self.folder.where} did not accept {part}: {type(error).__name__}: {error}") from error

    def still_has(self, try_number: int | None) -> bool:
        """Whether records of a try that were found before have not been discarded since.

        :param try_number: ``None`` where none were found.
        :raises JournalError: when it cannot be read.
        """
        if try_number is None or not self.may_be_discarded:
            return True
        try:
            return self._has_record(try_number)
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error

    def is_being_cleared(self) -> bool:
        """Whether the task was cleared while this process runs, on an Airflow where that looks like any other clear.

        That is Airflow 3.4. False where Airflow does not say.
        """
        if not self._discards:
            return False
        try:
            return self._is_being_cleared()
        except Exception as error:  # noqa: BLE001 (what was written stands as it is)
            log.warning("Whether the task is being cleared cannot be read: %s: %s", type(error).__name__, error)
            return False

    def why_unaccounted(self, counts_from: int, newest: int | None = None) -> str | None:
        """Return why nobody can know what earlier tries did; ``None`` where this memory accounts for them.

        :param counts_from: the oldest try that counts.
        :param newest: the newest try whose records were found. What came after it counts in any case: it may have
            written elsewhere, and what counts was decided without it.
        :raises JournalError: when it cannot be read.
        """
        first = counts_from if newest is None else min(counts_from, newest + 1)
        earlier = [number for number in range(first, self.try_number) if not self._has_start(number)]
        if not earlier:
            return None
        missing = f"try {earlier[0]} has no start in {self.folder.where}" if self.folder is not None else None
        if not self._has_airflow_store:
            return missing or "before Airflow 3.3 and without journal_path there is no memory between tries"
        try:
            for number in earlier:
                if (used := self.store.get(_key("", number, FOLDER_USED))) is not None:
                    return missing or f"try {number} kept its records in {used['path']}; now there is no journal_path"
            is_kept = newest is not None and self.folder is None  # what was found then is of Airflow's store
            if not self._discards or is_kept or any(self._has_record(number) for number in earlier):
                return None
            # Asked after the reads: the clear that discards what they looked for may be younger than the context.
            if not self.this_try.may_have_been_cleared and not self._is_being_cleared():
                return None  # nothing was written yet, and nothing was discarded
        except JournalError:
            raise
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return "Airflow's task state has no record of an earlier try, and may have discarded them"

    def _tell_airflow(self) -> None:
        """Write into Airflow's store, once and before the first intent, that the records are in a folder.

        This is the fence for what was read from Airflow's store. To a process that is no longer the task's it answers
        "nothing"; that process must not send, and only a write tells it so.
        """
        if self._has_airflow_store and not self._airflow_knows:
            self._set_in_store(_key("", self.try_number, FOLDER_USED), {"path": self.folder and self.folder.where})
            self._airflow_knows = True

    @property
    def _has_airflow_store(self) -> bool:
        return not isinstance(self.store, MemoryStore)

    def _has_start(self, try_number: int) -> bool:
        try:
            return self.folder is not None and self.folder.has_start(try_number)
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error

    def _has_record(self, try_number: int) -> bool:
        return any(self.store.get(self._key(try_number, part)) is not None for part in _FIRST_RECORDS)

    def _set_in_store(self, key: str, value: Mapping[str, Any]) -> None:
        try:
            self.store.set(key, dict(value), retention=RETENTION)
        except Exception as error:
            raise JournalError(f"The journal did not accept {key}: {type(error).__name__}: {error}") from error

    def _key(self, try_number: int, part: str) -> str:
        return _key(self.identity, try_number, part)

    def _name(self, try_number: int, part: str) -> str:
        name = f"try.{try_number}.{part}"
        return f"{self.identity}/{name}" if self.identity else name


def _key(identity: str, try_number: int, part: str) -> str:
    sender = f"{identity}." if identity else ""
    return f"passnotify.v{VERSION}.{sender}try.{try_number}.{part}"
