"""The table: for each fault and delivery mode, how often each result came."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.driver import Result

COLUMNS = (
    "fault",
    "delivery",
    "rounds",
    "0",
    "1",
    "2+",
    "ordered again",
    "failed, named",
    "lost silently",
    "duplicates",
    "wrong",
)


def table(results: Iterable[Result]) -> str:
    """Return the table as text."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.plan.fault.name, result.plan.mode), []).append(result)
    rows = [COLUMNS, *(_row(*key, group) for key, group in sorted(groups.items()))]
    every = [result for group in groups.values() for result in group]
    rows += [
        _row("all", mode, [r for r in every if r.plan.mode == mode]) for mode in sorted({key[1] for key in groups})
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(name: str, mode: str, group: list[Result]) -> tuple[str, ...]:
    counts = (
        len(group),
        sum(result.delivered == 0 for result in group),
        sum(result.delivered == 1 for result in group),
        sum(result.delivered > 1 for result in group),
        sum(result.ordered - 1 for result in group),
        sum(result.named for result in group),
        sum(result.plan.fault.sends and result.delivered == 0 and not result.named for result in group),
        sum(result.duplicates for result in group),
        sum(bool(result.problems) for result in group),
    )
    return (name, mode, *map(str, counts))
