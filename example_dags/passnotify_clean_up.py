"""After the sale: delete its message from the back of the passes, and make sure that it is gone.

Needs the connection ``passnotify_default``. Deleting twice does no harm, so these tasks may be retried.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import (
    DeleteNotificationBatchOperator,
    DeleteNotificationOperator,
)
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor

with DAG(
    dag_id="passnotify_clean_up",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_delete]
    delete_from_tag = DeleteNotificationOperator(
        task_id="delete_from_tag",
        target_type="tag",
        tag="campaign123",
        template_id="12345",
    )
    # [END howto_delete]

    # [START howto_delete_batch]
    delete_from_passes = DeleteNotificationBatchOperator(
        task_id="delete_from_passes",
        notifications=[{"pass_id": 123}, {"pass_id": 124}, {"pass_id": 125}],
        target_type="pass",
    )
    # [END howto_delete_batch]

    is_gone = NotificationTicketSensor(
        task_id="is_gone",
        ticket_id=delete_from_tag.output,
        poke_interval=1,
        timeout=timedelta(minutes=10).total_seconds(),
    )

    delete_from_passes >> is_gone
