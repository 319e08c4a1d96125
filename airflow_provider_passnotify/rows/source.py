"""What a source of rows gives: mappings, or what cannot be read as one. No Airflow here.

What cannot be read as a row becomes a :class:`BadRow`, so that the others go out; what breaks the source as a whole
raises, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is no row: it would take the worker's memory with it."""


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
