"""CSV: a header, and a row a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any, cast

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.source import BadRow


class _CsvText:
    """Decodes lines for the CSV reader, which cannot go on after an error; so it notes them instead."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._number = 0
        self.fault = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            if len(line) > source.MAX_LINE_BYTES:
                self.fault = f"line {self._number} is longer than {source.MAX_LINE_BYTES // 1024 // 1024} MB."
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


def read_csv(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any] | BadRow]:
    text = _CsvText(lines)
    reader = csv.reader(iter(text), strict=True)
    # The limit is the process's; the default of 128 KB would refuse a message that the API may take.
    before = csv.field_size_limit(source.MAX_LINE_BYTES)
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
