"""DAGs whose callbacks ring, for the tests of the notifier."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
AIRFLOW = tuple(map(int, __version__.split(".")[:2]))


def alert(pass_id: int, value: str, **arguments: Any) -> PassNotifyNotifier:
    """Return a notifier that rings one phone."""
    return PassNotifyNotifier(target_type="pass", pass_id=pass_id, value=value, **arguments)


with DAG(
    "alert_failure",
    schedule=None,
    start_date=START,
    on_failure_callback=alert(125, "{{ dag_run.dag_id }}: {{ reason }}"),
):

    @task(
        retries=1,
        retry_delay=timedelta(seconds=1),
        on_retry_callback=alert(123, "{{ ti.task_id }} is tried again"),
        on_failure_callback=alert(124, "{{ ti.task_id }} has failed in try {{ ti.try_number }}"),
    )
    def fail() -> None:
        """Fail twice."""
        raise RuntimeError

    fail()

with DAG(
    "alert_success",
    schedule=None,
    start_date=START,
    on_success_callback=alert(126, "{{ dag_run.dag_id }}: {{ reason }}"),
):

    @task(on_success_callback=alert(123, "{{ ti.task_id }} is done"))
    def succeed() -> None:
        """Succeed."""

    succeed()

with DAG(
    "alert_wrong",
    schedule=None,
    start_date=START,
    on_failure_callback=alert(125, "not sent", passnotify_conn_id="closed"),
):

    @task(on_failure_callback=alert(124, "not sent", passnotify_conn_id="no_such_connection"))
    def fail_unheard() -> None:
        """Fail."""
        raise RuntimeError

    fail_unheard()

with DAG(
    "alert_storm",
    schedule=None,
    start_date=START,
    default_args={
        "on_failure_callback": alert(
            124,
            "{{ dag_run.dag_id }} has failures",
            at_most_every=timedelta(days=365),
            dedupe_key="{{ run_id }}",
            journal_path="{{ dag_run.conf['folder'] }}",
        )
    },
):

    @task
    def fail_together(number: int) -> None:
        """Fail."""
        raise RuntimeError(number)

    fail_together.expand(number=list(range(30)))


def late(dag_id: str, callback: Any, **arguments: Any) -> None:
    """Make a DAG that misses its deadline after a second, and runs until a file is there."""
    deadline: Any = import_module("airflow.sdk.definitions.deadline")  # Airflow 3.1 has all of them there
    dag: Any = DAG(
        dag_id,
        schedule=None,
        start_date=START,
        deadline=deadline.DeadlineAlert(
            reference=deadline.DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(seconds=1),
            callback=callback(PassNotifyNotifier, kwargs={"target_type": "pass", "pass_id": 123, **arguments}),
        ),
    )
    with dag:

        @task
        def work(path: str) -> None:
            """Take as long as the test wants it to."""
            while not Path(path).exists():
                time.sleep(0.2)

        work("{{ dag_run.conf['until'] }}")


if AIRFLOW >= (3, 1):
    callbacks: Any = import_module("airflow.sdk.definitions.deadline")
    message = "{{ dag_run.dag_id }} is late, it had to end by {{ deadline.deadline_time }}"
    late("deadline_async", callbacks.AsyncCallback, value=message)
    late("deadline_wrong", callbacks.AsyncCallback, value="not sent", passnotify_conn_id="no_such_connection")
    late("deadline_gap", callbacks.AsyncCallback, value="{{ ti.task_id }} is late")
    if AIRFLOW >= (3, 2):
        late("deadline_sync", callbacks.SyncCallback, value="{{ dag_run.dag_id }} is late")
