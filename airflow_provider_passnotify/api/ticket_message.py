"""What became of tickets, in words for people."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_passnotify.api.protocol import shorten
from airflow_provider_passnotify.api.tickets import Ticket

_MAX_NAMED = 20


def facts(total: int, *, left: list[Ticket], failed: list[Ticket], problem: str) -> list[str]:
    """Return what is known, one line for each fact.

    :param total: how many tickets there are.
    :param left: those that have not ended.
    :param failed: those that failed.
    :param problem: the last problem that a poll had.
    """
    parts = []
    if left:
        parts.append(f"{len(left)} of {total} tickets did not end: {_named(left)}.")
    if failed:
        first = failed[0]
        parts.append(f"{len(failed)} of {total} tickets failed: {_named(failed)}.")
        if first.children:
            parts.append(f"Children of {first.id}: {shorten(as_json(first.children), 500)}.")
    if left and problem:
        parts.append(f"The last problem: {problem.removesuffix('.')}.")
    return parts or [f"{total} of {total} tickets succeeded."]


def as_json(value: Any) -> str:
    """Return JSON in a form that is easy to read."""
    return json.dumps(value, ensure_ascii=False)


def _named(tickets: list[Ticket]) -> str:
    names = [f"{ticket.id} ({ticket.status or 'no answer yet'})" for ticket in tickets[:_MAX_NAMED]]
    return ", ".join(names) + (f" and {len(tickets) - _MAX_NAMED} more" if len(tickets) > _MAX_NAMED else "")
