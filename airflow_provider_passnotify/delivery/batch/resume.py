"""Compares the rows of this try with what earlier tries sent, and with what reports of earlier runs say.

This is done in SQL, because each side may have a million rows. Rows are matched by whom they are for, not by their
place or text, because a query may return others on the next try:

1. an earlier message with the very same target and text is this row's; so is one that a report names as failed;
2. of what is left, each earlier message to a target (or ``dedupe_key``) counts for one row to it, whatever the text of
   that row is now. So a target that has n different rows gets at most n messages over all tries.

A message that several tries or reports name counts once. Messages of earlier tries to which no row is left become rows
of their own, without a target, so that their tickets, and what is unknown of them, are in the summary and the report.
Messages of a report to which no row is left belong to another run only.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_passnotify.delivery.batch.earlier_reports import EarlierReport
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Status, storable
from airflow_provider_passnotify.exceptions import explain
from airflow_provider_passnotify.targets import name_ids

_CHECK_EVERY = 1000
_SENT, _UNKNOWN, _FAILED = 0, 1, 2
_STATES = {Status.SENT: _SENT, Status.UNKNOWN: _UNKNOWN, Status.FAILED: _FAILED}
# ``report`` is 0 for this task's own journal, else the number of the report; ``target`` only where it may matter.
_COLUMNS = "recipient_digest, content_digest, state, ticket_id, try_number, at, report, has_key, target"
_SCHEMA = f"""
CREATE TABLE found ({_COLUMNS});
CREATE TABLE pairs (row INTEGER PRIMARY KEY, entry INTEGER, same_content INTEGER);
"""
# One entry for each text. Where several tries or reports name the same, sent outweighs unknown, and unknown outweighs
# failed; then the journal outweighs a report. (SQLite takes the other columns from the row that has the minimum.)
_ADD_UP = """
CREATE TABLE earlier (entry INTEGER PRIMARY KEY, {columns});
INSERT INTO earlier ({columns}) SELECT {columns} FROM (
    SELECT {columns}, MIN(state * 1000000000 + report) FROM found GROUP BY content_digest
);
DROP TABLE found;
INSERT INTO pairs
    SELECT rows.row, entry, 1 FROM earlier JOIN rows USING (content_digest) WHERE rows.status = {pending};
CREATE TABLE left_over AS
    SELECT entry, recipient_digest,
        ROW_NUMBER() OVER (PARTITION BY recipient_digest ORDER BY state, report > 0, entry) AS place
    FROM earlier WHERE state != {failed} AND entry NOT IN (SELECT entry FROM pairs);
CREATE INDEX left_over_by_recipient ON left_over (recipient_digest, place);
INSERT INTO pairs
    SELECT candidate.row, left_over.entry, 0 FROM (
        SELECT row, recipient_digest, ROW_NUMBER() OVER (PARTITION BY recipient_digest ORDER BY row) AS place FROM rows
        WHERE status = {pending} AND row NOT IN (SELECT row FROM pairs)
            AND recipient_digest IN (SELECT recipient_digest FROM left_over)
    ) AS candidate JOIN left_over USING (recipient_digest, place);
""".format(columns=_COLUMNS, pending=int(Status.PENDING), failed=_FAILED)
# The same target, once with a dedupe_key and once without: nobody can tell whether it is the same message.
_OTHER_KIND = f"""
SELECT row, path, rows.target, has_key
FROM earlier JOIN rows ON rows.target = earlier.target JOIN reports ON reports.report = earlier.report
WHERE status = {Status.PENDING:d} AND row NOT IN (SELECT row FROM pairs) AND entry NOT IN (SELECT entry FROM pairs)
    AND has_key != (dedupe_key IS NOT NULL) AND state != {_FAILED}
