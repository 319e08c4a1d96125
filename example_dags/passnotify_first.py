"""The first DAG: one message to everybody whose pass has a tag.

Needs the connection ``passnotify_default``.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator

with DAG(
    dag_id="passnotify_first",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    SendNotificationOperator(
        task_id="tell_everybody",
        target_type="tag",
        tag="campaign123",
        template_id="12345",
        value="20% off any one regular priced item",
        notification_label="Today only",
    )
