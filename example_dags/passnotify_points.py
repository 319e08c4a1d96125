"""Points: every morning, one message for each customer whose points have changed in the night.

Needs the connections ``passnotify_default`` and ``points_db``: any database of Airflow's common SQL provider, with a
table ``customers`` of ``pass_id``, ``points`` and ``changed`` (0 or 1).
"""

from __future__ import annotations

import tempfile

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator

REPORTS = f"{tempfile.gettempdir()}/passnotify"  # on several machines a bucket: "s3://my_aws@reports/passnotify"

with DAG(
    dag_id="passnotify_points",
    schedule="0 9 * * *",  # the load runs at night; people sleep then
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_sql]
    send_points = SqlToPassNotifyOperator(
        task_id="send_points",
        sql="SELECT pass_id, COALESCE(points, 0) AS points FROM customers WHERE changed = 1",
        sql_conn_id="points_db",
        target_type="pass",
        value="You have {points} points",
        notification_label="Points",
        max_notifications=1_000_000,
        report_path=REPORTS + "/{{ run_id }}/points.jsonl",
    )
    # [END howto_sql]
