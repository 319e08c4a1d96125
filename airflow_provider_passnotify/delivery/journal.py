"""The journal of a single send: what earlier tries of a task did, so that a push is never repeated by accident.

The rules
=========

Every try of a task may write two records: the *intent* before the POST, and the *outcome* after it. A try goes through
these steps, and its process may die after any of them::

    1  read          what earlier tries wrote
    2  decide        which of those records count (a person may have cleared the task), and whether they are all there
    3  intent        write it; only if that write returned, go on
    4  look          with a folder: may this process still send? (see :mod:`.folder`)
    5  POST
    6  outcome       write "sent" (with the ticketId), "not sent", or "unknown"
    7  wait          for the ticket, if the task wants to; here, or deferred
    8  ticket failed write it, if the ticket ended so

The next try reads the newest record that counts, and does this::

    it finds                         at_most_once                        at_least_once
    -------------------------------  ----------------------------------  ------------------------------
    nothing                          sends                               sends
    an intent alone                  fails: it may have been sent        sends again, and says so
    outcome: sent                    returns the ticketId, waits on      returns the ticketId, waits on
    outcome: not sent                sends                               sends
    outcome: unknown                 fails: it may have been sent        sends again, and says so
    ticket failed                    sends                               sends
    records of another target        fails, and names both               fails, and names both
    records that are not all there   refuses, unless surely cleared      sends, and says so

*Which records count.* Each record has three numbers: the task instance's ``max_tries`` and the run's ``clear_number``,
as they were when its try began, and ``counts_from``, the oldest try whose records its try counted. A try decides that
once, and writes it down::

    no earlier record              counts_from = 1
    a retry, not a clear           counts_from of the newest record
    on_clear="resume"              counts_from of the newest record, a clear goes on where the journal stands
    the newest record is open      counts_from of the newest record, its try may be at it still
    else                           counts_from = this try, a clear starts afresh

The two numbers tell a clear from a retry: see
:meth:`~airflow_provider_passnotify.delivery.task.TaskTry.was_cleared_since`. A record is *open* while its try has more
to do: an intent without outcome, or a ticket that is waited for. One more write closes it: the outcome, the end of the
waiting, or the error of the try that finds it.

*Whether they are all there*: see :mod:`.store`. A task was *surely cleared* if the numbers say so: see
:meth:`~airflow_provider_passnotify.delivery.task.TaskTry.surely_cleared`.

Why that is enough
==================

* Sent twice would need two POSTs of tries that know nothing of each other. A try's intent stands before its POST; a
  later try reads before its own intent. So the later one reads the intent, unless the earlier process writes it after
  that; and then the write (Airflow's store) or the look (a folder) tells it that it is no longer the task's, and it
  does not POST. In Airflow's store a process that was superseded, or has lost its supervisor, reads nothing
  (``get`` returns the default) and cannot write (``set`` raises); both for ever.
* Lost in silence would need a task that ends well without a push. It ends well only with a ticketId that a try got.
* Each try writes under keys of its own. So an old process cannot change what a newer try recorded. Intent and outcome
  have a key each: Airflow repeats a write that got no answer, and the first one may arrive after the outcome.
* Nothing is deleted. A process that dies between a deletion and the end of the task would send again. The records
  expire instead.
* What counts is decided once. If each try decided anew, a plain retry after a clear could take the records of before
  the clear for its own, or the other way round.
* A clear of a running task may look like any other clear, and the process of the cleared try goes on for a moment.
  That is why an open record counts even after a clear.
* The identity of a send is whom it is for, not what it says: a task instance sends one notification, whatever its
  templates render to on the next try. No other target's ticket is ever returned.
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

    :param address: whom it was for, as the API has it; empty where that is not known.
    :param message: a digest of what was to be said; the text itself may be personal.
    :param at: when, ISO 8601 in UTC.
    :param max_tries: the task instance's.
    :param waiting: whether the try goes on to wait for the ticket.
    :param clear_number: the run's. It and ``counts_from`` are ``None`` in records of releases that did not write them.
    :param counts_from: the oldest try whose records its try counted.
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
        """Whether its try, as far as it wrote, has not ended."""
        return self.state is State.INTENT or self.waiting

    @property
    def is_unreadable(self) -> bool:
        """Whether it stands for a record that is there and cannot be read."""
        return self.max_tries < 0

    @property
    def has_begin(self) -> bool:
        """Whether its try wrote down what it decided."""
        return self.clear_number is not None and self.counts_from is not None


class Journal:
    """The records of one sender.

    :param tasks: where they are kept.
    :param resume: whether records from before a clear count.
    """

    def __init__(self, tasks: TaskStore, *, resume: bool) -> None:
        self.tasks, self.resume = tasks, resume
        self.counts_from: int | None = None
        """The oldest try whose records count; ``None`` where no earlier try has decided it."""
        self.newest: Begin | None = None
        """What the newest earlier record says of its try, if it can be read."""
        self._outcome_stands = False

    @property
    def try_number(self) -> int:
        """The number of this try, from 1."""
        return self.tasks.try_number

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return self.tasks.is_durable

    def read(self, address: str = "") -> list[Record]:
        """Decide which records count, and return those, oldest first.

        :param address: whom this send is for.
        :raises SupersededError: when another process has this try.
        :raises JournalError: when it cannot be read, or was written by a release that is not understood.
        """
        self.tasks.start()
        own = self._read(self.try_number, address)
        self.counts_from = own.counts_from if own is not None else None
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
        """Record how far this try got.

        :param more: the other fields of :class:`Record`.
        :raises JournalError: when it was not accepted.
        """
        at = pendulum.now("UTC").isoformat(timespec="seconds")
        return self.put(Record(state, address, message, self.try_number, self.tasks.this_try.max_tries, at, **more))

    def write_refusal(self, reason: str) -> None:
        """Record, if it is the first thing that is known of this task, that it could not send.

        Without that, nothing would tell a later try that this one ended before it could send.
        """
        try:
            if not self.read() and self.tasks.why_unaccounted(self.counts_from or 1) is None:
                self.write(State.NOT_SENT, address="", message="", reason=reason[:500])
        except JournalError as error:
            log.warning("Nothing was sent, and that is not recorded: %s", error)

    def put(self, record: Record) -> Record:
        """Make a record, which may tell what an earlier try did, this try's.

        It stays open if the task is being cleared at this moment: Airflow 3.4 makes a clear of a running task look like
        any other, and an open record says that it was none.

        :raises JournalError: when it was not accepted.
        """
        this_try = self.tasks.this_try
        record = replace(
            record,
            max_tries=this_try.max_tries,
            clear_number=this_try.clear_number,
            counts_from=self.counts_from or 1,
        )
        if record.state in (State.SENT, State.UNKNOWN) and not record.is_open and self.tasks.is_being_cleared():
            record = replace(record, waiting=True)
        # Should this try have run before, its outcome must not hide a new intent.
        part = INTENT if record.state is State.INTENT and not self._outcome_stands else OUTCOME
        try:
            self.tasks.set(part, asdict(record))
        except SupersededError:
            raise
        except JournalError as error:
            raise JournalError(f"{record.state.value!r} is not recorded. {error}") from error
        return record

    def _decide(self, record: Record, number: int, *, newer: list[Record]) -> int | None:
        """Return the oldest try that counts; ``None`` where this record does not decide it.

        :param newer: the records that were written after it.
        """
        this_try = self.tasks.this_try
        if record.is_unreadable:
            return None
        is_closed = not record.is_open and not any(r.is_unreadable for r in newer)
        if record.has_begin:
            begin = self._begin_of(record, number)
            return decide_counts_from(this_try, begin, ended=is_closed, resume=self.resume)
        if self.resume or record.max_tries == this_try.max_tries:  # an older release's: its rule
            return None
        return number if record.is_open and not newer else number + 1

    def _begin_of(self, record: Record, number: int) -> Begin:
        clears, counts_from = record.clear_number, record.counts_from
        here = self.tasks.this_try.clear_number  # an older release did not write it: what it cannot tell is no clear
        return Begin(number, record.max_tries, here if clears is None else clears, counts_from or 1)

    def _read(self, try_number: int, address: str) -> Record | None:
        outcome = value = self.tasks.get(try_number, OUTCOME)
        if try_number == self.try_number:
            self._outcome_stands = outcome is not None
        if outcome is None or outcome is UNREADABLE:
            value = self.tasks.get(try_number, INTENT)
        if value is None and outcome is None:
            return self._read_older(try_number, address)
        if value is None or value is UNREADABLE:  # what cannot be read was at least an intent
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
