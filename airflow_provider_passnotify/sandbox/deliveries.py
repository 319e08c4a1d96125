"""The ground truth: what each pass received, in which order, and what its back shows now. No I/O.

A batch delivers a million times, so a delivery is a few numbers in columns; who got how many is counted when asked.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any


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
        # Deletes are rare: the number of sends that came before, and the passes.
        self._deletes: list[tuple[int, Sequence[int]]] = []

    def sent(self, passes: Sequence[int], label: str | None, value: str, ticket_id: int) -> None:
        """Record that a message was accepted for some passes."""
        if len(passes) == 1:
            self._targets.append(passes[0])
        else:
            self._groups.append(passes)
            self._targets.append(-len(self._groups))
        self._tickets.append(ticket_id)
        self._times.append(time.time())
        self._labels.append(label if label is None else sys.intern(label))  # a campaign has one label
        self._values.append(value)

    def deleted(self, passes: Sequence[int]) -> None:
        """Record that the message was taken off the back of some passes."""
        self._deletes.append((len(self._targets), passes))

    def as_json(self, only: int | None = None) -> dict[str, Any]:
        """Return what each pass received and shows.

        :param only: this pass and no other.
        """
        passes: dict[str, dict[str, Any]] = {}
        deletes = iter(self._deletes)
        next_delete = next(deletes, None)
        for index, target in enumerate(self._targets):
            while next_delete is not None and next_delete[0] <= index:
                _show_nothing(passes, next_delete[1])
                next_delete = next(deletes, None)
            push = self._push(index)
            for number in self._members(target):
                if only is None or number == only:
                    entry = passes.setdefault(str(number), {"count": 0, "received": [], "shows": None})
                    entry["count"] += 1
                    entry["received"].append(push)
                    entry["shows"] = {"label": push["label"], "value": push["value"]}
        if next_delete is not None:
            for _, members in (next_delete, *deletes):
                _show_nothing(passes, members)
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

    def _counter(self) -> Counter[int]:
        counts = Counter(self._targets)
        for target in [target for target in counts if target < 0]:
            times = counts.pop(target)
            for number in self._members(target):
                counts[number] += times
        return counts

    def _members(self, target: int) -> Iterator[int] | Sequence[int]:
        return (target,) if target >= 0 else self._groups[-target - 1]

    def _push(self, index: int) -> dict[str, Any]:
        return {
            "label": self._labels[index],
            "value": self._values[index],
            "ticketId": self._tickets[index],
            "at": datetime.fromtimestamp(self._times[index], timezone.utc).isoformat(timespec="milliseconds"),
        }


def _show_nothing(passes: dict[str, dict[str, Any]], members: Sequence[int]) -> None:
    for number in members:
        if (entry := passes.get(str(number))) is not None:
            entry["shows"] = None
