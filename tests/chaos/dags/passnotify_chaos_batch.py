"""The batch for chaos. Its rows are in a file whose path is in the run's conf."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

with DAG("chaos_batch", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    SendNotificationBatchOperator(
        task_id="send",
        notifications="{{ dag_run.conf['rows'] }}",
        report_path="{{ dag_run.conf['report'] }}",
        target_type="pass",
        value="You have {points} points. Written at {{ macros.datetime.now() }}",
        retries=99,
        retry_delay=timedelta(seconds=1),
    )
