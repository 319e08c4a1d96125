"""A file of messages: another system leaves a CSV every morning, and each line becomes a message.

Needs the connection ``passnotify_default``, and ``passnotify_points.csv`` beside this file.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

POINTS = str(Path(__file__).with_name("passnotify_points.csv"))  # or "s3://my_aws@points/today.csv"

with DAG(
    dag_id="passnotify_file",
    schedule="0 9 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_file]
    send_from_file = SendNotificationBatchOperator(
        task_id="send_from_file",
        notifications=POINTS,
        target_type="external_pass",
        value="You have {points} points",
    )
    # [END howto_file]
