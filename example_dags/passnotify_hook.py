"""The API from your own task: send, look up the ticket, delete the message.

Needs the connection ``passnotify_default``. ``send_notification`` keeps no journal. If its task dies in the middle, a
retry would send again, so this task has no retries. ``send_once`` keeps a journal.
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
        """Return the status of the ticket. This may be repeated as often as you like."""
        ticket = PassNotifyHook().get_ticket(ticket_id)
        return f"{ticket.status} since {ticket.created_at}"

    look_up(tell_customer(123))
    # [END howto_hook]

    # [START howto_send_once]
    @task(retries=2)
    def tell_everyone(pass_ids: list[int]) -> list[int]:
        """Send to each pass once. A retry returns the tickets of the messages that were sent."""
        hook = PassNotifyHook()
        targets = [{"target_type": "pass", "pass_id": pass_id} for pass_id in pass_ids]
        return [hook.send_once(target, value="The kitchen closes at ten.") for target in targets]

    tell_everyone([223, 224])
    # [END howto_send_once]
