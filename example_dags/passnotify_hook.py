"""The API from a task of your own: send, look the ticket up, take the message away.

Needs the connection ``passnotify_default``. A hook keeps no journal: where the task dies half-way, a retry would send
again, so these tasks have no retries.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook

with DAG(
    dag_id="passnotify_hook",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_hook]
    @task(retries=0)
    def tell_customer(pass_id: int) -> int:
        """Send, and return the ticketId."""
        target = {"target_type": "pass", "pass_id": pass_id}
        return PassNotifyHook().send_notification(target, value="Your table is ready.", label="Restaurant")

    @task
    def look_up(ticket_id: int) -> str:
        """Return what has become of it; this may be repeated at will."""
        ticket = PassNotifyHook().get_ticket(ticket_id)
        return f"{ticket.status} since {ticket.created_at}"

    look_up(tell_customer(123))
    # [END howto_hook]
