"""Waiting for tickets, in the worker and deferred, with every limit."""

from __future__ import annotations

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
EXECUTION_LIMITS: dict[str, dict[str, Any]] = {
    "execution_timeout": {"execution_timeout": timedelta(seconds=2)},
    "execution_timeout_soft": {"execution_timeout": timedelta(seconds=2), "soft_fail": True},
}
TO_PASS: dict[str, Any] = {"target_type": "pass", "pass_id": 123, "wait_for_completion": True, "poll_interval": 0.2}

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

for dag_id, all_limits in {"tickets_limits": LIMITS, "tickets_execution_limits": EXECUTION_LIMITS}.items():
    with DAG(dag_id, schedule=None, start_date=START):
        for mode, how in MODES.items():
            for name, limits in all_limits.items():
                NotificationTicketSensor(
                    task_id=f"{name}_{mode}",
                    ticket_id="{{ dag_run.conf['ticket'] }}",
                    poke_interval=0.2,
                    retries=1,
                    retry_delay=timedelta(0),
                    **{"timeout": 600, **how, **limits},
                )

with DAG("tickets_sends", schedule=None, start_date=START):
    for mode, how in MODES.items():
        SendNotificationOperator(task_id=f"send_{mode}", value="x", **TO_PASS, **how)
        DeleteNotificationOperator(task_id=f"delete_{mode}", **TO_PASS, **how)

with DAG("tickets_retried", schedule=None, start_date=START):
    for mode, how in MODES.items():
        SendNotificationOperator(
            task_id=f"send_{mode}", value=mode, timeout=1, retries=1, retry_delay=timedelta(0), **TO_PASS, **how
        )

with DAG("tickets_execution_timeout", schedule=None, start_date=START):
    for mode, how in MODES.items():
        SendNotificationOperator(
            task_id=f"send_{mode}", value=mode, timeout=600, execution_timeout=timedelta(seconds=2), **TO_PASS, **how
        )
