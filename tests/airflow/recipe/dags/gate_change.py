"""Tells the passengers of a flight about their gate."""

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator

with DAG("gate_change", schedule=None, params={"flight": "BA 117", "gate": "B7"}):
    SendNotificationOperator(
        task_id="tell_passengers",
        target_type="tag",
        tag="{{ params.flight }}",
        template_id="77",
        value="Your gate is {{ params.gate }}",
        retries=2,
        retry_delay=timedelta(seconds=0),
    )
