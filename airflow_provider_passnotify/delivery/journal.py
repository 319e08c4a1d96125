"""The journal of a single send: what earlier tries of a task did, so that a push is never repeated by accident.

The rules
=========

Every try of a task may write two records: the *intent* before the POST, and the *outcome* after it. A try does these
steps, and its process may die after any of them::

    1  read          what earlier tries wrote
    2  decide        which of those records count (a person may have cleared the task), and whether any may be missing
    3  intent        write it, and continue only if that write returned
    4  look          with a folder: may this process still send? (see :mod:`.folder`)
    5  POST
    6  outcome       write "sent" (with the ticketId), "not sent", or "unknown"
    7  wait          for the ticket, if the task is told to wait: here, or deferred
    8  ticket failed write this, if the ticket ended as failed

The next try reads all records that count. The newest one decides, with two exceptions: "not sent" changes nothing that
older records say, and only "ticket failed" cancels an older "sent". Then the try does this::

    it finds                         at_most_once                           at_least_once
    -------------------------------  -------------------------------------  -------------------------------------
    nothing                          sends                                  sends
    only an intent                   fails: it may have been sent           sends again, with a warning
    outcome: sent                    returns the ticketId, may wait for it  returns the ticketId, may wait for it
    outcome: not sent                sends                                  sends
    outcome: unknown                 fails: it may have been sent           sends again, with a warning
    ticket failed                    sends                                  sends
    records of another target        fails, and names both                  fails, and names both
    that records may be missing      refuses                                sends, with a warning
    the same, and certainly cleared  on_clear="resend": sends, with a       sends, with a warning
                                     warning; "resume": refuses

*Which records count.* Each record has three numbers: the task instance's ``max_tries`` and the run's ``clear_number``,
both from the start of its try, and ``counts_from``, the oldest try whose records its try counted. A try decides this
once, and writes it down::

    no earlier record              counts_from = 1
    a retry, not a clear           counts_from of the newest record
    on_clear="resume"              counts_from of the newest record: after a clear, the task goes on from the journal
    the newest record is open      counts_from of the newest record: its try may still be running
    else                           counts_from = this try: after a clear, the task starts again from the beginning

The first two numbers tell a clear from a retry: see
:meth:`~airflow_provider_passnotify.delivery.task.TaskTry.was_cleared_since`. A record is *open* while its try has not
finished: it is an intent without an outcome, or the try is waiting for its ticket. One more write closes it: the
outcome, the end of the waiting, or the error of the try that finds it.

*Whether records may be missing*: see :mod:`.store`. A task was *certainly cleared* if the numbers prove it: see
:meth:`~airflow_provider_passnotify.delivery.task.TaskTry.surely_cleared`. With ``on_clear="resume"``, the try refuses
even after a certain clear, because it must go on from records that may be missing.

Why this is enough
==================

* A push is sent twice only if two tries send a POST and the later one does not know of the earlier one. Each try writes
  its intent before its POST, and reads the records of earlier tries before it writes its intent. So the later try reads
  the intent of the earlier one, unless the earlier process writes it after that. In that case, the write (to Airflow's
  store) or the look (into a folder) tells the earlier process that the task is no longer its own, and it does not send
  its POST. In Airflow's store, a process that was superseded, or has lost its supervisor, reads nothing (``get``
  returns the default) and cannot write (``set`` raises). Both are final.
* A push is lost without an error only if a task succeeds without a push. But a task succeeds only with a ticketId that
  one of its tries got.
* Each try writes under its own keys. So an old process cannot change what a newer try recorded. Intent and outcome have
  separate keys, because Airflow repeats a write that got no answer. So the write of the intent may arrive after the
  outcome.
* Nothing is deleted. If a process died between a deletion and the end of the task, the next try would send again. In
  Airflow's store, the records expire instead.
* What counts is decided once. If each try decided it again, a plain retry after a clear could count records from before
  the clear, or the other way round.
* A clear of a running task may look like any other clear, and the process of the cleared try goes on for a moment.
  That is why an open record counts even after a clear.
* A send is identified by its target, not by its text. A task instance sends one notification, even if its templates
  render to another text on the next try. The ticket of another target is never returned.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_passnotify.delivery.folder import UNREADABLE
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import Begin, decide_counts_from
from airflow_provider_passnotify.exceptions import JournalError, SupersededError

log = logging.getLogger(__name__)

INTENT, OUTCOME = "intent", "outcome"


class Delivery(str, Enum):
    """What to do when nobody knows whether a push was sent: do nothing, or send it again."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"


