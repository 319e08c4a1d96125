"""One batch for each shard. The shards are in the run's conf."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, get_current_context, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

with DAG("passnotify_shards", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):

    @task
    def shards() -> Any:
        """Return the arguments of each batch."""
        return (get_current_context()["dag_run"].conf or {})["shards"]

    SendNotificationBatchOperator.partial(
        task_id="send",
        target_type="pass",
        value="You have {points} points",
        retries=5,
        retry_delay=timedelta(seconds=1),
    ).expand_kwargs(shards())
