"""A flash sale: tell everybody whose pass has a tag, but not after the sale has ended.

Needs the connection ``passnotify_default``. A person starts it and enters the parameters in Airflow's form.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator

with DAG(
    dag_id="passnotify_flash_sale",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    params={
        "tag": "campaign123",
        "template": "12345",
        "text": "20% off any one regular priced item",
        "ends": "2035-12-24T18:00:00+01:00",
    },
    doc_md=__doc__,
) as dag:
    # [START howto_flash_sale]
    tell_everybody = SendNotificationOperator(
        task_id="tell_everybody",
        target_type="tag",
        tag="{{ params.tag }}",
        template_id="{{ params.template }}",
        value="{{ params.text }}",
        notification_label="Today only",
        send_before="{{ params.ends }}",
    )
    # [END howto_flash_sale]
