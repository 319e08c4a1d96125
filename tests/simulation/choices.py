"""If a history can continue in several ways, something must choose: at random, or from a given list."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple


class Action(NamedTuple):
    """One way to go on.

    :param name: its name in the trace of the history.
    :param weight: how likely it is, compared with the others.
    :param run: the function that does it, with the arguments.
    """

    name: str
    weight: float
    run: Callable[..., None]
    arguments: tuple[Any, ...] = ()


class Choices:
    """Chooses, and remembers how many ways there were. The first way of each list is without trouble."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def pick(self, actions: Sequence[Action]) -> Action:
        """Choose one."""
        self.widths.append(len(actions))
        return actions[self._index(actions)]

    def _index(self, actions: Sequence[Action]) -> int:  # noqa: ARG002 (the others need it)
        return 0


class RandomChoices(Choices):
    """By weight, from a seed.

    :param source: the source of randomness.
    :param trouble: a factor for the weights of trouble.
    :param more: further factors for some kinds of trouble, by their names.
    """

    def __init__(self, source: random.Random, trouble: float, more: Mapping[str, float] = MappingProxyType({})) -> None:
        super().__init__()
        self._source, self._trouble, self._more = source, trouble, more

    def _index(self, actions: Sequence[Action]) -> int:
        if len(actions) == 1:
            return 0
        if self._more:
            troubles = [
                action._replace(weight=action.weight * self._more.get(action.name, 1)) for action in actions[1:]
            ]
            actions = [actions[0], *troubles]
        first = actions[0].weight
        trouble = self._trouble * (sum([action.weight for action in actions]) - first)
        place = self._source.random() * (first + trouble)
        if place < first:
            return 0
        place = (place - first) / self._trouble
        for index in range(1, len(actions)):
            place -= actions[index].weight
            if place < 0:
                return index
        return 0


class Deviations(Choices):
    """The way without trouble, except at some places.

    :param at: for the number of a choice, which way to go (from 1).
    """

    def __init__(self, at: Mapping[int, int]) -> None:
        super().__init__()
        self._at = at

    def _index(self, actions: Sequence[Action]) -> int:
        index = self._at.get(len(self.widths) - 1, 0)
        return index if index < len(actions) else 0
