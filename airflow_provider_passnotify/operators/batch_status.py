"""What a running batch asks Airflow (does the task still run?), and what it tells Airflow (its metrics)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from airflow_provider_passnotify.delivery.batch.ledger import Counts

log = logging.getLogger(__name__)


class Metrics:
    """Airflow metrics: ``passnotify.sent`` and the like. They are increased while the batch runs.

    :param before: the counts when this try began to send. Earlier tries have already counted what they sent.
    """

    def __init__(self, before: Counts) -> None:
        self._told = {"sent": before.sent, "unknown": before.unknown}

    def tell(self, counts: Counts) -> None:
        """Count what was done since the last call."""
        now = {"sent": counts.sent, "failed": counts.failed, "unknown": counts.unknown, "duplicates": counts.duplicate}
        for name, number in now.items():
            if (more := number - self._told.get(name, 0)) > 0:
                Stats.incr(f"passnotify.{name}", more)
                self._told[name] = number


def still_running(ti: Any) -> Callable[[], bool] | None:
    """Return a function that asks Airflow whether the task is running. ``None`` if a task cannot ask (Airflow 2.11)."""
    if not hasattr(ti, "get_task_states"):
        return None
    was_running = False

    def ask() -> bool:
        nonlocal was_running
        try:
            found = ti.get_task_states(
                ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
            ).get(ti.run_id, {})
        except Exception as error:  # noqa: BLE001 (the heartbeat will find out the same, later)
            log.debug("Airflow did not say whether the task is running: %s", error)
            return True
        is_running = "running" in found.values()
        was_running = was_running or is_running
        return is_running or not was_running  # "airflow tasks test" never marks its task as running

    return ask