class OnClear(str, Enum):
    """What a clear of the task means: start again from the beginning, or go on from the journal."""

    RESEND = "resend"
    RESUME = "resume"


def check_choices(delivery: object, on_clear: object) -> None:
    """Refuse a value that is not one of the words above.

    :raises ValueError: it names the argument and the words that it can have.
    """
    for name, value, kinds in (("delivery", delivery, Delivery), ("on_clear", on_clear, OnClear)):
        words = [kind.value for kind in kinds]
        if value not in words:
            raise ValueError(f"{name} must be {' or '.join(words)}, not {value!r:.60}.")


class State(str, Enum):
    """How far a try has come."""

    INTENT = "intent"
    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    TICKET_FAILED = "ticket_failed"


@dataclass(frozen=True)
class Record:
    """What one try did.

    :param address: the target, as the API writes it. Empty if it is not known.
    :param message: a digest of the message. The text itself is not stored, because it may be personal.
    :param at: the time when it was written, in ISO 8601 and UTC.
    :param max_tries: of the task instance.
    :param waiting: whether the try goes on to wait for the ticket.
    :param clear_number: of the run. ``None`` in records of older releases, which did not write it.
    :param counts_from: the oldest try whose records its try counted. ``None`` in records of older releases.
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
    clear_number: int | None = None
    counts_from: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether its try has not ended, according to what the try wrote."""
        return self.state is State.INTENT or self.waiting

    @property
    def is_unreadable(self) -> bool:
        """Whether it represents a record that exists but cannot be read."""
        return self.max_tries < 0

    @property
    def has_begin(self) -> bool:
        """Whether its try wrote down which records it counted."""
        return self.clear_number is not None and self.counts_from is not None


