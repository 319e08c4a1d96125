"""JSON Lines: one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.names import column_name
from airflow_provider_passnotify.rows.source import BadRow
from airflow_provider_passnotify.targets import ID_NAMES

_MAX_BRACKETS = 8


class _KeyTwiceError(ValueError):
    """A key is in one object twice, and nobody can know which value is meant."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwiceError(next(name for name in found if names.count(name) > 1))
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_object)


def _decode(line: bytes) -> Any:
    """Return the value of a line.

    :raises _KeyTwiceError: if a key is in one object twice.
    """
    value = json.loads(line.decode())
    # Each key has one colon. If there are not more colons than keys, no key is there twice, and the slower check is
    # not needed.
    if isinstance(value, dict) and line.count(b":") > len(value):
        return _STRICT.decode(line.decode())
    return value


def read_json_lines(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read the rows of a JSON Lines file. Empty lines are skipped.

    :raises ValueError: if the file is another kind of JSON. Then only some of its lines could be read as rows.
    """
    is_first = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _decode(line) if len(line) <= source.MAX_LINE_BYTES else None
        except (ValueError, RecursionError) as error:
            yield from _explain(number, line, error, is_first=is_first)
        else:
            if isinstance(row, dict):
                if b"[" in line:
                    _check_holds_no_rows(row, number)
                yield row
            elif len(line) > source.MAX_LINE_BYTES:
                yield BadRow(f"line {number} is longer than {source.MAX_LINE_BYTES // 1024 // 1024} MB.")
            elif is_first and isinstance(row, list):
                raise ValueError(f"The file is a JSON array; {_ONE_A_LINE}")
            else:
                yield BadRow(f"line {number} is a JSON {type(row).__name__}, not an object.")
        is_first = False


_ONE_A_LINE = "write one object a line (JSON Lines)."


def _check_holds_no_rows(row: dict[str, Any], number: int) -> None:
    """Refuse a document with rows in it, at any depth. Only what stands around the rows would be used.

    :raises ValueError: it names the key.
    """
    for key, value in row.items():
        if isinstance(value, list | dict) and _holds_rows(value):
            raise ValueError(f"The file is one JSON document: {key!r:.60} in line {number} holds rows; {_ONE_A_LINE}")


def _holds_rows(value: Any) -> bool:
    found = [value]
    while found:  # without recursion, because Python's limit for it is low
        part = found.pop()
        if isinstance(part, list):
            objects = [item for item in part if isinstance(item, dict)]
            if any(column_name(name) in ID_NAMES for item in objects for name in item):
                return True
            found += part
        elif isinstance(part, dict):
            found += part.values()
    return False


def _explain(number: int, line: bytes, error: Exception, *, is_first: bool) -> Iterator[BadRow]:
    """Yield the bad rows of a line.

    :raises ValueError: if the line shows that the file is one JSON document.
    """
    if isinstance(error, UnicodeDecodeError):
        yield BadRow(f"line {number} is not UTF-8: {error.reason} at byte {error.start}.")
        return
    if isinstance(error, _KeyTwiceError):
        yield BadRow(f"line {number} has the key {str(error)!r:.60} twice in one object.")
        return
    text = line.decode().strip()
    if is_first and text.startswith("["):
        raise ValueError(f"The file is a JSON array; {_ONE_A_LINE}")
    ends_too_early = isinstance(error, json.JSONDecodeError) and error.pos >= len(line.decode().rstrip())
    if (len(text) <= _MAX_BRACKETS and not text.strip("[]{},: ")) or (is_first and ends_too_early):
        raise ValueError(
            f"The file is one JSON document over several lines (line {number} is {text!r:.60}); {_ONE_A_LINE}"
        )
    count, ends_with_comma = _count_objects(text)
    if ends_with_comma:
        raise ValueError(
            f"The file is one JSON document over several lines (line {number} ends with a comma); {_ONE_A_LINE}"
        )
    if count > 1:
        for _ in range(count):
            yield BadRow(f"line {number} holds {count} objects; {_ONE_A_LINE}")
        return
    yield BadRow(f"line {number} is not JSON: {error!s:.200}.")


def _count_objects(text: str) -> tuple[int, bool]:
    """Return how many complete values follow each other in a text, and whether there is a comma after the last one."""
    count, at = 0, 0
    try:
        while at < len(text):
            _, at = json.JSONDecoder().raw_decode(text, at)
            count += 1
            rest = text[at:].lstrip()
            if rest == ",":
                return count, True
            at = len(text) - len(rest.removeprefix(",").lstrip())
    except (ValueError, RecursionError):
        return 0, False
    return count, False
