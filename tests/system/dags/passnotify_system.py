"""DAGs of the system tests; tickets come in by the run's conf."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor

# A worker's supervisor may outlive its task by 5 s; Airflow takes a task that resumes before that for a failed one.
SECONDS = 12
SENSORS: dict[str, dict[str, Any]] = {
    "timeout": {"timeout": SECONDS},
    "timeout_soft": {"timeout": SECONDS, "soft_fail": True},
    "execution_timeout": {"execution_timeout": timedelta(seconds=SECONDS)},
    "execution_timeout_soft": {"execution_timeout": timedelta(seconds=SECONDS), "soft_fail": True},
    "failed": {"ticket_id": "{{ params.failed }}"},
    "failed_soft": {"ticket_id": "{{ params.failed }}", "soft_fail": True},
    "unknown": {"ticket_id": 999_999_999},
    "unknown_soft": {"ticket_id": 999_999_999, "soft_fail": True},
    "done": {"ticket_id": "{{ params.done }}"},
}

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
WAITS: dict[str, Any] = {"wait_for_completion": True, "deferrable": True, "poll_interval": 1, "timeout": 600}
SEND: dict[str, Any] = {"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "Gate B 42.", **WAITS}
SENDS: dict[str, dict[str, Any]] = {
    "system_send": {},
    "system_send_other": {"pass_id": 124},
    "system_send_stored": {"passnotify_conn_id": "stored"},
    "system_send_again": {"retries": 1, "retry_delay": timedelta(seconds=1)},
    "system_send_short": {"retries": 1, "retry_delay": timedelta(seconds=1), "timeout": SECONDS},
}

for dag_id, arguments in SENDS.items():
    with DAG(dag_id, schedule=None, start_date=START, catchup=False):
        SendNotificationOperator(**{**SEND, **arguments})

with DAG("system_batch", schedule=None, start_date=START, catchup=False):
    SendNotificationBatchOperator(
        task_id="send",
        notifications=[{"pass_id": number} for number in (123, 124, 125)],
        target_type="pass",
        value="Gate B 42.",
        **WAITS,
    )

with DAG(
    "system_sensors",
    schedule=None,
    start_date=START,
    catchup=False,
    params={"hanging": 0, "failed": 0, "done": 0},
):
    for mode, how in {"poke": {}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}.items():
        for name, settings in SENSORS.items():
            if mode == "reschedule" and name.startswith("execution"):
                continue  # there it counts the running time only, and is not reached
            arguments = {"ticket_id": "{{ params.hanging }}", "timeout": 300, **how, **settings}
            NotificationTicketSensor(
                task_id=f"{name}.{mode}",
                poke_interval=1,
                retries=1,
                retry_delay=timedelta(seconds=1),
                **arguments,
            )
