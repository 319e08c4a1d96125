"""Deferred tasks for ``benchmarks/triggerer.py``; the tickets come in by the run's conf."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, task
from airflow.triggers.base import BaseTrigger

from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor
from benchmarks.lag import IdleTrigger, LagTrigger


class Watch(BaseOperator):
    """Watch the triggerer's event loop until it is told to stop."""

    def execute(self, context: dict) -> None:
        self._wait(LagTrigger(context["dag_run"].conf["lag_file"]))

    def _wait(self, trigger: BaseTrigger) -> None:
        self.defer(trigger=trigger, method_name="done", timeout=timedelta(hours=2))

    def done(self, context: dict, event: object) -> object:  # noqa: ARG002
        return event


class Idle(Watch):
    """Wait in the triggerer for nothing.

    :param number: so that it can be mapped.
    """

    def __init__(self, *, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context: dict) -> None:
        self._wait(IdleTrigger(context["dag_run"].conf["lag_file"] + ".idle"))


with DAG("waiting", schedule=None, catchup=False, max_active_tasks=2000):

    @task
    def each(count: int = 0) -> list[int]:  # noqa: ARG001
        from airflow.sdk import get_current_context

        return get_current_context()["dag_run"].conf["each"]

    Watch(task_id="watch")
    NotificationTicketSensor.partial(task_id="one", deferrable=True, poke_interval=10, timeout=7200).expand(
        ticket_id=each()
    )
    NotificationTicketSensor(
        task_id="many",
        ticket_id="{{ dag_run.conf['many'] }}",
        deferrable=True,
        poke_interval=10,
        timeout=7200,
    )

with DAG("idle", schedule=None, catchup=False, max_active_tasks=2000):
    Watch(task_id="watch")
    Idle.partial(task_id="one").expand(number=list(range(1000)))
