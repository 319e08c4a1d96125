"""An alert on failure: ring the phone of the person on duty, at most once an hour, even if many tasks fail.

Needs the connection ``passnotify_default``, and a folder that all workers can read, to remember the last alert.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier

FOLDER = f"{tempfile.gettempdir()}/passnotify"  # on several machines a bucket: "s3://my_aws@alerts/passnotify"

# [START howto_alert]
ring_whoever_is_on_duty = PassNotifyNotifier(
    target_type="pass",
    pass_id=123,
    value="{{ dag_run.dag_id }}: {{ ti.task_id }} has failed",
    label="Airflow",
    at_most_every=timedelta(hours=1),
    dedupe_key="{{ dag_run.dag_id }}",
    journal_path=FOLDER,
)
# [END howto_alert]

with DAG(
    dag_id="passnotify_alert",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"on_failure_callback": ring_whoever_is_on_duty},
    tags=["passnotify"],
    params={"broken": []},
    doc_md=__doc__,
) as dag:

    @task
    def load(part: int, params: Any = None) -> None:
        """Load a part of the data; the parameter ``broken`` makes some fail, to show the alert."""
        if part in params["broken"]:
            raise ValueError(f"part {part} is broken")

    load.expand(part=[1, 2, 3])
