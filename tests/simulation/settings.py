"""What differs from history to history before anything happens."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Version:
    """What an Airflow does.

    :param has_store: ``task_state_store``.
    :param discards_on_clear: a clear takes the task's state away, unless the person says no.
    :param clear_on_success: a success does.
    :param counts_each_clear: ``clear_number`` rises at each clear of any task of the run; else only if the run is over.
    :param has_history: a task can read ``max_tries`` of the try before.
    :param restart_is_a_clear: a clear of a running task sets ``max_tries`` like any other, once its process has ended.
    :param renames_at_restart: a clear of a running task gives it a new id at once. So Airflow's store refuses what the
        old process still writes, and tells it nothing.
    """

    has_store: bool = False
    discards_on_clear: bool = False
    clear_on_success: bool = False
    counts_each_clear: bool = True
    has_history: bool = False
    restart_is_a_clear: bool = False
    renames_at_restart: bool = False


VERSIONS = {
    "2.11": Version(counts_each_clear=False, has_history=True),
    "3.1": Version(counts_each_clear=False, restart_is_a_clear=True),
    "3.2": Version(restart_is_a_clear=True),
    "3.3": Version(has_store=True, restart_is_a_clear=True, renames_at_restart=True),
    "3.3-clear-on-success": Version(
        has_store=True, clear_on_success=True, restart_is_a_clear=True, renames_at_restart=True
    ),
    "3.4": Version(has_store=True, discards_on_clear=True, restart_is_a_clear=True),
}


@dataclass(frozen=True)
class Settings:
    """Of one history.

    :param version: one of :data:`VERSIONS`.
    :param folder: whether there is a ``journal_path`` at first.
    :param on_clear: as the operator has it.
    :param delivery: as the operator has it.
    :param retries: as the DAG file has them at first.
    :param waits: for the ticket, whether in the worker or deferred.
    :param is_batch: many rows, not one notification.
    :param is_once: a task with two calls of ``send_once``.
    :param defers: whether it waits in the triggerer.
    :param max_tries: after that many tries the history ends.
    """

    version: str = "3.3"
    folder: bool = False
    on_clear: str = "resend"
    delivery: str = "at_most_once"
    retries: int = 1
    waits: bool = False
    is_batch: bool = False
    is_once: bool = False
    defers: bool = False
    max_tries: int = 5

    def __str__(self) -> str:
        words = [self.version, "folder" if self.folder else "no-folder", self.on_clear, self.delivery]
        words += [
            "defers" if self.defers else "waits" if self.waits else "no-waiting",
            "batch" if self.is_batch else "once" if self.is_once else "single",
        ]
        return "/".join([*words, str(self.retries), str(self.max_tries)])

    @classmethod
    def parse(cls, text: str) -> Settings:
        """Return the settings of which ``str`` gives this text."""
        version, folder, on_clear, delivery, waits, kind, retries, max_tries = text.split("/")
        return cls(
            version=version,
            folder=folder == "folder",
            on_clear=on_clear,
            delivery=delivery,
            waits=waits != "no-waiting",
            defers=waits == "defers",
            is_batch=kind == "batch",
            is_once=kind == "once",
            retries=int(retries),
            max_tries=int(max_tries),
        )

    @property
    def airflow(self) -> Version:
        """What this Airflow does."""
        return VERSIONS[self.version]

    @classmethod
    def random(cls, source: random.Random, *, is_batch: bool, is_once: bool) -> Settings:
        """Return settings of all kinds."""
        found = cls(
            version=source.choice(list(VERSIONS)),
            folder=source.random() < 0.5,
            on_clear=source.choice(["resend", "resume"]),
            delivery="at_least_once" if source.random() < 0.1 else "at_most_once",
            retries=source.choice([0, 1, 1, 2, 3]),
            waits=source.random() < 0.3 and not is_once,
            is_batch=is_batch,
            is_once=is_once,
            max_tries=source.choice([3, 4, 5, 6]),
        )
        return replace(found, defers=found.waits and source.random() < 0.5)
