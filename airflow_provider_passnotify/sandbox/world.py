"""Who has which pass, and what each pass received. No I/O.

The starting data makes every example request of the API reference work as it is written there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

FIRST_EXTRA_PASS = 1_000_001
EXTRA_TEMPLATE = "20000"


class NotFoundError(Exception):
    """What the path names does not exist."""


@dataclass(frozen=True, slots=True)
class Push:
    """One accepted send."""

    ticket_id: int
    label: str | None
    value: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "value": self.value, "ticketId": self.ticket_id, "at": self.at.isoformat()}


class World:
    """Templates, passes, tags and segments, and the deliveries to each pass.

    :param extra_passes: how many passes there are beyond the starting data: ids from 1000001, in template 20000, with
        the external ids ``customer-1``, ``customer-2``, ...
    """

    def __init__(self, extra_passes: int = 0) -> None:
        self.extra_passes = extra_passes
        self.templates: dict[str, list[str]] = {
            "123": ["223", "224"],
            "12345": ["123", "124", "125", "126"],
            "777": ["323", "324"],
            "6789": ["423", "424", "425"],
        }
        self.template_external_ids = {"12345": "777"}
        self.pass_external_ids = {("12345", "my_custom_pass_id"): "126"}
        self.tags: dict[tuple[str, str], list[str]] = {("campaign123", "12345"): ["123", "124", "125"]}
        self.segments: dict[tuple[str, str], dict[str, list[str]]] = {
            ("12345", "3b13666df-e5b3-4e42-8919-f8d63bd7ce2a"): {"6789": ["423", "424"]}
        }
        self._passes = {pass_id for members in self.templates.values() for pass_id in members}
        self._received: dict[str, list[Push]] = {}
        self._shows: dict[str, Push] = {}

    def pass_by_id(self, pass_id: str) -> list[str]:
        """Return the pass, if it exists."""
        if pass_id in self._passes or self._extra_number(pass_id, "", FIRST_EXTRA_PASS):
            return [pass_id]
        raise NotFoundError(f"Pass not found! There is no pass {pass_id}")

    def pass_by_external_id(self, template_id: str, external_id: str) -> list[str]:
        """Return the pass that has an external id."""
        if template_id == EXTRA_TEMPLATE and (number := self._extra_number(external_id, "customer-", 1)):
            return [str(FIRST_EXTRA_PASS + number - 1)]
        pass_id = self.pass_external_ids.get((template_id, external_id))
        if pass_id is None:
            raise NotFoundError(f"Pass not found! Please pass a valid external Id instead of {external_id}")
        return [pass_id]

    def template(self, template_id: str) -> Iterable[str]:
        """Return the passes of a template."""
        if template_id == EXTRA_TEMPLATE and self.extra_passes:
            return map(str, range(FIRST_EXTRA_PASS, FIRST_EXTRA_PASS + self.extra_passes))
        if template_id not in self.templates:
            raise NotFoundError(f"Template not found! There is no template {template_id}")
        return self.templates[template_id]

    def external_template(self, external_id: str) -> Iterable[str]:
        """Return the passes of the template that has an external id."""
        if external_id not in self.template_external_ids:
            raise NotFoundError(f"Template not found! Please pass a valid external Id instead of {external_id}")
        return self.templates[self.template_external_ids[external_id]]

    def tag(self, tag: str, template_id: str) -> Iterable[str]:
        """Return the passes of a template that carry a tag."""
        if (tag, template_id) not in self.tags:
            raise NotFoundError(f"Tag not found! There is no tag {tag} on template {template_id}")
        return self.tags[tag, template_id]

    def segment(self, project_id: str, segment_id: str, template_id: str | None) -> Iterable[str]:
        """Return the passes of a segment, of one template or of all."""
        by_template = self.segments.get((project_id, segment_id))
        if by_template is None or (template_id is not None and template_id not in by_template):
            raise NotFoundError(f"Segment not found! There is no segment {segment_id} in project {project_id}")
        if template_id is not None:
            return by_template[template_id]
        return [pass_id for members in by_template.values() for pass_id in members]

    def send(self, pass_ids: Iterable[str], ticket_id: int, label: str | None, value: str) -> None:
        """Record that each pass received a message."""
        push = Push(ticket_id, label, value, datetime.now(timezone.utc))
        for pass_id in pass_ids:
            self._received.setdefault(pass_id, []).append(push)
            self._shows[pass_id] = push

    def delete(self, pass_ids: Iterable[str]) -> None:
        """Take the message off the back of each pass."""
        for pass_id in pass_ids:
            self._shows.pop(pass_id, None)

    def deliveries(self, pass_id: str | None = None) -> dict[str, Any]:
        """Return what each pass received, and what it shows now."""
        chosen = self._received if pass_id is None else {pass_id: self._received.get(pass_id, [])}
        passes = {
            key: {
                "count": len(pushes),
                "received": [push.as_json() for push in pushes],
                "shows": {"label": push.label, "value": push.value} if (push := self._shows.get(key)) else None,
            }
            for key, pushes in chosen.items()
        }
        return {"total": sum(entry["count"] for entry in passes.values()), "passes": passes}

    def delivery_counts(self) -> dict[str, Any]:
        """Return how often each pass received something."""
        counts = {pass_id: len(pushes) for pass_id, pushes in self._received.items()}
        return {"total": sum(counts.values()), "passes": counts}

    def delivery_histogram(self) -> dict[str, Any]:
        """Return how many passes received something once, twice, ..."""
        times = Counter(len(pushes) for pushes in self._received.values())
        total = sum(count * passes for count, passes in times.items())
        return {"total": total, "times": {str(count): times[count] for count in sorted(times)}}

    def _extra_number(self, text: str, prefix: str, first: int) -> int | None:
        digits = text.removeprefix(prefix)
        if not text.startswith(prefix) or not (digits.isascii() and digits.isdigit()) or digits != str(int(digits)):
            return None
        number = int(digits) - first + 1
        return number if 1 <= number <= self.extra_passes else None
