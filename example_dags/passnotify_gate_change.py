"""A gate has changed: tell the passengers of this flight, each on their own pass, as soon as the news is there.

Needs the connection ``passnotify_default``. The first DAG plays the airport's feed: it updates an asset, and this
starts the second DAG. A run that an asset starts has no logical date, so nothing here uses ``ds`` and the like.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, get_current_context, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

GATE_CHANGE = Asset("passnotify://example/gate_change")
PASSENGERS = {"BA 117": [123, 124, 125]}  # yours come from a table

with DAG(
    dag_id="passnotify_gate_feed",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    params={"flight": "BA 117", "gate": "B 42"},
    doc_md=__doc__,
) as feed:

    @task(outlets=[GATE_CHANGE])
    def announce() -> None:
        """Say which flight has which gate now."""
        context = get_current_context()
        params = context["params"]
        context["outlet_events"][GATE_CHANGE].extra = {"flight": params["flight"], "gate": params["gate"]}

    announce()

with DAG(
    dag_id="passnotify_gate_change",
    schedule=[GATE_CHANGE],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["passnotify"],
    doc_md=__doc__,
) as dag:
    # [START howto_gate_change]
    @task
    def find_passes() -> list[dict[str, Any]]:
        """Return a row for each passenger of each flight whose gate has changed."""
        context: Any = get_current_context()
        name = "triggering_asset_events" if "triggering_asset_events" in context else "triggering_dataset_events"
        changes = [event.extra for events in context[name].values() for event in events]
        return [
            {"pass_id": pass_id, "flight": change["flight"], "gate": change["gate"]}
            for change in changes
            for pass_id in PASSENGERS.get(change["flight"], [])
        ]

    tell_passengers = SendNotificationBatchOperator(
        task_id="tell_passengers",
        notifications=find_passes(),
        target_type="pass",
        value="{flight}: your gate is now {gate}",
        notification_label="Gate",
        max_notifications=1_000,
    )
    # [END howto_gate_change]
