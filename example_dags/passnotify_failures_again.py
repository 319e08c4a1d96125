"""Failures again: a batch with a report, and then another message to the people whom the first one did not reach.

Needs the connection ``passnotify_default``. Both batches have a journal. If one is retried or cleared, it sends only
what was not sent.
"""

from __future__ import annotations

import tempfile
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

REPORTS = f"{tempfile.gettempdir()}/passnotify"  # on several machines a bucket: "s3://my_aws@reports/passnotify"

with DAG(
    dag_id="passnotify_failures_again",
    schedule="0 9 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_batch]
    @task
    def find_customers() -> list[dict[str, Any]]:
        """Rows in the operators' own vocabulary; other columns may fill the text."""
        return [
            {"pass_id": 123, "points": 1250},
            {"pass_id": 124, "points": 80},
            {"pass_id": 125, "points": None},
            {"target_type": "tag", "tag": "campaign123", "template_id": 12345, "value": "Points count double today"},
        ]

    customers = find_customers()

    send_points = SendNotificationBatchOperator(
        task_id="send_points",
        notifications=customers,
        target_type="pass",
        value="You have {points} points",
        notification_label="Points",
        max_notifications=10_000,
        max_failures=0.5,
        report_path=REPORTS + "/{{ run_id }}/points.jsonl",
    )
    # [END howto_batch]

    # [START howto_failures_again]
    send_to_the_others = SendNotificationBatchOperator(
        task_id="send_to_the_others",
        notifications=customers,
        resume_from=send_points.output["report"],  # passes that are "sent" in this report are left out
        target_type="pass",
        value="See your points in the app",
    )
    # [END howto_failures_again]
