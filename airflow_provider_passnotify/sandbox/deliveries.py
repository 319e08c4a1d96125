"""What really happened: what each pass received, in which order, and what its back shows now. No I/O.

A batch can deliver a million notifications. So a delivery is only a few numbers in columns, and they are counted only
when somebody asks for the counts.
"""

from __future__ import annotations

import sys
import time
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple


class Deleted(NamedTuple):
    """An accepted delete: how many sends came before it, the passes, the ticket and the time."""

    sends_before: int
    passes: Sequence[int]
    ticket_id: int
    at: float


class Deliveries:
    """Every accepted send and delete, in order."""

    def __init__(self) -> None:
        # One column for each property of a send. A target of several passes is a negative index into the groups.
        self._targets = array("q")
        self._tickets = array("q")
        self._times = array("d")
        self._labels: list[str | None] = []
        self._values: list[str] = []
        self._groups: list[Sequence[int]] = []
        # Deletes are rare.
        self._deletes: list[Deleted] = []
        #: The number of notifications on phones: one for each pass of each send.
        self.delivered = 0

    def sent(self, passes: Sequence[int], label: str | None, value: str, ticket_id: int) -> None:
        """Record that a message was accepted for some passes."""
        self.delivered += len(passes)
        if len(passes) == 1:
            self._targets.append(passes[0])
        else:
            self._groups.append(passes)
            self._targets.append(-len(self._groups))
        self._tickets.append(ticket_id)
        self._times.append(time.time())
        self._labels.append(label if label is None else sys.intern(label))  # many sends, one label
        self._values.append(value)

    def deleted(self, passes: Sequence[int], ticket_id: int) -> None:
        """Record that the message was taken off the back of some passes."""
        self._deletes.append(Deleted(len(self._targets), passes, ticket_id, time.time()))

    def as_json(self, only: int | None = None) -> dict[str, Any]:
        """Return what each pass received and shows.

        :param only: return only this pass.
        """
        passes: dict[str, dict[str, Any]] = {}
        deletes = iter(self._deletes)
        next_delete = next(deletes, None)
        for index, target in enumerate(self._targets):
            while next_delete is not None and next_delete.sends_before <= index:
                _show_nothing(passes, next_delete.passes)
                next_delete = next(deletes, None)
            push = self._push(index)
            for number in self._members(target):
                if only is None or number == only:
                    entry = passes.setdefault(str(number), {"count": 0, "received": [], "shows": None})
                    entry["count"] += 1
                    entry["received"].append(push)
                    entry["shows"] = {"label": push["label"], "value": push["value"]}
        if next_delete is not None:
            for deleted in (next_delete, *deletes):
                _show_nothing(passes, deleted.passes)
        return {"total": sum(entry["count"] for entry in passes.values()), "passes": passes}

    def counts(self, only: int | None = None) -> dict[str, Any]:
        """Return how often each pass received something."""
        counts = self._counter()
        passes = {str(number): times for number, times in counts.items() if only is None or number == only}
        return {"total": sum(passes.values()), "passes": passes}

    def histogram(self) -> dict[str, Any]:
        """Return how many passes received something once, twice, ..."""
        counts = self._counter()
        times = Counter(counts.values())
        return {"total": sum(counts.values()), "times": {str(often): times[often] for often in sorted(times)}}

    def since(self, ticket_id: int, max_events: int, max_passes: int) -> dict[str, Any]:
        """Return what happened after a ticket, in order: the last events of each kind, and how many came before them.

        :param max_events: at most so many events of each kind.
        :param max_passes: at most so many passes are named for each event. ``count`` is how many there are.
        """
        first_send = bisect_right(self._tickets, ticket_id)
        first_delete = bisect_right(self._deletes, ticket_id, key=lambda deleted: deleted.ticket_id)
        sends = range(max(first_send, len(self._targets) - max_events), len(self._targets))
        deletes = self._deletes[max(first_delete, len(self._deletes) - max_events) :]
        found = [
            {"kind": "send", **self._push(index), **_some(self._members(self._targets[index]), max_passes)}
            for index in sends
        ]
        found += [
            {
                "kind": "delete",
                "ticketId": deleted.ticket_id,
                "at": _iso(deleted.at),
                **_some(deleted.passes, max_passes),
            }
            for deleted in deletes
        ]
        left_out = len(self._targets) - first_send - len(sends) + len(self._deletes) - first_delete - len(deletes)
        return {"events": sorted(found, key=lambda event: int(str(event["ticketId"]))), "leftOut": left_out}

    def _counter(self) -> Counter[int]:
        counts = Counter(self._targets)
        for target in [target for target in counts if target < 0]:
            times = counts.pop(target)
            for number in self._members(target):
                counts[number] += times
        return counts

    def _members(self, target: int) -> Sequence[int]:
        return (target,) if target >= 0 else self._groups[-target - 1]

    def _push(self, index: int) -> dict[str, Any]:
        return {
            "label": self._labels[index],
            "value": self._values[index],
            "ticketId": self._tickets[index],
            "at": _iso(self._times[index]),
        }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def _some(passes: Sequence[int], max_passes: int) -> dict[str, Any]:
    return {"passes": list(passes[:max_passes]), "count": len(passes)}


def _show_nothing(passes: dict[str, dict[str, Any]], members: Sequence[int]) -> None:
    for number in members:
        if (entry := passes.get(str(number))) is not None:
            entry["shows"] = None
