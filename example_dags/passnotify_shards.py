"""Millions of customers: the same query in shards. Each shard is a task, on as many workers as there are.

Needs the connections ``passnotify_default`` and ``points_db``: any database of Airflow's common SQL provider, with a
table ``customers`` of ``pass_id``.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator

SHARDS = 4
POOL = "default_pool"  # better a pool for this only: its slots limit how many shards send at once, on all workers

with DAG(
    dag_id="passnotify_shards",
    schedule="0 9 1 * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_shards]
    send_in_shards = SqlToPassNotifyOperator.partial(
        task_id="send_in_shards",
        sql_conn_id="points_db",
        target_type="pass",
        value="Your points expire at the end of the month",
        pool=POOL,
    ).expand(sql=[f"SELECT pass_id FROM customers WHERE pass_id % {SHARDS} = {shard}" for shard in range(SHARDS)])
    # [END howto_shards]
