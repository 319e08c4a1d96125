"""The journal of a batch. It does for chunks of rows what :mod:`..journal` does for one notification.

Before the first row of a chunk goes out, the *intent* is written: digests of the chunk's rows, each "in flight". When
the chunk is done, the *outcome* is written: sent (and its ticket), not sent, or unknown. A row is sent only after the
write of its intent has returned, and at most two chunks are in flight. So if a process dies, at most two chunks of rows
are unknown to the next try. A slow row does not stop the others: the results that its chunk has so far are written (a
*part* of the outcome), and the next chunk may start.

Before its first chunk, a try writes its *begin*: the three numbers of :mod:`..journal` by which it decided which of the
earlier chunks count. At its end, it writes that it has *ended*. A try that has not ended may still be sending, so what
it left counts even after a clear. Chunks without a begin were discarded in part: see :mod:`..store`.

Each key (``...try.N.chunk.C.outcome``) belongs to one try and to one of these records. :mod:`..journal` says why that
is enough. One thread writes the chunks in order, so a reader counts up from 0 until there is no chunk.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pendulum

from airflow_provider_passnotify.delivery.account import BATCH, MUST_NOT_SEND, THEN_CLEAR, check_accounted, refused
from airflow_provider_passnotify.delivery.batch.ledger import PendingRow, now_ms
from airflow_provider_passnotify.delivery.batch.resume import Entry
from airflow_provider_passnotify.delivery.folder import UNREADABLE
from airflow_provider_passnotify.delivery.journal import Delivery
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import Begin, decide_counts_from
from airflow_provider_passnotify.exceptions import JournalError, journal_errors
from airflow_provider_passnotify.rows.reader import DIGEST_SIZE

MAX_CHUNK_ROWS = 1000
"""Rows in a chunk: with tickets of 19 digits, its value stays under the 64 KB above which Airflow warns."""
IN_FLIGHT, SENT, NOT_SENT, UNKNOWN = "i", "s", "n", "u"
_MAX_TIME = 2**32 - 1
INTENT, PART, OUTCOME = "intent", "part", "outcome"
BEGIN, ENDED, FAILED_TICKETS = "begin", "ended", "failed_tickets"


class Chunk:
    """Rows that are journaled together.

    :param number: its place within the try.
    """

    def __init__(self, number: int, rows: list[PendingRow]) -> None:
        self.number = number
        self.rows: list[PendingRow | None] = list(rows)  # None once handed out: a request may be large
        self.numbers = [row.row for row in rows]
        self.states = [IN_FLIGHT] * len(rows)
        self.tickets: list[int | None] = [None] * len(rows)
        self.open = len(rows)
        self.journaled_in_flight = 0
        """Rows that a reader of the journal would find in flight."""
        self.since = now_ms()
        """When its intent is written, in milliseconds since 1970: none of its rows goes out before."""
        self._times = [0] * len(rows)  # milliseconds after that
        self._identities = b64encode(b"".join(row.recipient_digest for row in rows)).decode()
        self._texts = b64encode(b"".join(row.content_digest for row in rows)).decode()

    def settle(self, index: int, state: str, ticket_id: int | None, at: int) -> None:
        """Note what became of a row.

        :param at: when that was known, in milliseconds since 1970.
        """
        self.states[index], self.tickets[index] = state, ticket_id
        self._times[index] = min(max(0, at - self.since), _MAX_TIME)  # the clock may have been set
        self.open -= 1

    @property
    def stage(self) -> str:
        """How far it is: the last part of its key."""
        if self.open == len(self.states):
            return INTENT
        return PART if self.open else OUTCOME

    def as_value(self) -> dict[str, Any]:
        """Return it as JSON for the journal."""
        return {
            "identities": self._identities,
            "texts": self._texts,
            "states": "".join(self.states),
            "tickets": [ticket_id for ticket_id in self.tickets if ticket_id is not None],
            "since": self.since,
            "times": b64encode(struct.pack(f"<{len(self._times)}I", *self._times)).decode(),
        }


class _Decided(NamedTuple):
    """What the records of earlier tries say.

    :param counts_from: the oldest try that counts. ``None`` if nobody has decided it.
    :param newest: the newest begin.
    :param whole: whether the records look complete.
    :param while_running: whether some were discarded by a clear that came while an earlier try was running.
    """

    counts_from: int | None
    newest: Begin | None
    whole: bool
    while_running: bool


class ChunkJournal:
    """The chunks of one task instance. Its calls block, so those made while sending belong into a thread.

    :param tasks: where they are kept.
    :param resume: whether chunks from before a clear count.
    :param delivery: what to do where nobody knows what was sent.
    """

    def __init__(self, tasks: TaskStore, *, resume: bool, delivery: Delivery = Delivery.AT_MOST_ONCE) -> None:
        self._tasks, self._resume, self._delivery = tasks, resume, delivery
        self._counts_from = 1
        self._after: int | None = None
        """The newest earlier try that has records; should they be gone later, they were discarded."""
        self.next_number = 0

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return self._tasks.is_durable

    def begin(self) -> None:
        """Decide which chunks of earlier tries count, and write that down; before anything else is done.

        :raises SendRefusedError: when nobody can know what earlier tries sent; nothing is written then.
        :raises SupersededError: when another process has this try.
        :raises JournalError: when the journal cannot be read or written.
        """
        with self._reading():
            self._tasks.start()
            own = self._get(self._tasks.try_number, BEGIN)
            if own is not None and own is not UNREADABLE:  # another process of this try decided
                self._counts_from = _begin(own, self._tasks.try_number).counts_from
                return
            decided = self._decide()
            self._counts_from = check_accounted(
                self._tasks,
                decided.counts_from,
                decided.newest,
                whole=decided.whole,
                while_running=decided.while_running,
                resume=self._resume,
                delivery=self._delivery,
                whom="",
                ways=BATCH,
            )
        this_try = self._tasks.this_try
        begin = Begin(this_try.try_number, this_try.max_tries, this_try.clear_number, self._counts_from)
        self._after = decided.newest.try_number if decided.newest else None
        self._set(BEGIN, {**begin._asdict(), "after": self._after, "at": _now()})

    def read(self) -> Iterator[Entry]:
        """Yield what the tries that count sent, or may have sent.

        :raises SendRefusedError: when nobody can know which rows a chunk had.
        :raises JournalError: when it cannot be read, or was written by a release that is not understood.
        """
        with self._reading():
            yield from self._read()

    def _read(self) -> Iterator[Entry]:
        failed: set[int] = set()  # of the newer tries: what a failed ticket was for may be sent again
        for try_number in range(self._tasks.try_number, self._counts_from - 1, -1):
            failed |= _tickets(self._get(try_number, FAILED_TICKETS))
            number = 0
            while (value := self._get_chunk(try_number, number)) is not None:
                if value is not UNREADABLE:
                    yield from (entry for entry in _entries(value, try_number) if entry.ticket_id not in failed)
                elif self._delivery is Delivery.AT_MOST_ONCE:
                    raise refused(
                        self._tasks, f"The record of chunk {number} of try {try_number} cannot be read.", ways=BATCH
                    )
                number += 1
            if try_number == self._tasks.try_number:
                self.next_number = number  # where a process of the same try came before
        if self._delivery is Delivery.AT_MOST_ONCE and not self._tasks.still_has(self._after):
            raise refused(
                self._tasks,
                "Their records were discarded while they were read: the task was cleared at this moment.",
                ways=BATCH,
            )

    def write(self, value: dict[str, Any], number: int, stage: str) -> None:
        """Record a chunk; of an intent, return only if its rows may be sent.

        :param value: the chunk's.
        :param number: the chunk's.
        :param stage: the chunk's.
        :raises SupersededError: when this process may not send.
        :raises JournalError: when it was not accepted.
        """
        this_try = self._tasks.this_try
        numbers = {"max_tries": this_try.max_tries, "clear_number": this_try.clear_number}
        self._set(_chunk(number, stage), {**value, **numbers, "at": _now()})
        if stage == INTENT:
            self._tasks.look()

    def write_failed(self, tickets: Iterable[int]) -> None:
        """Record tickets that ended as failed, so that a later try sends again to whom they were for.

        :raises JournalError: when it was not accepted.
        """
        self._set(FAILED_TICKETS, {"tickets": sorted(tickets)})

    def end(self) -> None:
        """Record that this try has ended, or that it is cleared at this moment (see :meth:`.Journal.put`).

        :raises JournalError: when it was not accepted.
        """
        is_cleared = self.is_durable and self._tasks.is_being_cleared()
        self._set(ENDED, {"at": _now(), "clear_number": self._tasks.this_try.clear_number, "is_cleared": is_cleared})

    def _decide(self) -> _Decided:
        this_try = self._tasks.this_try
        ended, whole, while_running = False, True, False
        newest: Begin | None = None
        max_tries = this_try.max_tries
        for number in range(this_try.try_number - 1, 0, -1):
            end = self._get(number, ENDED)
            ended = ended or (isinstance(end, dict) and not end.get("is_cleared"))
            value = self._get(number, BEGIN)
            if value is UNREADABLE:
                whole = False
            elif value is not None:
                begin = _begin(value, number)
                whole = whole and self._tasks.still_has(value.get("after"))
                counts_from = decide_counts_from(this_try, begin, ended=ended, resume=self._resume)
                return _Decided(counts_from, newest or begin, whole, while_running)
            elif (chunk := self._get_chunk(number, 0)) is not None:
                if not isinstance(chunk, dict) or "clear_number" in chunk:
                    whole = False  # its begin was discarded
                    while_running = True  # or this would be gone, too
                    continue
                # An older release's, which wrote no begin: its rule.
                before = chunk.get("max_tries", 0)
                newest = newest or Begin(number, before, this_try.clear_number, 1)
                if not self._resume and before != max_tries:
                    if ended:
                        return _Decided(number + 1, newest, whole, while_running)
                    max_tries = before  # that clear came while the try was running
            elif isinstance(end, dict) and "clear_number" in end:
                whole, while_running = False, True
        return _Decided(None, newest, whole, while_running)

    def _get_chunk(self, try_number: int, number: int) -> Any:
        unreadable = None
        for stage in (OUTCOME, PART, INTENT):
            value = self._get(try_number, _chunk(number, stage))
            if value is UNREADABLE:
                unreadable = value  # an older record of the chunk says at least who was in it
            elif value is not None:
                return value
        if unreadable is None:
            values = (self._tasks.get_older(try_number, _chunk(number, stage)) for stage in (OUTCOME, PART, INTENT))
            return next((value for value in values if value is not None), None)
        return unreadable

    @property
    def _then_clear(self) -> str:
        return THEN_CLEAR if self._resume else "Clearing the task sends all rows again (on_clear='resend')."

    def _reading(self) -> AbstractContextManager[None]:
        return journal_errors(
            "Not sent by this try: the journal cannot be read.",
            known=[f"Try {self._tasks.try_number}. No row was sent by it."],
            ways=["Nothing, if Airflow retries the task: the retry sends what no earlier try sent.", self._then_clear],
        )

    def _get(self, try_number: int, part: str) -> Any:
        return self._tasks.get(try_number, part)

    def _set(self, part: str, value: dict[str, Any]) -> None:
        if not self.is_durable:
            return  # nobody will read it, and a million rows would stay in memory
        with journal_errors(
            "The batch stopped: the journal did not accept a record.",
            known=[f"Try {self._tasks.try_number}. Nothing more is sent by this process."],
            ways=[
                "The API server or the folder was away: a retry goes on where this try stopped.",
                MUST_NOT_SEND,
            ],
        ):
            self._tasks.set(part, value)


def _chunk(number: int, stage: str) -> str:
    return f"chunk.{number}.{stage}"


def _now() -> str:
    return pendulum.now("UTC").isoformat(timespec="milliseconds")


def _begin(value: Any, try_number: int) -> Begin:
    try:
        return Begin(*(int(value[name]) for name in Begin._fields))
    except (TypeError, KeyError, ValueError):
        raise JournalError(
            f"The journal of try {try_number} was written by a release that this one does not understand: "
            f"{value!r:.200}"
        ) from None


def _tickets(value: Any) -> set[int]:
    return set(value.get("tickets", ())) if isinstance(value, dict) else set()


def _entries(value: Any, try_number: int) -> list[Entry]:
    try:
        identities, texts = _digests(value["identities"]), _digests(value["texts"])
        tickets = iter(value["tickets"])
        return [
            Entry(identity, text, int(next(tickets)) if state == SENT else None, try_number, at)
            for identity, text, state, at in zip(identities, texts, value["states"], _times(value), strict=True)
            if state != NOT_SENT
        ]
    except (TypeError, KeyError, ValueError, StopIteration, RuntimeError, struct.error):
        raise JournalError(
            f"The journal of try {try_number} was written by a release that this one does not understand: "
            f"{value!r:.200}"
        ) from None


def _times(value: dict[str, Any]) -> list[int] | list[None]:
    """Return when it was known what became of each row; of a row in flight, when its chunk began."""
    if "times" not in value:  # an older release's
        return [None] * len(value["states"])
    packed = b64decode(value["times"])
    return [value["since"] + after for after in struct.unpack(f"<{len(packed) // 4}I", packed)]


def _digests(packed: str) -> list[bytes]:
    data = b64decode(packed)
    return [data[at : at + DIGEST_SIZE] for at in range(0, len(data), DIGEST_SIZE)]
