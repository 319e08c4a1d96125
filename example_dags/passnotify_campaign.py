"""A campaign, every morning: tell a tag, a template, one customer and a few passes. Delete the messages at the end.

Needs the connection ``passnotify_default``. ``make demo`` runs it against the sandbox.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator

with DAG(
    dag_id="passnotify_campaign",
    schedule="0 9 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_send]
    send_to_tag = SendNotificationOperator(
        task_id="send_to_tag",
        target_type="tag",
        tag="campaign123",
        template_id="12345",
        value="20% off any one regular priced item",
        notification_label="Last Notification",
    )
    # [END howto_send]

    send_to_template = SendNotificationOperator(
        task_id="send_to_template",
        target_type="template",
        template_id="123",
        value="We are open until 10 pm today.",
    )

    send_to_customer = SendNotificationOperator(
        task_id="send_to_customer",
        target_type="external_pass",
        template_id="12345",
        pass_external_id="my_custom_pass_id",
        value="Your table is ready.",
    )

    # [START howto_map]
    send_to_passes = SendNotificationOperator.partial(
        task_id="send_to_passes",
        target_type="pass",
        value="Your gate has changed: B 42.",
    ).expand(pass_id=[123, 124, 125])
    # [END howto_map]

    # [START howto_xcom]
    @task
    def list_tickets(tag: int, template: int, customer: int, passes: list[int]) -> list[int]:
        """Every send returns its ticketId. Downstream tasks get it like any XCom."""
        return [tag, template, customer, *passes]

    tickets = list_tickets(
        tag=send_to_tag.output,
        template=send_to_template.output,
        customer=send_to_customer.output,
        passes=send_to_passes.output,
    )
    # [END howto_xcom]

    # [START howto_delete]
    delete_from_tag = DeleteNotificationOperator(
        task_id="delete_from_tag",
        target_type="tag",
        tag="campaign123",
        template_id="12345",
    )
    # [END howto_delete]

    tickets >> delete_from_tag
