"""The rows of one try in a temporary SQLite file: what to send, and what became of it. It does not import Airflow.

All rows of the source are read before the first send. So the total is known, a source that fails half-way sends
nothing, and memory does not grow with the rows. The file belongs to this process, and is deleted with it. What must
outlive a crash is in the journal (:mod:`.chunks`).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from airflow_provider_passnotify.api.protocol import Request, shorten
from airflow_provider_passnotify.rows.reader import Message, RowReader
from airflow_provider_passnotify.rows.source import BadRow, Rows

_BATCH = 500
_CACHE_KB = 8192
_MAX_ERROR_LENGTH = 1000
_MAX_INT = 2**63 - 1


class Status(IntEnum):
    """What became of a row; the names are those of the report."""

    PENDING = 0
    SENT = 1
    FAILED = 2
    UNKNOWN = 3
    DUPLICATE = 4
    LEFT_OUT = 5
    """A report of an earlier run says that it was sent."""


STATUS_NAMES = {status: status.name.lower() for status in Status}


_SCHEMA = """
CREATE TABLE rows (
    row INTEGER PRIMARY KEY, recipient_digest BLOB, content_digest BLOB, target TEXT, address TEXT, body BLOB,
    dedupe_key TEXT, status INTEGER NOT NULL, ticket_id, error TEXT, status_code INTEGER, same_as INTEGER,
    unknown_since TEXT, at INTEGER, try_number INTEGER, report INTEGER
);
CREATE TABLE reports (report INTEGER PRIMARY KEY, path TEXT);
"""
# ``at`` is in milliseconds since 1970; ``try_number`` is NULL if this try decided what became of the row, and
# ``report`` if no report of an earlier run did.
# A row that an earlier try or run may have sent is stored as unknown, never as failed; ``unknown_since`` says which.
_RECORD = """
UPDATE rows SET
    status = CASE WHEN unknown_since IS NOT NULL AND ?1 = {failed} THEN {unknown} ELSE ?1 END,
    error = CASE WHEN unknown_since IS NOT NULL AND ?1 = {failed}
        THEN 'unknown: ' || unknown_since || ' may have sent it; now: ' || ?3 ELSE ?3 END,
    ticket_id = ?2, status_code = ?4, at = ?5
""".format(failed=int(Status.FAILED), unknown=int(Status.UNKNOWN))
# The digests are for whoever reads the report back (:mod:`.earlier_reports`); deletions have none.
_REPORT = f"""
SELECT row, target, status, ticket_id, error, status_code, same_as,
    CASE WHEN taken_over THEN at ELSE COALESCE(at, ?1) END, CASE WHEN taken_over THEN try_number ELSE ?2 END,
    dedupe_key, recipient_digest, CASE WHEN is_message THEN content_digest END, path
FROM (
    SELECT *, try_number IS NOT NULL OR report IS NOT NULL AS taken_over,
        status != {Status.DUPLICATE:d} AND (body IS NOT NULL OR try_number IS NOT NULL) AS is_message
    FROM rows
) LEFT JOIN reports USING (report) ORDER BY row
"""
# Sorting once is much faster than keeping a unique index while rows are added.
_FIND_DUPLICATES = f"""
CREATE INDEX rows_by_content ON rows (content_digest);
CREATE TABLE twice AS
    SELECT content_digest, MIN(row) AS first FROM rows
    WHERE content_digest IS NOT NULL GROUP BY content_digest HAVING COUNT(*) > 1;
CREATE INDEX twice_by_content ON twice (content_digest);
UPDATE rows
    SET status = {int(Status.DUPLICATE)},
        same_as = (SELECT first FROM twice WHERE twice.content_digest = rows.content_digest)
    WHERE row IN (SELECT rows.row FROM twice JOIN rows USING (content_digest) WHERE rows.row > twice.first);
