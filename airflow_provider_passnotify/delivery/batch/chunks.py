"""The journal of a batch: what :mod:`.journal` is for one notification, for chunks of rows.

Before the first row of a chunk goes out, the *intent* is written: digests of the chunk's rows, each "in flight". When
the chunk is done, the *outcome* is: sent (and its ticket), not sent, or unknown. A row is sent only if the write of its
intent returned, and at most two chunks are in flight; so a process that dies leaves at most two chunks of rows of which
the next try cannot tell whether they were sent. A row that keeps its chunk waiting does not keep the others: the chunk
is written as far as it is done (a *part* of the outcome), and the next one may start.

Keys (``...try.N.chunk.C.outcome``) belong to one try, and to one of these three, as in :mod:`.journal`, where stands
why that is enough. Chunks are written in order by one thread, so that a reader goes from 0 until there is none.

Where a clear means "send all again", each try also writes that it has *ended*. For Airflow may make a clear of a task
that runs look like any other, and that one must not ring every phone twice: a try that has not ended goes on.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Any

import pendulum

from airflow_provider_passnotify.delivery.batch.ledger import PendingRow
from airflow_provider_passnotify.delivery.batch.resume import Entry
from airflow_provider_passnotify.delivery.journal import RETENTION, VERSION, MemoryStore, Store
from airflow_provider_passnotify.exceptions import JournalError
from airflow_provider_passnotify.rows.reader import DIGEST_SIZE

MAX_CHUNK_ROWS = 1000
"""Rows in a chunk: with tickets of 19 digits, its value stays under the 64 KB above which Airflow warns."""
IN_FLIGHT, SENT, NOT_SENT, UNKNOWN = "i", "s", "n", "u"
INTENT, PART, OUTCOME = "intent", "part", "outcome"


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
        self._identities = b64encode(b"".join(row.recipient_digest for row in rows)).decode()
        self._texts = b64encode(b"".join(row.content_digest for row in rows)).decode()

    def settle(self, index: int, state: str, ticket_id: int | None = None) -> None:
        """Note what became of a row."""
        self.states[index], self.tickets[index] = state, ticket_id
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
        }


class ChunkJournal:
    """The chunks of one task instance.

    :param store: where they live; its calls block, so they belong into a thread.
    :param try_number: of this try, from 1.
    :param max_tries: the task instance's, which tells a clear from a retry.
    :param resume: whether chunks from before a clear count.
    """

    def __init__(self, store: Store, *, try_number: int, max_tries: int, resume: bool) -> None:
        self._store = store
        self._try_number, self._max_tries, self._resume = try_number, max_tries, resume
        self.next_number = 0

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what this one writes."""
        return not isinstance(self._store, MemoryStore)

    def read(self) -> Iterator[Entry]:
        """Yield what the tries so far sent, or may have sent; after a clear, only what counts.

        :raises JournalError: when it cannot be read, or was written by a release that is not understood.
        """
        failed: set[int] = set()  # of the newer tries: what a failed ticket was for may be sent again
        ended, max_tries = False, self._max_tries
        for try_number in range(self._try_number, 0, -1):
            failed |= set((self._get(_failed_key(try_number)) or {}).get("tickets", ()))
            ended = ended or (not self._resume and self._get(_ended_key(try_number)) is not None)
            number = 0
            while (value := self._get_chunk(try_number, number)) is not None:
                if not self._resume and _max_tries(value) != max_tries:
                    if ended:
                        return  # from before a clear
                    max_tries = _max_tries(value)  # that clear came while the try was running
                yield from (entry for entry in _entries(value, try_number) if entry.ticket_id not in failed)
                number += 1
            if try_number == self._try_number:
                self.next_number = number  # where a process of the same try came before

    def write(self, value: dict[str, Any], number: int, stage: str) -> None:
        """Record a chunk.

        :param value: the chunk's.
        :param number: the chunk's.
        :param stage: the chunk's.
        :raises JournalError: when it was not accepted.
        """
        at = pendulum.now("UTC").isoformat(timespec="seconds")
        self._set(_key(self._try_number, number, stage), {**value, "max_tries": self._max_tries, "at": at})

    def write_failed(self, tickets: Iterable[int]) -> None:
        """Record tickets that ended as failed, so that a later try sends again to whom they were for.

        :raises JournalError: when it was not accepted.
        """
        self._set(_failed_key(self._try_number), {"tickets": sorted(tickets)})

    def end(self) -> None:
        """Record that this try has ended, where that makes a difference.

        :raises JournalError: when it was not accepted.
        """
        if not self._resume:
            self._set(_ended_key(self._try_number), {"at": pendulum.now("UTC").isoformat(timespec="seconds")})

    def _get_chunk(self, try_number: int, number: int) -> Any:
        values = (self._get(_key(try_number, number, stage)) for stage in (OUTCOME, PART, INTENT))
        return next((value for value in values if value is not None), None)

    def _get(self, key: str) -> Any:
        try:
            return self._store.get(key)
        except Exception as error:
            raise JournalError(f"The journal cannot be read: {type(error).__name__}: {error}") from error

    def _set(self, key: str, value: dict[str, Any]) -> None:
        if not self.is_durable:
            return  # nobody will read it, and a million rows would stay in memory
        try:
            self._store.set(key, value, retention=RETENTION)
        except Exception as error:
            raise JournalError(
                f"The journal did not accept {key}: {type(error).__name__}: {error}. Nothing more is sent: a try that "
                "was superseded, or has lost its supervisor, must not; if the API server was down, a retry goes on."
            ) from error


def _key(try_number: int, number: int, stage: str) -> str:
    return f"passnotify.v{VERSION}.try.{try_number}.chunk.{number}.{stage}"


def _failed_key(try_number: int) -> str:
    return f"passnotify.v{VERSION}.try.{try_number}.failed_tickets"


def _ended_key(try_number: int) -> str:
    return f"passnotify.v{VERSION}.try.{try_number}.ended"


def _max_tries(value: Any) -> Any:
    return value.get("max_tries") if isinstance(value, dict) else None


def _entries(value: Any, try_number: int) -> list[Entry]:
    try:
        identities, texts = _digests(value["identities"]), _digests(value["texts"])
        tickets = iter(value["tickets"])
        return [
            Entry(identity, text, int(next(tickets)) if state == SENT else None, try_number)
            for identity, text, state in zip(identities, texts, value["states"], strict=True)
            if state != NOT_SENT
        ]
    except (TypeError, KeyError, ValueError, StopIteration, RuntimeError):
        raise JournalError(
            f"The journal of try {try_number} was written by a release that this one does not understand: "
            f"{value!r:.200}"
        ) from None


def _digests(packed: str) -> list[bytes]:
    data = b64decode(packed)
    return [data[at : at + DIGEST_SIZE] for at in range(0, len(data), DIGEST_SIZE)]
