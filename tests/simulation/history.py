"""One history: what happens, from the first try to the end."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.simulation.batch import send_many
from tests.simulation.checks import Violated
from tests.simulation.choices import Choices, RandomChoices
from tests.simulation.once import send_two
from tests.simulation.settings import Settings
from tests.simulation.single import send_one
from tests.simulation.world import World

MAX_STEPS = 1000
EACH_BATCH = 25
"""One of so many seeds is a batch, because a batch takes several times as long."""
EACH_ONCE = 5
"""One of so many of the others is a task that calls ``send_once``."""


@dataclass
class History:
    """The result of a history.

    :param violation: which rule was violated; ``None`` if none was.
    :param trace: what happened, a line for each step.
    :param widths: how many ways there were to go on, at each step.
    """

    settings: Settings
    violation: str | None
    trace: list[str]
    widths: list[int]
    happened: set[str]
    pushes: int
    state: str


def play(settings: Settings, choices: Choices) -> History:
    """Play a history to its end."""
    world = World(settings, send_many if settings.is_batch else send_two if settings.is_once else send_one)
    violation = None
    try:
        with quiet():
            for _ in range(MAX_STEPS):
                action = choices.pick(world.actions())
                world.happen(action)
                if action.name == "end":
                    break
            else:
                raise Violated(f"no end after {MAX_STEPS} steps")
    except Violated as error:
        violation = str(error)
    with quiet():
        for process in world.processes:
            process.kill()
    return History(settings, violation, world.trace, choices.widths, world.happened, len(world.pushes), world.state)


def from_seed(seed: int) -> tuple[Settings, Choices]:
    """Return the settings and the choices that belong to one seed."""
    source = random.Random(seed)
    is_batch = seed % EACH_BATCH == 0
    settings = Settings.random(source, is_batch=is_batch, is_once=not is_batch and seed % EACH_ONCE == 1)
    return settings, RandomChoices(source, trouble=source.choice([0.5, 1.0, 2.0, 4.0]))


@contextmanager
def quiet() -> Iterator[None]:
    """Turn logging off, because nobody reads the logs of a hundred thousand tasks."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines of processes that were killed
            yield
    finally:
        logging.disable(before)
