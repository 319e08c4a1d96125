"""What a source of rows gives: mappings, or rows that cannot be read. This module does not import Airflow.

A row that cannot be read becomes a :class:`BadRow`, so that the other rows are sent. An error in the source as a whole
is raised, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is not accepted as a row: it could use up the memory of the worker."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why."""

    reason: str


Rows: TypeAlias = Iterable[Mapping[str, Any] | BadRow]


class LiteralRows:
    """Rows that are written in the DAG file. This is not a list, so that Airflow does not render them with Jinja."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = list(rows)

    def __repr__(self) -> str:
        shown = ", ".join(f"{row!r:.200}" for row in self.rows[:3])
        return f"[{shown}{', ...' if len(self.rows) > 3 else ''}] ({len(self.rows)} rows)"


def read_list(rows: Iterable[Any]) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read rows that are in memory."""
    for row in rows:
        yield row if isinstance(row, Mapping) else BadRow(f"it is {type(row).__name__}, not a mapping: {row!r:.80}.")
