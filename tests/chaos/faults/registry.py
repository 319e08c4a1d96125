"""Where the faults are collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.chaos.rounds import FOLDER, STORE, Act, Fault

FAULTS: list[Fault] = []


def fault(name: str, **more: Any) -> Callable[[Act], Act]:
    """Register what follows as a fault.

    :param more: see :class:`~tests.chaos.rounds.Fault`.
    """

    def register(act: Act) -> Act:
        FAULTS.append(Fault(name, act, **more))
        return act

    return register


def faults_of(*, folder: bool, airflow_2: bool) -> list[Fault]:
    """Return the faults that there are with this journal on this Airflow."""
    store = FOLDER if folder else STORE
    return [each.adapted(folder=folder, airflow_2=airflow_2) for each in FAULTS if store in each.stores]
