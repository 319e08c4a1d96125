"""Reads reports of earlier runs: to whom a message was sent, to whom it may have been sent, and to whom it was not.

A report is used as a whole or refused. A line that cannot be read may be one that says "sent".
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import IO, Any, NamedTuple

from airflow_provider_passnotify.delivery.batch.ledger import STATUS_NAMES, Status
from airflow_provider_passnotify.delivery.storage import open_for_reading
from airflow_provider_passnotify.exceptions import PassNotifyError, explain
from airflow_provider_passnotify.rows.files import read_lines
from airflow_provider_passnotify.rows.reader import DIGEST_SIZE, recipient_digest
from airflow_provider_passnotify.rows.texts import shown
from airflow_provider_passnotify.targets import as_target

_CANNOT_BE_USED = "not sent: a report of resume_from cannot be used."
_STATUSES = {name: status for status, name in STATUS_NAMES.items() if status is not Status.PENDING}


class ReportLine(NamedTuple):
    """A message that the report names.

    :param status: sent, unknown or failed.
    :param recipient_digest: a digest of whom it was for, as in the journal.
    :param content_digest: a digest of target, label and value. An older release wrote none. Then it is a digest that no
        row has.
    :param at: when that was known, in milliseconds since 1970.
    :param has_key: whether ``dedupe_key`` tells whom it was for, and not the target.
    :param target: as the report has it.
    """

    status: Status
    recipient_digest: bytes
    content_digest: bytes
    ticket_id: int | None
    try_number: int | None
    at: int | None
    has_key: bool
    target: dict[str, Any]


class EarlierReport:
    """One report.

    :param path: as it was given as ``report_path``.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def check(self) -> None:
        """Read the first line, so that a wrong path is found before anything else is done.

        :raises ValueError: if it is not a line of a report.
        :raises PassNotifyError: if the file cannot be read.
        """
        with closing(self._read()) as lines:
            next(lines)

    def lines(self) -> Iterator[ReportLine]:
        """Yield the messages that were sent, are unknown, or failed.

        :raises ValueError: if anything in the file is not of a report.
        :raises PassNotifyError: if the file cannot be read.
        """
        for number, line in enumerate(self._read(), 1):
            try:
                found = _line_of(line, f"{self.path}:{number}")
            except (ValueError, TypeError, KeyError) as error:
                raise self._refused(number, str(error), line) from None
            if found is not None:
                yield found

    def _read(self) -> Generator[dict[str, Any], None, None]:
        number = 0
        with self._open() as file:
            for number, line in enumerate(self._lines_of(file), 1):
                try:
                    value = json.loads(line.decode())
                except (ValueError, RecursionError) as error:
                    raise self._refused(number, f"it is not JSON ({error!s:.200}). Was the file cut off?") from None
                if not isinstance(value, dict) or not {"row", "target", "status"} <= value.keys():
                    raise self._refused(number, "it has no row, target and status. Is it another file?", value)
                yield value
        if number == 0:
            raise ValueError(
                explain(
                    _CANNOT_BE_USED,
                    known=[f"{self.path} is empty, so it does not say whom a run has reached."],
                    ways=[
                        "That run had no rows: leave this report out of resume_from.",
                        "Else look whether it is the right file, and whole.",
                    ],
                    section="Batch incomplete",
                )
            )

    def _open(self) -> IO[bytes]:
        try:
            return open_for_reading(self.path)
        except Exception as error:
            raise self._unreadable(error) from error

    def _lines_of(self, file: IO[bytes]) -> Iterator[bytes]:
        try:
            yield from read_lines(file)
        except ValueError as error:
            raise self._refused(1, str(error)) from None
        except Exception as error:
            raise self._unreadable(error) from error

    def _refused(self, number: int, why: str, line: Any = None) -> ValueError:
        return ValueError(
            explain(
                _CANNOT_BE_USED,
                known=[
                    f"line {number} of {self.path}: {why}",
                    "" if line is None else f"The line: {shown(json.dumps(line))}",
                    "It may be the line of somebody who was reached.",
                ],
                ways=[
                    "Give the whole report, as the batch wrote it.",
                    "Or leave it out of resume_from: then whom it names is sent to as well.",
                ],
                section="Batch incomplete",
            )
        )

    def _unreadable(self, error: Exception) -> PassNotifyError:
        return PassNotifyError(
            explain(
                "Not sent: a report of resume_from cannot be read.",
                known=[f"The report: {self.path}", f"{type(error).__name__}: {error}"],
                ways=[
                    "Look whether the batch wrote its report to this place (report_path).",
                    "Look at the connection in the URL, and at what it may read. Then clear the task.",
                ],
                section="Batch incomplete",
            )
        )


def _line_of(line: dict[str, Any], place: str) -> ReportLine | None:
    """Return what a line says, ``None`` if it says nothing of a message.

    :raises ValueError: if it is not as a batch writes it; also TypeError and KeyError.
    """
    status, target, key = _STATUSES.get(str(line["status"])), line["target"], line.get("dedupe_key")
    if status is None or not isinstance(target, dict) or not isinstance(key, str | None):
        raise ValueError("its status, target or dedupe_key is not as a batch writes it.")
    if status is Status.DUPLICATE or (status is Status.FAILED and "digest" not in line):
        return None
    if status is Status.LEFT_OUT:
        status = Status.SENT  # by a run before that one
    if status is Status.SENT and "ticket_id" not in line:
        raise ValueError("it says that a message was sent, and has no ticket_id.")
    ticket_id = line["ticket_id"] if status is Status.SENT else None
    try_number, at = line.get("try_number"), line.get("at")
    if any(isinstance(number, bool) or not isinstance(number, int | None) for number in (ticket_id, try_number)):
        raise ValueError("its ticket_id or try_number is not a whole number.")
    whom, what = _digests(line, target, key, place)
    return ReportLine(status, whom, what, ticket_id, try_number, at and _milliseconds(at), key is not None, target)


def _digests(line: dict[str, Any], target: dict[str, Any], key: str | None, place: str) -> tuple[bytes, bytes]:
    if "digest" in line:
        try:
            both = b64decode(line["digest"], validate=True)
        except (ValueError, TypeError):
            both = b""
        if len(both) != 2 * DIGEST_SIZE:
            raise ValueError("its digest is cut off, or was changed.")
        return both[:DIGEST_SIZE], both[DIGEST_SIZE:]
    if "at" in line:
        raise ValueError("it is not of a message that was sent. Is this the report of a deletion?")
    if not target and key is None:
        raise ValueError("it does not say to whom the message was sent.")
    # An older release's.
    unlike_any = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
    return recipient_digest(as_target(target).address, key), unlike_any


def _milliseconds(at: object) -> int:
    try:
        moment = datetime.fromisoformat(at)  # type: ignore[arg-type]  # what is not text is refused here, too
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        pass
    raise ValueError(f"its time is {at!r:.60}; a batch writes date, time and time zone.")
