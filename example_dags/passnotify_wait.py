"""Continue only after a notification was sent: wait in the worker, in the triggerer, or with a sensor for many sends.

Needs the connection ``passnotify_default``, and for ``deferrable=True`` a triggerer.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor

with DAG(
    dag_id="passnotify_wait",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_wait_worker]
    tell_customer = SendNotificationOperator(
        task_id="tell_customer",
        target_type="external_pass",
        template_id="12345",
        pass_external_id="my_custom_pass_id",
        value="Your table is ready.",
        wait_for_completion=True,
        poll_interval=1,
        timeout=timedelta(minutes=5),
    )
    # [END howto_wait_worker]

    # [START howto_wait_deferrable]
    tell_everyone = SendNotificationOperator(
        task_id="tell_everyone",
        target_type="template",
        template_id="123",
        value="We are open until 10 pm today.",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(hours=1),
    )
    # [END howto_wait_deferrable]

    # [START howto_wait_words]
    take_away = DeleteNotificationOperator(
        task_id="take_away",
        target_type="template",
        template_id="123",
        wait_for_completion=True,
        poll_interval=1,
        success_statuses=["ARCHIVED"],
        failure_statuses=["VANISHED"],
    )
    # [END howto_wait_words]

    # [START howto_sensor]
    send_to_passes = SendNotificationOperator.partial(
        task_id="send_to_passes",
        target_type="pass",
        value="Your gate has changed: B 42.",
    ).expand(pass_id=[123, 124, 125])

    all_out = NotificationTicketSensor(
        task_id="all_out",
        ticket_id=send_to_passes.output,
        deferrable=True,
        poke_interval=2,
        timeout=timedelta(minutes=30),
    )
    # [END howto_sensor]

    # [START howto_sensor_xcom]
    @task
    def report(states: list[dict[str, object]]) -> int:
        """The sensor's XCom has the final state of each ticket, in the same order."""
        return sum(state["state"] == "succeeded" for state in states)

    report(all_out.output)  # type: ignore[arg-type]
    # [END howto_sensor_xcom]

    tell_everyone >> take_away