ORDER BY row LIMIT 1
"""
# An unknown message that a later try sent again with another text needs no row of its own any more. One that has a row
# is sent once more.
_SEND_UNKNOWN = f"""
CREATE INDEX earlier_by_recipient ON earlier (recipient_digest, try_number);
DELETE FROM earlier WHERE state = {_UNKNOWN} AND report = 0 AND entry NOT IN (SELECT entry FROM pairs) AND EXISTS (
    SELECT 1 FROM earlier AS later
    WHERE later.recipient_digest = earlier.recipient_digest AND later.report = 0
        AND later.try_number > earlier.try_number
);
UPDATE rows SET unknown_since = (
    SELECT {{who}} FROM pairs JOIN earlier USING (entry) LEFT JOIN reports USING (report) WHERE pairs.row = rows.row
) WHERE row IN (SELECT row FROM pairs JOIN earlier USING (entry) WHERE state = {_UNKNOWN});
"""
_WHO = "CASE report WHEN 0 THEN 'try ' || try_number ELSE 'the run of the report ' || path END"
# What is sent again is not taken over. The digests become those of the message that was sent, for the next reader.
_TAKE_OVER = """
UPDATE rows SET (status, ticket_id, error, at, try_number, recipient_digest, content_digest, report) = (
    SELECT CASE WHEN state = {unknown_entry} THEN {unknown} WHEN report = 0 THEN {sent} ELSE {left_out} END, ticket_id,
           CASE state WHEN {unknown_entry}
           THEN 'unknown: ' || {who} || ' may have sent it; it is not sent again automatically' END,
           at, try_number, earlier.recipient_digest, earlier.content_digest, NULLIF(report, 0)
    FROM pairs JOIN earlier USING (entry) LEFT JOIN reports USING (report) WHERE pairs.row = rows.row
) WHERE row IN (SELECT row FROM pairs JOIN earlier USING (entry) WHERE {which});
INSERT INTO rows (target, status, ticket_id, error, at, try_number, recipient_digest, content_digest)
    SELECT '{{}}', CASE state WHEN {unknown_entry} THEN {unknown} ELSE {sent} END, ticket_id,
           CASE state WHEN {unknown_entry}
           THEN 'unknown: ' || {who} || ' may have sent it; its row is no longer in the source' END,
           at, try_number, recipient_digest, content_digest
    FROM earlier LEFT JOIN reports USING (report) WHERE report = 0 AND entry NOT IN (SELECT entry FROM pairs);
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
class LeftOut:
    """What came of one report.

    :param path: the report's.
    :param sent: rows that it names as sent.
    :param unknown: rows that it names as unknown.
    :param changed: rows, of both, whose text is another now.
    """

    path: str
    sent: int = 0
    unknown: int = 0
    changed: int = 0


@dataclass(frozen=True)
class Resumed:
    """What came of it.

    :param sent: rows that an earlier try sent.
    :param unknown: rows that an earlier try may have sent.
    :param changed: rows, of both, whose text is another now.
    :param gone: messages of earlier tries to which no row is left.
    :param left_out: the same for each report of an earlier run.
    """

    sent: int = 0
    unknown: int = 0
    changed: int = 0
    gone: int = 0
    left_out: tuple[LeftOut, ...] = ()