DROP TABLE twice;
"""


class TooManyRowsError(ValueError):
    """The source has more rows than the batch may have."""

    ways = ("Look at the source (a wrong WHERE clause?), or raise max_notifications.",)


class PendingRow(NamedTuple):
    """A row that is to be sent."""

    row: int
    recipient_digest: bytes
    content_digest: bytes
    request: Request


class Result(NamedTuple):
    """What became of a row.

    :param at: when that was known, in milliseconds since 1970.
    """

    row: int
    status: Status
    ticket_id: int | None = None
    error: str | None = None
    status_code: int | None = None
    at: int | None = None


@dataclass(frozen=True)
class Counts:
    """How many rows there are of each status.

    :param done: the word for what was done with the rows that count as sent.
    """

    pending: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    duplicate: int = 0
    left_out: int = 0
    done: str = "sent"

    @property
    def total(self) -> int:
        """All rows."""
        return self.pending + self.sent + self.failed + self.unknown + self.duplicate + self.left_out

    def __str__(self) -> str:
        others = {
            "failed": self.failed,
            "unknown": self.unknown,
            "equal to another": self.duplicate,
            "left out": self.left_out,
        }
        parts = [f"{count:,} {word}" for word, count in others.items() if count]
        return ", ".join([f"{self.sent:,} of {self.total:,} {self.done}", *parts])


def in_words(counts: Mapping[str, int]) -> list[str]:
    """Return a short sentence for each count that is not zero."""
    return [f"{word}: {count:,}." for word, count in counts.items() if count]


class Ledger:
    """The rows of a batch. Use it as a context manager, by one thread at a time.

    :param try_number: of the task, for the report.
    :param done: what people read of a row whose request was accepted: "sent", or "deleted". Its status is ``SENT``.
    """

    def __init__(self, try_number: int = 1, *, done: str = "sent") -> None:
        self._try_number, self.done = try_number, done
        self._filled_at = now_ms()
        self._folder = tempfile.TemporaryDirectory(prefix="passnotify-")  # only this user may read it
        self.connection = sqlite3.connect(
            Path(self._folder.name) / "ledger.sqlite", isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KB}"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.total = 0  # of the source; a row above it is a message of an earlier try to which no row is left
        self.script(_SCHEMA)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        self._folder.cleanup()

    def fill(
        self,
        source: Rows,
        reader: RowReader,
        *,
        limit: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Add all rows of a source, and find those that are equal.

        :param limit: the number of rows above which the batch is refused.
        :param check: called now and then. It stops the filling by raising.
        :raises TooManyRowsError: above ``limit``.
        """
        records: list[tuple[Any, ...]] = []
        held = 0
        for number, row in enumerate(source, 1):
            if limit is not None and number > limit:
                raise TooManyRowsError(f"There are more than {limit:,} rows (max_notifications).")
            record = _record(number, row, reader)
            records.append(record)
            held += len(record[5] or b"")
            if len(records) >= _BATCH or held > 1_000_000:
                self._insert(records)
                records, held = [], 0
                check()
        self._insert(records)
        self._filled_at = now_ms()
        (self.total,) = self.connection.execute("SELECT COUNT(*) FROM rows").fetchone()
        self.script(_FIND_DUPLICATES)

    def script(self, statements: str) -> None:
        """Run SQL statements. What follows is one open transaction, because nobody else reads the file."""
        self.connection.executescript(statements)
        self.connection.execute("BEGIN")

    def pending(self, after: int, limit: int, max_bytes: int = 4_000_000) -> list[PendingRow]:
        """Return the next rows to send.

        :param after: the last row that was taken.
        :param max_bytes: the limit for all bodies together. One row is always returned.
        """
        cursor = self.connection.execute(
            "SELECT row, recipient_digest, content_digest, address, body FROM rows"
            " WHERE row > ? AND status = ? ORDER BY row LIMIT ?",
            (after, Status.PENDING, limit),
        )
        found: list[PendingRow] = []
        size = 0
        for row, recipient_digest, content_digest, address, body in cursor:
            size += len(body or b"")
            if found and size > max_bytes:
                break
            method = "DELETE" if body is None else "POST"
            found.append(PendingRow(row, recipient_digest, content_digest, Request(method, address, body)))
        cursor.close()
        return found

    def record(self, results: list[Result]) -> None:
        """Store the results of rows."""
        self.connection.executemany(
            f"{_RECORD} WHERE row = ?6",
            [(int(r.status), storable(r.ticket_id), _short(r.error), r.status_code, r.at, r.row) for r in results],
        )

    def give_up(self, reason: str) -> None:
        """Store for every pending row that it was not sent, and why."""
        self.connection.execute(
            f"{_RECORD} WHERE status = ?6",
            (int(Status.FAILED), None, _short(reason), None, now_ms(), int(Status.PENDING)),
        )

    def counts(self) -> Counts:
        """Count the rows."""
        found = self.connection.execute("SELECT status, COUNT(*) FROM rows GROUP BY status")
        return Counts(**{STATUS_NAMES[status]: count for status, count in found}, done=self.done)

    def ticket_ids(self) -> Iterator[int]:
        """Return the tickets of the rows that this task has sent."""
        found = self.connection.execute(
            "SELECT ticket_id FROM rows WHERE status = ? AND ticket_id IS NOT NULL ORDER BY row", (Status.SENT,)
        )
        return (int(ticket_id) for (ticket_id,) in found)

    def failures(self, limit: int) -> list[dict[str, Any]]:
        """Return the first rows that failed or are unknown."""
        found = self.connection.execute(
            "SELECT row, target, error, status_code FROM rows WHERE status IN (?, ?) ORDER BY row LIMIT ?",
            (Status.FAILED, Status.UNKNOWN, limit),
        )
        return [
            {"row": self._place(row), "target": json.loads(target), "error": error, "status_code": status_code}
            for row, target, error, status_code in found
        ]

    def report(self) -> Iterator[str]:
        """Yield one line of JSON for each row."""
        for (
            row,
            target,
            status,
            ticket_id,
            error,
            status_code,
            same_as,
            at,
            number,
            key,
            whom,
            what,
            path,
        ) in self.connection.execute(_REPORT, (self._filled_at, self._try_number)):
            place = row if row <= self.total else "null"
            line = f'{{"row": {place}, "target": {target}, "status": "{STATUS_NAMES[status]}"'
            if ticket_id is not None:
                line += f', "ticket_id": {ticket_id}'
            if error is not None:
                line += f', "error": {json.dumps(error)}, "status_code": {json.dumps(status_code)}'
            if same_as is not None:
                line += f', "same_as": {same_as}'
            when = "null" if at is None else f'"{_iso(at)}"'
            tried = "null" if number is None else number
            line += f', "at": {when}, "try_number": {tried}, "dedupe_key": {key or "null"}'
            if path is not None:
                line += f', "report": {json.dumps(path)}'
            if what is not None:
                line += f', "digest": "{b2a_base64(whom + what, newline=False).decode()}"'
            yield line + "}\n"

    def _place(self, row: int) -> int | None:
        return row if row <= self.total else None

    def _insert(self, records: list[tuple[Any, ...]]) -> None:
        self.connection.executemany(
            "INSERT INTO rows (row, recipient_digest, content_digest, target, address, body, status, error, dedupe_key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            records,
        )


