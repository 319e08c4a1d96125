"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.source import BadRow


def read_json_lines(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any] | BadRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith(b"["):
            raise ValueError("The file is a JSON array; write one object a line (JSON Lines).")
        yield _parse_json_line(number, line)


def _parse_json_line(number: int, line: bytes) -> Mapping[str, Any] | BadRow:
    if len(line) > source.MAX_LINE_BYTES:
        return BadRow(f"line {number} is longer than {source.MAX_LINE_BYTES // 1024 // 1024} MB.")
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(f"line {number} is not UTF-8: {error.reason} at byte {error.start}.")
    except (ValueError, RecursionError) as error:
        return BadRow(f"line {number} is not JSON: {error!s:.200}.")
    if not isinstance(row, dict):
        return BadRow(f"line {number} is a JSON {type(row).__name__}, not an object.")
    return row