class Journal:
    """The records of one sender.

    :param tasks: where the records are kept.
    :param resume: whether records from before a clear count.
    """

    def __init__(self, tasks: TaskStore, *, resume: bool) -> None:
        self.tasks, self.resume = tasks, resume
        self.counts_from: int | None = None
        """The oldest try whose records count. ``None`` if no earlier try has decided it."""
        self.newest: Begin | None = None
        """What the newest earlier record says about its try. ``None`` if it cannot be read, or if there is none."""
        self._outcome_stands = self._has_read = False

    @property
    def try_number(self) -> int:
        """The number of this try, from 1."""
        return self.tasks.try_number

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return self.tasks.is_durable

    def read(self, address: str = "") -> list[Record]:
        """Decide which records count, and return them, oldest first.

        :param address: the target of this send.
        :raises SupersededError: if another process runs this try.
        :raises JournalError: if the journal cannot be read, or was written by a release that this one does not
            understand.
        """
        self.tasks.start()
        own = self._read_own(address)
        found: list[Record] = []
        numbers: list[int] = []
        for number in range(self.try_number - 1, 0, -1):
            if number < (self.counts_from or 1):
                break
            record = self._read(number, address)
            if record is None:
                continue
            if not found:
                self.newest = None if record.is_unreadable else self._begin_of(record, number)
            if self.counts_from is None:
                self.counts_from = self._decide(record, number, newer=found)
            found.append(record)
            numbers.append(number)
        counted = [r for r, number in zip(found, numbers, strict=True) if number >= (self.counts_from or 1)]
        return [*reversed(counted), *([] if own is None else [own])]

    def write(self, state: State, *, address: str, message: str, **more: Any) -> Record:
        """Record how far this try has come.

        :param more: the other fields of :class:`Record`.
        :raises JournalError: if the record was not accepted.
        """
        at = pendulum.now("UTC").isoformat(timespec="seconds")
        return self.put(Record(state, address, message, self.try_number, self.tasks.this_try.max_tries, at, **more))

    def write_refusal(self, reason: str) -> None:
        """Record that this try could not send. It does so only if no record counts, and none may be missing.

        Without this record, a later try could not know that this one ended before it could send.
        """
        try:
            if not self.read() and self.tasks.why_unaccounted(self.counts_from or 1) is None:
                self.write(State.NOT_SENT, address="", message="", reason=reason[:500])
        except JournalError as error:
            log.warning("Nothing was sent, and that is not recorded: %s", error)

    def put(self, record: Record) -> Record:
        """Write a record as one of this try. The record may say what an earlier try did.

        If the task is being cleared at this moment, "sent" and "unknown" stay open. In Airflow 3, a clear of a
        running task looks like any other clear. The open record shows the next try that the task was still running.

        :raises JournalError: if the record was not accepted.
        """
        if not self._has_read:  # by the process after a deferral: this try has decided before what counts
            self._read_own(record.address)
        this_try = self.tasks.this_try
        record = replace(
            record,
            max_tries=this_try.max_tries,
            clear_number=this_try.clear_number,
            counts_from=self.counts_from or 1,
        )
        if record.state in (State.SENT, State.UNKNOWN) and not record.is_open and self.tasks.is_being_cleared():
            record = replace(record, waiting=True)
        # If this try has run before, its earlier outcome must not hide a new intent.
        part = INTENT if record.state is State.INTENT and not self._outcome_stands else OUTCOME
        try:
            self.tasks.set(part, asdict(record))
        except SupersededError:
            raise
        except JournalError as error:
            raise JournalError(f"{record.state.value!r} is not recorded. {error}") from error
        return record

    def _decide(self, record: Record, number: int, *, newer: list[Record]) -> int | None:
        """Return the oldest try that counts, or ``None`` if this record does not decide it.

        :param newer: the records of the tries after it.
        """
        this_try = self.tasks.this_try
        if record.is_unreadable:
            return None
        is_closed = not record.is_open and not any(r.is_unreadable for r in newer)
        if record.has_begin:
            begin = self._begin_of(record, number)
            return decide_counts_from(this_try, begin, ended=is_closed, resume=self.resume)
        if self.resume or record.max_tries == this_try.max_tries:  # of an older release: its own rule holds
            return None
        return number if record.is_open and not newer else number + 1

    def _begin_of(self, record: Record, number: int) -> Begin:
        clears, counts_from = record.clear_number, record.counts_from
        here = self.tasks.this_try.clear_number  # older releases did not write it: no clear is assumed
        return Begin(number, record.max_tries, here if clears is None else clears, counts_from or 1)

    def _read_own(self, address: str) -> Record | None:
        own = self._read(self.try_number, address)
        self.counts_from = own.counts_from if own is not None else None
        self._has_read = True
        return own

    def _read(self, try_number: int, address: str) -> Record | None:
        outcome = value = self.tasks.get(try_number, OUTCOME)
        if try_number == self.try_number:
            self._outcome_stands = outcome is not None
        if outcome is None or outcome is UNREADABLE:
            value = self.tasks.get(try_number, INTENT)
        if value is None and outcome is None:
            return self._read_older(try_number, address)
        if value is None or value is UNREADABLE:  # a record that cannot be read was at least an intent
            return Record(State.INTENT, "", "", try_number, -1, "a time that cannot be read")
        return _parse(value, try_number)

    def _read_older(self, try_number: int, address: str) -> Record | None:
        for part in (OUTCOME, INTENT):
            if (value := self.tasks.get_older(try_number, part)) is not None:
                record = _parse(value, try_number)
                return record if record.address == address else None  # all operators of a task wrote there
        return None


def _parse(value: Any, try_number: int) -> Record:
    try:
        return Record(**{**value, "state": State(value["state"])})
    except (TypeError, KeyError, ValueError):
        raise JournalError(
            f"The journal of try {try_number} was written by a release that this one does not understand: {value!r}"
        ) from None
