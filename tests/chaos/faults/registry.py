"""Where the faults are collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.chaos.rounds import Act, Fault

FAULTS: list[Fault] = []


def fault(name: str, **more: Any) -> Callable[[Act], Act]:
    """Register what follows as a fault.

    :param more: see :class:`~tests.chaos.rounds.Fault`.
    """

    def register(act: Act) -> Act:
        FAULTS.append(Fault(name, act, **more))
        return act

    return register