def resume(
    ledger: Ledger,
    entries: Iterable[Entry],
    *,
    send_unknown: bool,
    reports: Sequence[EarlierReport] = (),
    check: Callable[[], None] = lambda: None,
) -> Resumed:
    """Mark the rows that earlier tries sent, or may have sent, and those that reports of earlier runs name so.

    :param entries: what the journal has of earlier tries.
    :param send_unknown: whether unknown rows are sent again.
    :param reports: of earlier runs.
    :param check: called now and then; it stops the reading by raising.
    :raises ValueError: if a report cannot be used.
    :raises PassNotifyError: if a report cannot be read.
    """
    entries = iter(entries)
    first = next(entries, None)
    if first is None and not reports:
        return Resumed()
    connection = ledger.connection
    ledger.script(_SCHEMA)
    values = ", ".join("?" for _ in _COLUMNS.split(","))
    journal = () if first is None else (_of_journal(entry) for entry in itertools.chain([first], entries))
    found = itertools.chain(journal, _of_reports(reports, _kinds(ledger) if reports else set(), check))
    connection.executemany(f"INSERT INTO found ({_COLUMNS}) VALUES ({values})", found)
    connection.executemany("INSERT INTO reports VALUES (?, ?)", enumerate((report.path for report in reports), 1))
    ledger.script(_ADD_UP)
    if (other := connection.execute(_OTHER_KIND).fetchone()) is not None:
        raise _not_the_same_kind(*other)
    if send_unknown:
        ledger.script(_SEND_UNKNOWN.format(who=_WHO))
    names = {"unknown_entry": _UNKNOWN, "sent": Status.SENT, "unknown": Status.UNKNOWN, "left_out": Status.LEFT_OUT}
    which = f"state = {_SENT}" if send_unknown else f"state != {_FAILED}"
    ledger.script(_TAKE_OVER.format(**{name: int(value) for name, value in names.items()}, who=_WHO, which=which))
    resumed = _count(ledger, reports)
    ledger.script("DROP TABLE pairs; DROP TABLE left_over; DROP TABLE earlier;")
    return resumed


def _count(ledger: Ledger, reports: Sequence[EarlierReport]) -> Resumed:
    counted = {
        number: counts
        for number, *counts in ledger.connection.execute(
            "SELECT report, SUM(state = ?), SUM(state = ?), SUM(NOT same_content) FROM pairs JOIN earlier USING (entry)"
            " GROUP BY report",
            (_SENT, _UNKNOWN),
        )
    }
    (gone,) = ledger.connection.execute(
        "SELECT COUNT(*) FROM earlier WHERE report = 0 AND entry NOT IN (SELECT entry FROM pairs)"
    ).fetchone()
    left_out = (LeftOut(report.path, *counted.get(number, ())) for number, report in enumerate(reports, 1))
    sent, unknown, changed = counted.get(0, (0, 0, 0))
    return Resumed(sent, unknown, changed, gone, tuple(left_out))


def _of_journal(entry: Entry) -> tuple[Any, ...]:
    state = _UNKNOWN if entry.ticket_id is None else _SENT
    ticket_id = storable(entry.ticket_id)
    return (entry.recipient_digest, entry.content_digest, state, ticket_id, entry.try_number, entry.at, 0, None, None)


def _kinds(ledger: Ledger) -> set[bool]:
    """Return whether rows have a ``dedupe_key``, or have none, or both."""
    return {bool(kind) for (kind,) in ledger.connection.execute("SELECT DISTINCT dedupe_key IS NOT NULL FROM rows")}


def _of_reports(
    reports: Sequence[EarlierReport], kinds: set[bool], check: Callable[[], None]
) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of all reports."""
    for number, report in enumerate(reports, 1):
        for count, line in enumerate(report.lines()):
            if count % _CHECK_EVERY == 0:
                check()
            status, whom, what, ticket_id, try_number, at, has_key, target = line
            named = json.dumps(target) if (not has_key) in kinds and target else None
            yield (whom, what, _STATES[status], storable(ticket_id), try_number, at, number, has_key, named)


def _not_the_same_kind(row: int, path: str, target: str, has_key: int) -> ValueError:
    whom = name_ids(json.loads(target))
    now, then = ("without", "with") if has_key else ("with", "without")
    return ValueError(
        explain(
            f"not sent: nobody can tell whether row {row} was sent by an earlier run.",
            known=[
                f"Row {row} is for {whom}, {now} a dedupe_key.",
                f"The report {path} names {whom} {then} a dedupe_key.",
            ],
            ways=[
                "Give the rows the dedupe_key that they had in that run, or none if they had none.",
                "Or leave this report out of resume_from: then whom it names is sent to as well.",
            ],
            section="Batch incomplete",
        )
    )
