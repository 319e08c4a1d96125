"""One task for each target type: a DAG that sends, and a DAG that deletes."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator

SEGMENT = "3b13666df-e5b3-4e42-8919-f8d63bd7ce2a"
TARGETS = {
    "pass": {"pass_id": 123},
    "external_pass": {"template_id": 12345, "pass_external_id": "my_custom_pass_id"},
    "segment": {"project_id": "12345", "segment_id": SEGMENT, "template_id": "6789"},
    "tag": {"tag": "campaign123", "template_id": "12345"},
    "template": {"template_id": "123"},
    "external_template": {"template_external_id": "12345"},
}

with DAG("send_to_every_target", schedule=None):
    for target_type, ids in TARGETS.items():
        SendNotificationOperator(
            task_id=target_type, target_type=target_type, value=f"to {target_type}", notification_label="News", **ids
        )

with DAG("delete_from_every_target", schedule=None):
    for target_type, ids in TARGETS.items():
        DeleteNotificationOperator(task_id=target_type, target_type=target_type, **ids)
