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
from airflow_provider_passnotify.exceptions import PassNotifyError
from airflow_provider_passnotify.rows.files import read_lines
from airflow_provider_passnotify.rows.reader import DIGEST_SIZE, recipient_digest
from airflow_provider_passnotify.targets import as_target

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
                raise self._refused(number, f"{error}: {json.dumps(line):.200}") from None
            if found is not None:
                yield found

    def _read(self) -> Generator[dict[str, Any], None, None]:
        number = 0
        with self._open() as file:
            for number, line in enumerate(self._lines_of(file), 1):
                try:
                    value = json.loads(line.decode())
                except (ValueError, RecursionError) as error:
                    raise self._refused(number, f"{error!s:.200}. Was the file cut off?") from None
                if not isinstance(value, dict) or not {"row", "target", "status"} <= value.keys():
                    raise self._refused(number, "it has no row, target and status.")
                yield value
        if number == 0:
            raise ValueError(
                f"resume_from: {self.path} is empty, so it does not say whom a run has reached. If that run had no "
                "rows, leave this report out."
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
            raise ValueError(f"resume_from: {self.path} is not a report: {error}") from None
        except Exception as error:
            raise self._unreadable(error) from error

    def _refused(self, number: int, why: str) -> ValueError:
        return ValueError(
            f"resume_from: line {number} of {self.path} is not a line of a batch's report: {why} Nothing was sent, "
            "because this line may name somebody who was reached."
        )

    def _unreadable(self, error: Exception) -> PassNotifyError:
        return PassNotifyError(
            f"Nothing was sent: the report {self.path} of resume_from cannot be read ({type(error).__name__}: {error})."
        )


def _line_of(line: dict[str, Any], place: str) -> ReportLine | None:
    """Return what a line says, ``None`` if it says nothing of a message.

    :raises ValueError: if it is not as a batch writes it; also TypeError and KeyError.
    """
    status, target, key = _STATUSES.get(line["status"]), line["target"], line.get("dedupe_key")
    if status is None or not isinstance(target, dict) or not isinstance(key, str | None):
        raise ValueError("it is not as a batch writes it")
    if status is Status.DUPLICATE or (status is Status.FAILED and "digest" not in line):
        return None
    if status is Status.LEFT_OUT:
        status = Status.SENT  # by a run before that one
    ticket_id = line["ticket_id"] if status is Status.SENT else None
    try_number, at = line.get("try_number"), line.get("at")
    if any(isinstance(number, bool) or not isinstance(number, int | None) for number in (ticket_id, try_number)):
        raise ValueError("it is not as a batch writes it")
    whom, what = _digests(line, target, key, place)
    return ReportLine(status, whom, what, ticket_id, try_number, at and _milliseconds(at), key is not None, target)


def _digests(line: dict[str, Any], target: dict[str, Any], key: str | None, place: str) -> tuple[bytes, bytes]:
    if "digest" in line:
        both = b64decode(line["digest"], validate=True)
        if len(both) != 2 * DIGEST_SIZE:
            raise ValueError("its digest is cut off")
        return both[:DIGEST_SIZE], both[DIGEST_SIZE:]
    if "at" in line:
        raise ValueError("it was not a message that was sent; is this the report of a deletion?")
    if not target and key is None:
        raise ValueError("it does not say to whom the message was sent")
    # An older release's.
    unlike_any = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
    return recipient_digest(as_target(target).address, key), unlike_any


def _milliseconds(at: str) -> int:
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError("its time has no time zone")
    return round(moment.timestamp() * 1000)