def _record(number: int, row: Any, reader: RowReader) -> tuple[Any, ...]:
    if isinstance(row, BadRow):
        return (number, None, None, "{}", None, None, int(Status.FAILED), _short(row.reason), None)
    try:
        message: Message = reader.read(row)
    except ValueError as error:
        name, key = json.dumps(reader.name(row)), _as_json(reader.dedupe_key(row))
        return (number, None, None, name, None, None, int(Status.FAILED), _short(str(error)), key)
    target, request, recipient_digest, content_digest, dedupe_key = message
    named = {"target_type": target.target_type.value, **{k: v for k, v in vars(target).items() if v is not None}}
    key, status = _as_json(dedupe_key), int(Status.PENDING)
    address, body = request.address, request.body
    return (number, recipient_digest, content_digest, json.dumps(named), address, body, status, None, key)


def _as_json(text: str | None) -> str | None:
    return None if text is None else json.dumps(text)


def _short(text: str | None) -> str | None:
    return text and shorten(text, _MAX_ERROR_LENGTH)


def now_ms() -> int:
    """Return the time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _iso(at: int) -> str:
    seconds, milliseconds = divmod(at, 1000)
    return f"{_iso_seconds(seconds)}.{milliseconds:03d}+00:00"


@lru_cache(maxsize=64)  # many rows have the same second
def _iso_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def storable(ticket_id: int | None) -> int | str | None:
    """Return a ticketId in a form that SQLite can store. Its integers have only 64 bits."""
    return ticket_id if ticket_id is None or ticket_id <= _MAX_INT else str(ticket_id)
