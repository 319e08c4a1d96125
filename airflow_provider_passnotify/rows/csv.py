"""CSV: a header, then one row per line."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.names import KEYS, column_name
from airflow_provider_passnotify.rows.source import BadRow

_FIELD = r' *"[^"]*(?:""[^"]*)*"|[^",]*'
_WELL_QUOTED = re.compile(rf"(?:{_FIELD})(?:,(?:{_FIELD}))*")
"""Quotes must be around a whole field. Inside a quoted field they must be doubled."""
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_csv(
    lines: Iterator[bytes], on_header: Callable[[list[str]], None] = lambda _: None
) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read the rows of a CSV file. Blanks after a comma are skipped. Lines without any value are skipped too.

    :param on_header: called with the names of the columns.
    :raises ValueError: if the header cannot be read, or if a quote is not closed, so that it includes later rows.
    """
    text = _CsvText(lines)
    reader = csv.reader(iter(text), strict=True, skipinitialspace=True)
    # The limit applies to the whole process. The default of 128 KB would refuse messages that the API may accept.
    before = csv.field_size_limit(source.MAX_LINE_BYTES)
    try:
        header = _read_header(reader, text)
        on_header(header)
        while header:
            row = _next_row(reader, header, text)
            if row is None:
                return
            yield row
    finally:
        csv.field_size_limit(before)


class _CsvText:
    """Decodes lines for the CSV reader. The reader cannot go on after an error, so errors are noted, not raised."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._number = 0
        self._fault = ""
        self.quoted: list[str] = []
        """The lines of the current row, if it has quotes."""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            if len(line) > source.MAX_LINE_BYTES:
                self._fault = f"line {self._number} is longer than {source.MAX_LINE_BYTES // 1024 // 1024} MB."
                line = b"-\n"
            elif b"\0" in line:
                self._fault = f"line {self._number} holds a NUL byte."
                line = line.replace(b"\0", b"?")
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                self._fault = f"line {self._number} is not UTF-8: {error.reason} at byte {error.start}."
                text = line.decode(errors="replace")
            if self.quoted or '"' in text:
                self.quoted.append(text)
            yield text

    def take_fault(self, columns: int | None = None) -> str:
        """Return what was wrong with the lines since the last call.

        :param columns: the number of columns in the header.
        """
        if not self._fault and not self.quoted:
            return ""
        fault, self._fault = self._fault, ""
        if self.quoted:
            fault = fault or self._quoting_fault(columns)
            self.quoted = []
        return fault

    def _quoting_fault(self, columns: int | None) -> str:
        if len(self.quoted) == 1 and _is_quoted_throughout(self.quoted[0].rstrip("\r\n")):
            return ""
        begins = self._number - len(self.quoted) + 1
        where = f"line {begins}" if begins == self._number else f"lines {begins} to {self._number}"
        if not _WELL_QUOTED.fullmatch("".join(self.quoted).rstrip("\r\n")):
            return f'{where}: a quote stands inside a field; put the whole field in quotes, and write "" for one in it.'
        more = [line for line in self.quoted[1:] if line.strip()]
        if more and columns is not None and columns > 1 and all(_splits_into(line, columns) for line in more):
            return (
                f"{where} are one text in quotes, and each line looks like a row of its own: is there a quote too "
                "many? (If it is one text, write it as JSON Lines.)"
            )
        return ""


def _is_quoted_throughout(line: str) -> bool:
    """Whether every field is in quotes and contains none, as in most CSV files. (This is faster than the pattern.)"""
    return line[:1] == line[-1:] == '"' and line.count('"') == 2 * line.count('","') + 2


def _splits_into(line: str, columns: int) -> bool:
    if line.count(",") + 1 == columns:
        return True
    try:
        return len(next(csv.reader([line], skipinitialspace=True))) == columns
    except csv.Error:
        return False


def _is_blank(fields: list[str]) -> bool:
    return not fields or (not fields[0].strip() and not any(map(str.strip, fields)))


def _read_header(reader: Any, text: _CsvText) -> list[str]:
    try:
        header = [name.strip() for name in next((fields for fields in reader if not _is_blank(fields)), [])]
    except csv.Error as error:
        raise ValueError(f"The header of the CSV cannot be read: {_in_words(error)}.") from None
    if fault := text.take_fault():
        raise ValueError(f"The header of the CSV cannot be read: {fault}")
    if (other := next((mark for mark in _OTHER_SEPARATORS if _separates(mark, header)), None)) is not None:
        raise ValueError(
            f"The columns of the CSV are separated by {_OTHER_SEPARATORS[other]}, not by commas (its header is "
            f"{','.join(header)!r:.100}). Write it with commas."
        )
    seen: set[str] = set()
    for name in filter(None, map(column_name, header)):
        if name in seen:
            raise ValueError(f"The CSV has two columns called {name!r:.60}.")
        seen.add(name)
    return header


def _separates(mark: str, header: list[str]) -> bool:
    """Whether the columns are separated by this mark. A name that holds it may also hold a comma."""
    if len(header) == 1:
        return mark in header[0]
    return any(mark in name and any(column_name(part) in KEYS for part in name.split(mark)) for name in header)


def _in_words(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "a line ends with a carriage return (CR) alone; save the file with LF or CRLF as its line ends"
    return str(error)


def _next_row(reader: Any, header: list[str], text: _CsvText) -> Mapping[str, Any] | BadRow | None:
    begins, fields = 0, cast("list[str] | None", [])
    try:
        while fields is not None and (not fields or not fields[0].strip()) and _is_blank(fields):
            if text.quoted:
                text.quoted.clear()
            begins = reader.line_num + 1
            fields = next(reader, None)
    except csv.Error as error:
        text.take_fault()
        if reader.line_num > begins:  # a quote may have included a thousand rows, which no report would name
            raise ValueError(
                f"The CSV cannot be read from line {begins} on (a quote that is not closed?): {error}."
            ) from None
        return BadRow(f"line {reader.line_num} is not CSV: {_in_words(error)}.")
    if fields is None:
        return None
    if fault := text.take_fault(len(header)):
        return BadRow(fault)
    if len(fields) != len(header):
        return BadRow(f"line {reader.line_num} has {len(fields)} fields, and the header {len(header)}.")
    return dict(zip(header, fields, strict=True))
