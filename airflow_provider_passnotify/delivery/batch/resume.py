"""What earlier tries sent, set against the rows of this one: in SQL, as both may be a million. No Airflow here.

Rows are matched by whom they are for, not by their place or text, as a query may return others on the next try:

1. an earlier message with the very same target and text is this row's;
2. of what is left, each earlier message to a target (or ``dedupe_key``) stands for one row to it, whatever that says
   now. So a target that has n different rows gets at most n messages over all tries.

Earlier messages to which no row is left become rows of their own, without a target, so that their tickets, and
what is unknown of them, are in the summary and the report.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Status, storable

_SENT, _UNKNOWN = 0, 1
_SCHEMA = """
CREATE TABLE tries (
    recipient_digest BLOB, content_digest BLOB, state INTEGER, ticket_id, try_number INTEGER, at INTEGER
);
CREATE TABLE pairs (row INTEGER PRIMARY KEY, entry INTEGER, same_content INTEGER);
"""
# One entry for each text; where several tries sent the same, a ticket outweighs an unknown one (SQLite takes the other
# columns from the row that has the minimum).
_ADD_UP = """
CREATE TABLE earlier (
    entry INTEGER PRIMARY KEY, recipient_digest BLOB, content_digest BLOB, state INTEGER, ticket_id, try_number INTEGER,
    at INTEGER
);
INSERT INTO earlier (recipient_digest, content_digest, state, ticket_id, try_number, at)
    SELECT recipient_digest, content_digest, MIN(state), ticket_id, try_number, at FROM tries GROUP BY content_digest;
DROP TABLE tries;
INSERT INTO pairs
    SELECT rows.row, entry, 1 FROM earlier JOIN rows USING (content_digest) WHERE rows.status = {pending};
CREATE TABLE left_over AS
    SELECT entry, recipient_digest, ROW_NUMBER() OVER (PARTITION BY recipient_digest ORDER BY state, entry) AS place
    FROM earlier WHERE entry NOT IN (SELECT entry FROM pairs);
CREATE INDEX left_over_by_recipient ON left_over (recipient_digest, place);
INSERT INTO pairs
    SELECT candidate.row, left_over.entry, 0 FROM (
        SELECT row, recipient_digest, ROW_NUMBER() OVER (PARTITION BY recipient_digest ORDER BY row) AS place FROM rows
        WHERE status = {pending} AND row NOT IN (SELECT row FROM pairs)
            AND recipient_digest IN (SELECT recipient_digest FROM left_over)
    ) AS candidate JOIN left_over USING (recipient_digest, place);
""".format(pending=int(Status.PENDING))
# An unknown message that a later try sent again with another text needs no row of its own any more. One that has a row
# is sent once more.
_SEND_UNKNOWN = f"""
CREATE INDEX earlier_by_recipient ON earlier (recipient_digest, try_number);
DELETE FROM earlier WHERE state = {_UNKNOWN} AND entry NOT IN (SELECT entry FROM pairs) AND EXISTS (
    SELECT 1 FROM earlier AS later
    WHERE later.recipient_digest = earlier.recipient_digest AND later.try_number > earlier.try_number
);
UPDATE rows SET unknown_since = (SELECT try_number FROM pairs JOIN earlier USING (entry) WHERE pairs.row = rows.row)
    WHERE row IN (SELECT row FROM pairs JOIN earlier USING (entry) WHERE state = {_UNKNOWN});
"""
_TAKE_OVER = """
UPDATE rows SET (status, ticket_id, error, at, try_number) = (
    SELECT CASE state WHEN {entry_sent} THEN {sent} ELSE {unknown} END, ticket_id,
           CASE state WHEN {entry_sent} THEN NULL
           ELSE 'unknown: try ' || try_number || ' may have sent it; it is not sent again automatically' END,
           at, try_number
    FROM pairs JOIN earlier USING (entry) WHERE pairs.row = rows.row
) WHERE row IN (SELECT row FROM pairs JOIN earlier USING (entry) WHERE {which});
INSERT INTO rows (target, status, ticket_id, error, at, try_number)
    SELECT '{{}}', CASE state WHEN {entry_sent} THEN {sent} ELSE {unknown} END, ticket_id,
           CASE state WHEN {entry_sent} THEN NULL
           ELSE 'unknown: try ' || try_number || ' may have sent it; its row is no longer in the source' END,
           at, try_number
    FROM earlier WHERE entry NOT IN (SELECT entry FROM pairs);
"""


class Entry(NamedTuple):
    """A message of an earlier try: sent where it has a ticket, else unknown.

    :param recipient_digest: a digest of whom it was for.
    :param content_digest: a digest of target, label and value.
    :param at: when that was known, in milliseconds since 1970; ``None`` if an older release recorded it.
    """

    recipient_digest: bytes
    content_digest: bytes
    ticket_id: int | None
    try_number: int
    at: int | None = None


@dataclass(frozen=True)
class Resumed:
    """What came of it.

    :param sent: rows that an earlier try sent.
    :param unknown: rows that an earlier try may have sent.
    :param changed: rows, of both, whose text is another now.
    :param gone: earlier messages to which no row is left.
    """

    sent: int = 0
    unknown: int = 0
    changed: int = 0
    gone: int = 0


def resume(ledger: Ledger, entries: Iterable[Entry], *, send_unknown: bool) -> Resumed:
    """Mark the rows that earlier tries sent, or may have sent.

    :param entries: what the journal has of earlier tries.
    :param send_unknown: whether unknown rows are sent again.
    """
    entries = iter(entries)
    first = next(entries, None)
    if first is None:
        return Resumed()
    connection = ledger.connection
    ledger.script(_SCHEMA)
    connection.executemany(
        "INSERT INTO tries VALUES (?, ?, ?, ?, ?, ?)",
        (_entry_row(entry) for entry in itertools.chain([first], entries)),
    )
    which = f"state = {_SENT}" if send_unknown else "TRUE"
    ledger.script(_ADD_UP)
    if send_unknown:
        ledger.script(_SEND_UNKNOWN)
    take_over = _TAKE_OVER.format(entry_sent=_SENT, sent=int(Status.SENT), unknown=int(Status.UNKNOWN), which=which)
    ledger.script(take_over)
    sent, unknown, changed = connection.execute(
        "SELECT COALESCE(SUM(state = ?), 0), COALESCE(SUM(state = ?), 0), COALESCE(SUM(NOT same_content), 0)"
        " FROM pairs JOIN earlier USING (entry)",
        (_SENT, _UNKNOWN),
    ).fetchone()
    (gone,) = connection.execute("SELECT COUNT(*) FROM earlier WHERE entry NOT IN (SELECT entry FROM pairs)").fetchone()
    ledger.script("DROP TABLE pairs; DROP TABLE left_over; DROP TABLE earlier;")
    return Resumed(sent, unknown, changed, gone)


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    state = _UNKNOWN if entry.ticket_id is None else _SENT
    ticket_id = storable(entry.ticket_id)
    return (entry.recipient_digest, entry.content_digest, state, ticket_id, entry.try_number, entry.at)
