"""Where the records of a task instance are kept between tries, and when this memory accounts for the earlier tries.

There are three places: a folder of the user (:mod:`.folder`), Airflow's ``task_state_store`` (3.3 and later), and the
memory of the process, which ends with the process. With a folder, Airflow's own store is still read if there is one. So
nothing is lost if the user turns on the folder between two tries. If a try used a folder, a key in Airflow's store says
so. With this key, a later try notices that the folder was turned off.

A memory that was discarded is not the same as an empty one. Airflow 3.4 discards a task's state when the task is
cleared, unless it is told to keep it. With ``[state_store] clear_on_success``, Airflow discards it after a success. A
local folder is empty on another machine. A memory accounts for the earlier tries under these conditions::

    folder                                every earlier try that counts has its start there
    Airflow's store, which keeps all      always: what is not there was never written
    Airflow's store, which may discard    complete records are there; or there are none, and no number shows a clear
    memory of the process                 there are no earlier tries: this is the first one

A task may have several senders: ``send_once``, and operators inside it. A try may end before it has reached all of
them, so a sender without records proves nothing by itself. That is why the first sender of a try writes, where records
may be missing, from which try on none is (the *memory* of the try). If a later try finds it, and was not cleared since,
it knows that a sender without records has sent nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from airflow_provider_passnotify.delivery.folder import Folder
from airflow_provider_passnotify.delivery.task import Begin, TaskTry
from airflow_provider_passnotify.exceptions import JournalError, SupersededError

log = logging.getLogger(__name__)

VERSION = 1
RETENTION = timedelta(days=90)
FOLDER_USED, MEMORY = "journal_path", "memory"
_FIRST_RECORDS = ("begin", "intent", "outcome", "chunk.0.intent")
"""A try that wrote anything wrote one of these. (The last one is for batches of releases that wrote no begin.)"""

_START_MISSING = (
    "Mend the path, or what is in its way. A retry cannot know that this try sent nothing, and sends nothing either.",
    "No earlier try sent anything: clear the task with on_clear='resend'. That sends (a batch: all rows).",
)


class Store(Protocol):
    """Keeps values between tries. Airflow's ``task_state_store`` is one."""

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
    """The records of one sender of a task instance. A sender is the task's operator, one inside it, or ``send_once``.

    :param this_try: the try that is running. It reads the records of all tries, and writes only its own.
    :param store: Airflow's store. ``None`` before Airflow 3.3.
    :param folder: the user's folder, if there is one.
    :param identity: of the sender, as a path segment. Empty for the task's own operator.
    :param discards: whether Airflow's store may discard records before they expire.
    :param is_being_cleared: asks Airflow whether the task was cleared while this process is running.
    :param remembered: the places where a sender of this process has written the memory of this try.
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
        remembered: set[str] | None = None,
    ) -> None:
        self.this_try, self.folder, self.identity = this_try, folder, identity
        self.store: Store = MemoryStore() if store is None else store
        self._discards, self._is_being_cleared = discards, is_being_cleared
        self._airflow_knows = False
        self._memory: Begin | None = None
        self._remembered: set[str] = set() if remembered is None else remembered

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
        """Whether Airflow may discard what is written here."""
        return self.folder is None and self._discards and self._has_airflow_store

    def start(self) -> None:
        """Open the folder, if there is one, before anything is read. Then :meth:`look` refuses every earlier try.

        :raises SupersededError: if another process runs this try.
        :raises JournalError: if the folder cannot be used.
        """
        if self.folder is None:
            return
        try:
            self.folder.start()
        except SupersededError:
            raise
        except Exception as error:
            raise JournalError(
                f"journal_path cannot be used ({self.folder.where}): {type(error).__name__}: {error}", _START_MISSING
            ) from error

    def look(self) -> None:
        """Check that this process may still send. Call it between the intent and the POST.

        Airflow's own store needs no look, because it refuses the intent itself.

        :raises SupersededError: if this process must not send.
        :raises JournalError: if this cannot be found out.
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
        """Return what a try wrote. ``None``: it wrote nothing. ``UNREADABLE`` (:mod:`.folder`): it cannot be read.

        :raises JournalError: if the store does not answer.
        """
        return self._get(self.identity, try_number, part)

    def get_older(self, try_number: int, part: str) -> Any:
        """Return what an older release wrote, or ``None``. Those releases did not tell the senders of a task apart."""
        if not self.identity:
            return None
        try:
            value = self.store.get(_key("", try_number, part))
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return value if isinstance(value, dict) and "clear_number" not in value else None

    def set(self, part: str, value: Mapping[str, Any]) -> None:
        """Write a record of this try.

        :raises SupersededError: if the folder has refused this process.
        :raises JournalError: if the record was not accepted.
        """
        if self._memory is not None:
            self._set("", MEMORY, self._memory._asdict())
            self._remembered.add(self._place)
            self._memory = None
        self._set(self.identity, part, value)

    def memory(self) -> Begin | None:
        """Return the newest memory of an earlier try. It was written by another sender of the task.

        :raises JournalError: if the journal cannot be read.
        """
        if not self.identity or not self.is_durable:
            return None
        found = (self._get("", number, MEMORY) for number in range(self.try_number - 1, 0, -1))
        return next((Begin(**value) for value in found if isinstance(value, dict)), None)

    def remember(self, counts_from: int) -> None:
        """Write the memory of this try before the first record, unless another sender of this process has written it.

        :param counts_from: no record of this try and the others after it is missing.
        """
        this_try = self.this_try
        if self.identity and self.is_durable and self._place not in self._remembered:
            self._memory = Begin(this_try.try_number, this_try.max_tries, this_try.clear_number, counts_from)

    def still_has(self, try_number: int | None) -> bool:
        """Whether the records of a try, which were found before, are still there.

        :param try_number: ``None`` if no records were found.
        :raises JournalError: if the journal cannot be read.
        """
        if try_number is None or not self.may_be_discarded:
            return True
        try:
            return self._has_record(try_number)
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error

    def is_being_cleared(self) -> bool:
        """Whether the task was cleared while this process is running.

        Airflow 3 makes such a clear look like any other. Airflow's own store, if it discards nothing, refuses what is
        written after the clear. ``False`` if Airflow does not say.
        """
        if self.folder is None and not self._discards:
            return False
        try:
            return self._is_being_cleared()
        except Exception as error:  # noqa: BLE001 (the record is then written as it is)
            log.warning(
                "Whether the task is being cleared cannot be read. If it is, the next try may send again. (%s: %s)",
                type(error).__name__,
                error,
            )
            return False

    def why_unaccounted(self, counts_from: int, newest: int | None = None) -> str | None:
        """Return why nobody can know what earlier tries did, or ``None`` if this memory accounts for them.

        :param counts_from: the oldest try that counts.
        :param newest: the newest try whose records were found. Every try after it counts in any case: it may have
            written to another place, and the decision about what counts was made without it.
        :raises JournalError: if the journal cannot be read.
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
            is_kept = newest is not None and self.folder is None  # then it was found in Airflow's store
            if not self._discards or is_kept or any(self._has_record(number) for number in earlier):
                return None
            # Asked after the reads, because the clear that discarded the records may be later than the context.
            if not self.this_try.may_have_been_cleared and not self._is_being_cleared():
                return None  # nothing was written yet, and nothing was discarded
        except JournalError:
            raise
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return "Airflow's task state has no record of an earlier try, and may have discarded them"

    def _get(self, identity: str, try_number: int, part: str) -> Any:
        try:
            value = None if self.folder is None else self.folder.get(_name(identity, try_number, part))
            if value is None:
                value = self.store.get(_key(identity, try_number, part))
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error
        return value

    def _set(self, identity: str, part: str, value: Mapping[str, Any]) -> None:
        if self.folder is None:
            self._set_in_store(_key(identity, self.try_number, part), value)
            return
        if part.endswith("intent"):
            self._tell_airflow()
        try:
            self.folder.set(_name(identity, self.try_number, part), value)
        except SupersededError:
            raise
        except Exception as error:
            raise JournalError(f"{self.folder.where} did not accept {part}: {type(error).__name__}: {error}") from error

    @property
    def _place(self) -> str:
        return "" if self.folder is None else self.folder.where

    def _tell_airflow(self) -> None:
        """Write into Airflow's store that the records are in a folder. This is done once, before the first intent.

        It is the fence for what was read from Airflow's store. If the task no longer belongs to this process, the store
        returns nothing to it. Then the process must not send, and only a write tells it so.
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
        return any(self.store.get(_key(self.identity, try_number, part)) is not None for part in _FIRST_RECORDS)

    def _set_in_store(self, key: str, value: Mapping[str, Any]) -> None:
        try:
            self.store.set(key, dict(value), retention=RETENTION)
        except Exception as error:
            raise JournalError(f"The journal did not accept {key}: {type(error).__name__}: {error}") from error


def _key(identity: str, try_number: int, part: str) -> str:
    sender = f"{identity}." if identity else ""
    return f"passnotify.v{VERSION}.{sender}try.{try_number}.{part}"


def _name(identity: str, try_number: int, part: str) -> str:
    name = f"try.{try_number}.{part}"
    return f"{identity}/{name}" if identity else name
