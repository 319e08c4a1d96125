"""What earlier tries of a task did, so that a push is never repeated by accident.

A single send writes twice: the *intent* before the POST, the *outcome* after it. Where a process can die, and what the
next try then sees and does::

    the process                           the next try reads       at_most_once            at_least_once
    ------------------------------------  -----------------------  ----------------------  -------------------
    1  reads the journal                  nothing                  sends                   sends
    2  writes the intent, is refused      nothing                  sends                   sends
    3  writes the intent                  intent                   fails: may be out       sends again, says so
    4  POST: nothing, half, all written   intent                   fails: may be out       sends again, says so
    5  POST answered                      intent                   fails: may be out       sends again, says so
    6  writes the outcome  sent           the ticketId             returns it, waits on    returns it, waits on
                           not sent       not sent                 sends                   sends
                           unknown        unknown                  fails: may be out       sends again, says so
    7  waits, or is deferred              the ticketId             returns it, waits on    returns it, waits on
    8  the ticket ended as failed         ticket failed            sends                   sends

Why that is enough:

* The intent is written *after* everything was read, and only a write that returned lets the POST happen. Being
  superseded, or having lost the supervisor, is for ever: a process whose reads were answered "nothing" because it is
  stale cannot write any more, so it cannot send (Airflow: ``get`` then returns the default, ``set`` raises).
* Each try writes under keys of its own, so that an orphaned process cannot change what a newer try recorded; intent and
  outcome have one each, as Airflow repeats a write that got no answer, and the first may yet arrive after the outcome.
* Nothing is deleted: dying between a deletion and the end of the task would send again. Retention is set instead.
* A clear by a person raises the task instance's ``max_tries``, a retry does not; so a record tells which it was.
* Except that clearing a task that runs may raise it as well, and the process goes on for a moment. So what the
  last try that wrote has left *open* counts even after a clear, as that try may be at it still: an intent without
  outcome, which the next try tells of, or a ticket that it waits for. Both are closed by one more write.

Identity is whom, not what: a task instance has one notification, whatever its templates render to on the next try.

Source: Airflow's ``task_state_store`` (3.3). On older versions there is no memory between tries; see
:attr:`Journal.is_durable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

import pendulum

from airflow_provider_passnotify.exceptions import JournalError

VERSION = 1
KEY = f"passnotify.v{VERSION}.try.{{try_number}}.{{part}}"
INTENT, OUTCOME = "intent", "outcome"
RETENTION = timedelta(days=90)


class Delivery(str, Enum):
    """What to do when nobody knows whether a push went out: nothing, or send it again."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"


class OnClear(str, Enum):
    """What clearing the task means: start afresh, or go on where the journal stands."""

    RESEND = "resend"
    RESUME = "resume"


def check_choices(delivery: object, on_clear: object) -> None:
    """Refuse what is none of the words above.

    :raises ValueError: naming the argument and its words.
    """
    for name, value, kinds in (("delivery", delivery, Delivery), ("on_clear", on_clear, OnClear)):
        words = [kind.value for kind in kinds]
        if value not in words:
            raise ValueError(f"{name} must be {' or '.join(words)}, not {value!r:.60}.")


class State(str, Enum):
    """How far a try got."""

    INTENT = "intent"
    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    TICKET_FAILED = "ticket_failed"


@dataclass(frozen=True)
class Record:
    """What one try did.

    :param address: whom it was for, as the API has it.
    :param message: a digest of what was to be said; the text itself may be personal.
    :param at: when, ISO 8601 in UTC.
    :param max_tries: the task instance's, which tells a clear from a retry.
    :param waiting: whether the try goes on to wait for the ticket.
    """

    state: State
    address: str
    message: str
    try_number: int
    max_tries: int
    at: str
    ticket_id: int | None = None
    reason: str = ""
    waiting: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its try, as far as it wrote, has not ended."""
        return self.state is State.INTENT or self.waiting


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


class Journal:
    """The records of one task instance.

    :param store: where they live.
    :param try_number: of this try, from 1.
    :param max_tries: the task instance's.
    :param resume: whether records from before a clear count.
    """

    def __init__(self, store: Store, *, try_number: int, max_tries: int, resume: bool) -> None:
        self.store = store
        self.try_number, self.max_tries, self.resume = try_number, max_tries, resume
        self._outcome_stands = False

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return not isinstance(self.store, MemoryStore)

    def read(self) -> list[Record]:
        """Return what the tries so far did, oldest first; after a clear, only what counts.

        :raises JournalError: when it cannot be read, or was written by a release that is not understood.
        """
        records: list[Record] = []
        for try_number in range(self.try_number, 0, -1):
            record = self._read(try_number)
            if record is None:
                continue
            cleared = not self.resume and record.max_tries != self.max_tries
            if not cleared or (record.is_open and not records):
                records.insert(0, record)
            if cleared:
                break
        return records

    def write(self, state: State, *, address: str, message: str, **more: Any) -> Record:
        """Record how far this try got.

        :param more: the other fields of :class:`Record`.
        :raises JournalError: when it was not accepted.
        """
        at = pendulum.now("UTC").isoformat(timespec="seconds")
        return self.put(Record(state, address, message, self.try_number, self.max_tries, at, **more))

    def put(self, record: Record) -> Record:
        """Make a record, which may tell what an earlier try did, this try's.

        :raises JournalError: when it was not accepted.
        """
        record = replace(record, max_tries=self.max_tries)
        try:
            # Should this try have run before, its outcome must not hide a new intent.
            part = INTENT if record.state is State.INTENT and not self._outcome_stands else OUTCOME
            self.store.set(self._key(self.try_number, part), asdict(record), retention=RETENTION)
        except Exception as error:
            raise JournalError(
                f"The journal did not accept {record.state.value!r}: {type(error).__name__}: {error}"
            ) from error
        return record

    def _read(self, try_number: int) -> Record | None:
        value = self._get(try_number, OUTCOME)
        if try_number == self.try_number:
            self._outcome_stands = value is not None
        if value is None:
            value = self._get(try_number, INTENT)
        if value is None:
            return None
        try:
            return Record(**{**value, "state": State(value["state"])})
        except (TypeError, KeyError, ValueError):
            raise JournalError(
                f"The journal of try {try_number} was written by a release that this one does not understand: {value!r}"
            ) from None

    def _get(self, try_number: int, part: str) -> Any:
        try:
            return self.store.get(self._key(try_number, part))
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error

    def _key(self, try_number: int, part: str) -> str:
        return KEY.format(try_number=try_number, part=part)


def open_journal(context: Mapping[str, Any], *, resume: bool) -> Journal:
    """Return the journal of the task instance that runs.

    :param context: Airflow's.
    :param resume: whether records from before a clear count.
    """
    ti = context.get("ti")
    store = context.get("task_state_store")
    return Journal(
        MemoryStore() if store is None else store,
        try_number=max(1, getattr(ti, "try_number", 1) or 1),
        max_tries=getattr(ti, "max_tries", 0) or 0,
        resume=resume,
    )


def is_first_try(context: Mapping[str, Any], retries: int | None) -> bool:
    """Whether this is the first try since the task was scheduled or cleared by a person.

    A clear sets ``max_tries`` to the tries so far plus ``retries``, so the difference is where the chain began.

    :param context: Airflow's.
    :param retries: the operator's.
    """
    ti = context.get("ti")
    try_number, max_tries = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    if try_number is None or max_tries is None:
        return True
    # Not "<= 1": ``retries`` may have been lowered since the run was created.
    return bool(try_number == 1 or try_number - (max_tries - (retries or 0)) == 1)
