"""Many histories: all that have little trouble, and many random ones that have more."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from tests.simulation.choices import Choices, Deviations
from tests.simulation.history import History, from_seed, play
from tests.simulation.settings import VERSIONS, Settings

PART = 1000
"""Seeds that one process plays at a time."""

TWICE_IN_TROUBLE = [Settings(version="3.3", max_tries=3), Settings(version="2.11", folder=True, max_tries=3)]
"""The settings for which all histories with two troubles are played. For all settings, those with one are played."""


@dataclass
class Found:
    """The results of many histories.

    :param violations: which rules were violated, and how to play the history again.
    """

    histories: int = 0
    steps: int = 0
    pushes: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)

    def add(self, history: History, how: str) -> None:
        """Count one history."""
        self.histories += 1
        self.steps += len(history.trace)
        self.pushes += history.pushes
        self.happened.update(history.happened)
        if history.violation is not None:
            self.violations.append((history.violation, how))

    def update(self, other: Found) -> None:
        """Add the counts of another process."""
        self.histories += other.histories
        self.steps += other.steps
        self.pushes += other.pushes
        self.happened.update(other.happened)
        self.violations += other.violations


def all_settings() -> Iterator[Settings]:
    """Return all kinds of single sends, of tasks with two, and of batches."""
    for version, folder, on_clear, retries in itertools.product(VERSIONS, (False, True), ("resend", "resume"), (0, 1)):
        found = Settings(version, folder, on_clear, retries=retries, max_tries=3)
        yield found
        yield replace(found, waits=True)
        yield replace(found, waits=True, defers=True)
        yield replace(found, is_once=True)
        yield replace(found, is_batch=True)


def play_seeds(first: int, count: int) -> Found:
    """Play the histories of some seeds."""
    found = Found()
    for seed in range(first, first + count):
        found.add(play(*from_seed(seed)), f"--seed {seed}")
    return found


def play_all(settings: Settings, depth: int, at: dict[int, int]) -> Found:
    """Play all histories that have the given troubles and, after these, up to ``depth`` more."""
    found = Found()
    history = play(settings, Deviations(at))
    places = ",".join(f"{place}:{way}" for place, way in at.items())
    found.add(history, f"--settings {settings} --deviations {places or '0:0'}")
    if depth > 0:
        for place in range(max(at, default=-1) + 1, len(history.widths)):
            for way in range(1, history.widths[place]):
                found.update(play_all(settings, depth - 1, {**at, place: way}))
    return found


def explore(*, first_seed: int, seeds: int, depth: int, processes: int) -> Found:
    """Play them all.

    :param depth: all histories with up to so many troubles are played; one more for :data:`TWICE_IN_TROUBLE`.
    """
    found = Found()
    with ProcessPoolExecutor(processes) as pool:
        parts = [pool.submit(play_all, settings, depth, {}) for settings in all_settings()] if depth else []
        for settings in TWICE_IN_TROUBLE if depth else ():
            widths = play(settings, Choices()).widths
            parts += [
                pool.submit(play_all, settings, depth, {place: way})
                for place, width in enumerate(widths)
                for way in range(1, width)
            ]
        ends = range(first_seed, first_seed + seeds, PART)
        parts += [pool.submit(play_seeds, start, min(PART, first_seed + seeds - start)) for start in ends]
        for part in parts:
            found.update(part.result())
    return found
