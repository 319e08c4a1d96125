"""Batches in DAGs: literal rows, XComs, mapped, failing, retried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

START = pendulum.datetime(2026, 1, 1, tz="UTC")

with DAG("batches", schedule=None, start_date=START):

    @task
    def find_rows() -> list[dict[str, Any]]:
        return [{"pass_id": 123, "points": 5}, {"pass_id": 124, "points": 6}]

    @task
    def one_row(pass_id: int) -> dict[str, Any]:
        return {"pass_id": pass_id}

    literal = SendNotificationBatchOperator(
        task_id="literal",
        notifications=[{"pass_id": 123, "value": "{points} }} points"}],
        target_type="pass",
    )
    from_xcom = SendNotificationBatchOperator(
        task_id="from_xcom",
        notifications=find_rows(),
        target_type="pass",
        value="{points} in {{ dag.dag_id }}",
    )
    from_mapped = SendNotificationBatchOperator(
        task_id="from_mapped",
        notifications=one_row.expand(pass_id=[323, 324]),
        target_type="pass",
        value="from mapped tasks",
    )
    shards = SendNotificationBatchOperator.partial(task_id="shards", target_type="pass", value="shard").expand(
        notifications=[[{"pass_id": 223}], [{"pass_id": 224}, {"pass_id": 225}], []]
    )
    no_list = SendNotificationBatchOperator(
        task_id="no_list", notifications=one_row.override(task_id="one")(1), target_type="pass", value="x"
    )
    failing = SendNotificationBatchOperator(
        task_id="failing",
        notifications=[{"pass_id": 423}, {"pass_id": 99}],
        target_type="pass",
        value="partly",
    )

    @task(trigger_rule="all_done")
    def handle(failures: list[dict[str, Any]], tickets: list[int]) -> dict[str, Any]:
        return {"failures": failures, "tickets": tickets}

    handle(failing.output["failures"], failing.output["ticket_ids"])  # type: ignore[index]

    @task
    def take(report: str | None) -> dict[str, Any]:
        return {"report": report}

    take(literal.output["report"])  # type: ignore[index]

with DAG("retried_batch", schedule=None, start_date=START):
    SendNotificationBatchOperator(
        task_id="send",
        notifications=[{"pass_id": 123}, {"pass_id": 124}, {"pass_id": 125}],
        target_type="pass",
        value="try {{ ti.try_number }}",
        retries=1,
        retry_delay=timedelta(seconds=0),
    )

with DAG("waiting_batch", schedule=None, start_date=START):
    SendNotificationBatchOperator(
        task_id="send",
        notifications=[{"pass_id": 123}, {"pass_id": 124}],
        target_type="pass",
        value="wait",
        wait_for_completion=True,
        deferrable=False,
        poll_interval=0.2,
    )
