"""Where the rows of a batch come from: a list, JSON Lines or CSV. No Airflow here.

What cannot be read as a row becomes a :class:`BadRow`, so that the others go out; what breaks the source as a whole
raises, before anything is sent.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeAlias, cast

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is no row: it would take the worker's memory with it."""
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why."""

    reason: str


Rows: TypeAlias = Iterable[Mapping[str, Any] | BadRow]


class LiteralRows:
    """Rows that are written in the DAG file. Not a list, so that Airflow does not render them with Jinja."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = list(rows)

    def __repr__(self) -> str:
        shown = ", ".join(f"{row!r:.200}" for row in self.rows[:3])
        return f"[{shown}{', ...' if len(self.rows) > 3 else ''}] ({len(self.rows)} rows)"


def read_list(rows: Iterable[Any]) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read rows that are in memory."""
    for row in rows:
        yield row if isinstance(row, Mapping) else BadRow(f"it is {type(row).__name__}, not a mapping: {row!r:.80}.")


def check_file_name(name: str) -> None:
    """Refuse a file whose name does not say what it holds.

    :raises ValueError: naming the endings that are known.
    """
    _format_of(name)


def read_file(name: str, open_file: Callable[[], IO[bytes]]) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read the rows of a file, line by line.

    :param name: tells JSON Lines, CSV and gzip apart by its ending.
    :param open_file: opens it for reading bytes.
    :raises ValueError: when the file as a whole is not what its name says.
    """
    read, packed = _format_of(name)
    try:
        with open_file() as raw, gzip.GzipFile(fileobj=raw) if packed else raw as file:
            yield from read(_lines(cast("IO[bytes]", file)))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name} is not a whole gzip file: {error}") from None


def _format_of(name: str) -> tuple[Callable[[Iterator[bytes]], Iterator[Mapping[str, Any] | BadRow]], bool]:
    plain = name.lower()
    packed = plain.endswith(".gz")
    plain = plain.removesuffix(".gz")
    if plain.endswith(_JSON_LINES):
        return _read_json_lines, packed
    if plain.endswith(".csv"):
        return _read_csv, packed
    raise ValueError(
        f"{name!r:.200} must end in .jsonl, .ndjson, .json (one object a line) or .csv, each also with .gz."
    )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines without the byte-order mark; of one that is too long only its beginning, longer than allowed."""
    read_line = file.readline  # looked up once: Airflow's object storage wraps each look-up
    line = read_line(MAX_LINE_BYTES + 1)
    if line.startswith(_UTF16):
        raise ValueError("The file is UTF-16; save it as UTF-8.")
    line = line.removeprefix(codecs.BOM_UTF8)
    while line:
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = read_line(MAX_LINE_BYTES + 1)
        line = read_line(MAX_LINE_BYTES + 1)


def _read_json_lines(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any] | BadRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith(b"["):
            raise ValueError("The file is a JSON array; write one object a line (JSON Lines).")
        yield _parse_json_line(number, line)


def _parse_json_line(number: int, line: bytes) -> Mapping[str, Any] | BadRow:
    if len(line) > MAX_LINE_BYTES:
        return BadRow(f"line {number} is longer than {MAX_LINE_BYTES // 1024 // 1024} MB.")
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(f"line {number} is not UTF-8: {error.reason} at byte {error.start}.")
    except (ValueError, RecursionError) as error:
        return BadRow(f"line {number} is not JSON: {error!s:.200}.")
    if not isinstance(row, dict):
        return BadRow(f"line {number} is a JSON {type(row).__name__}, not an object.")
    return row


class _CsvText:
    """Decodes lines for the CSV reader, which cannot go on after an error; so it notes them instead."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._number = 0
        self.fault = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            if len(line) > MAX_LINE_BYTES:
                self.fault = f"line {self._number} is longer than {MAX_LINE_BYTES // 1024 // 1024} MB."
                line = b"-\n"
            elif b"\0" in line:
                self.fault = f"line {self._number} holds a NUL byte."
                line = line.replace(b"\0", b"?")
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                self.fault = f"line {self._number} is not UTF-8: {error.reason} at byte {error.start}."
                yield line.decode(errors="replace")

    def take_fault(self) -> str:
        """Return what was wrong with the lines since the last call."""
        fault, self.fault = self.fault, ""
        return fault


def _read_csv(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any] | BadRow]:
    text = _CsvText(lines)
    reader = csv.reader(iter(text), strict=True)
    # The limit is the process's; the default of 128 KB would refuse a message that the API may take.
    before = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        header = next((line for line in reader if line), None)
        if header is None:
            return
        if fault := text.take_fault():
            raise ValueError(f"The header of the CSV cannot be read: {fault}")
        header = [name.strip() for name in header]
        names = [name.lower() for name in header if name]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"The CSV has two columns called {twice!r:.60}.")
        while True:
            row = _next_csv_row(reader, header, text)
            if row is None:
                return
            yield row
    except csv.Error as error:
        raise ValueError(f"The header of the CSV cannot be read: {error}") from None
    finally:
        csv.field_size_limit(before)


def _next_csv_row(reader: Any, header: list[str], text: _CsvText) -> Mapping[str, Any] | BadRow | None:
    begins, fields = 0, cast("list[str] | None", [])
    try:
        while fields == []:  # an empty line
            begins = reader.line_num + 1
            fields = next(reader, None)
    except csv.Error as error:
        text.take_fault()
        if reader.line_num > begins:  # what a quote has swallowed may be a thousand rows that nobody would name
            raise ValueError(
                f"The CSV cannot be read from line {begins} on (a quote that is not closed?): {error}."
            ) from None
        return BadRow(f"line {reader.line_num} is not CSV: {error}.")
    if fields is None:
        return None
    if fault := text.take_fault():
        return BadRow(fault)
    if len(fields) != len(header):
        return BadRow(f"line {reader.line_num} has {len(fields)} fields, and the header {len(header)}.")
    return dict(zip(header, fields, strict=True))
