"""Waiting for tickets, in the worker and deferred, with every limit.

A limit of a few seconds may strike at any moment of a task on a busy machine. Where a test needs it to strike while the
task waits, it begins to run only then.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, get_current_context, task

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor

START = pendulum.datetime(2026, 1, 1, tz="UTC")
MODES: dict[str, dict[str, Any]] = {"poke": {}, "deferrable": {"deferrable": True}}
LIMITS: dict[str, dict[str, Any]] = {
    "timeout": {"timeout": 2},
    "timeout_soft": {"timeout": 2, "soft_fail": True},
}
LONG, SHORT = timedelta(minutes=10), timedelta(seconds=2)
EXECUTION_LIMITS: dict[str, dict[str, Any]] = {
    "execution_timeout": {},
    "execution_timeout_soft": {"soft_fail": True},
}
TO_PASS: dict[str, Any] = {"target_type": "pass", "pass_id": 123, "wait_for_completion": True, "poll_interval": 0.2}


def almost_out_of_time(context: Any) -> None:
    """Leave of the ``execution_timeout`` only two seconds for the triggerer: the task has started long ago."""
    context["ti"].start_date = pendulum.now("UTC") - LONG + SHORT


STRIKES: dict[str, dict[str, Any]] = {
    "poke": {"execution_timeout": SHORT},
    "deferrable": {"execution_timeout": LONG, "pre_execute": almost_out_of_time},
}


class Late(SendNotificationOperator):
    """Its ``execution_timeout`` strikes two seconds after it has sent."""

    def wait_for_tickets(self, context: Any, ticket_ids: Any, result: Any) -> Any:
        if self.deferrable:
            almost_out_of_time(context)
        else:
            signal.setitimer(signal.ITIMER_REAL, SHORT.total_seconds())  # the timer that Airflow has set
        return super().wait_for_tickets(context, ticket_ids, result)


with DAG("tickets_given", schedule=None, start_date=START):

    @task
    def given() -> Any:
        return get_current_context()["dag_run"].conf["tickets"]  # type: ignore[index]

    tickets = given()
    for mode, how in MODES.items():
        for name, soft in {"hard": {}, "soft": {"soft_fail": True}}.items():
            NotificationTicketSensor(
                task_id=f"{name}_{mode}",
                ticket_id=tickets,
                poke_interval=0.2,
                timeout=60,
                retries=1,
                retry_delay=timedelta(0),
                **how,
                **soft,
            )
    tickets >> NotificationTicketSensor(
        task_id="rendered",
        ticket_id="{{ ti.xcom_pull('given') }}",
        poke_interval=0.2,
        timeout=60,
        retries=0,
        pre_execute=lambda context: context["ti"].xcom_push(key="before", value="seen"),
    )

for dag_id, all_limits, more in (
    ("tickets_limits", LIMITS, {}),
    ("tickets_execution_limits", EXECUTION_LIMITS, STRIKES),
):
    with DAG(dag_id, schedule=None, start_date=START):
        for mode, how in MODES.items():
            for name, limits in all_limits.items():
                NotificationTicketSensor(
                    task_id=f"{name}_{mode}",
                    ticket_id="{{ dag_run.conf['ticket'] }}",
                    poke_interval=0.2,
                    retries=1,
                    retry_delay=timedelta(0),
                    **{"timeout": 600, **how, **limits, **more.get(mode, {})},
                )

with DAG("tickets_sends", schedule=None, start_date=START):
    for mode, how in MODES.items():
        SendNotificationOperator(task_id=f"send_{mode}", value="x", **TO_PASS, **how)
        DeleteNotificationOperator(task_id=f"delete_{mode}", **TO_PASS, **how)

for dag_id, timeout in {"tickets_retried": 600, "tickets_timed_out": 1}.items():
    with DAG(dag_id, schedule=None, start_date=START):
        for mode, how in MODES.items():
            SendNotificationOperator(
                task_id=f"send_{mode}",
                value=mode,
                timeout=timeout,
                retries=1,
                retry_delay=timedelta(0),
                **TO_PASS,
                **how,
            )

with DAG("tickets_execution_timeout", schedule=None, start_date=START):
    for mode, how in MODES.items():
        Late(task_id=f"send_{mode}", value=mode, timeout=600, execution_timeout=LONG, **TO_PASS, **how)
