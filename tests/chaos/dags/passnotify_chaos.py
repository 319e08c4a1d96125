"""The tasks for chaos: each kind of send, in both delivery modes. The passes are in the run's conf."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from tests.chaos import folder_files

# The text is different in each try, as with a careless template. A retry must not take it for another message.
VALUE = "{{ macros.datetime.now() }} {{ 'x' * (dag_run.conf['size'] | int) }}"
PUSH = {
    "task_id": "push",
    "target_type": "pass",
    "passnotify_conn_id": "{{ dag_run.conf['connection'] }}",
    "retries": 9,
    "retry_delay": timedelta(seconds=1),
}
if folder_files.is_used():
    folder_files.attach_files()
    PUSH["on_execute_callback"] = folder_files.tell
SEND = {**PUSH, "value": VALUE}
ONE = {"pass_id": "{{ dag_run.conf['passes'][0] }}"}
WAIT = {"wait_for_completion": True, "poll_interval": 1}
SINGLE = {
    "plain": {},
    "once": {"retries": 0},
    "timed": {"execution_timeout": timedelta(seconds=10)},  # a busy machine needs some until the request
    "waiting": WAIT,
    "deferred": {**WAIT, "deferrable": True},
}


def dag(kind: str, delivery: str) -> DAG:
    """Return an empty DAG for one kind and mode."""
    return DAG(
        dag_id=f"chaos_{kind}_{delivery}",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=100,
        max_active_tasks=100,
    )


@task
def list_passes(dag_run=None):
    """Return the passes of this run."""
    return dag_run.conf["passes"]


for delivery in ("at_most_once", "at_least_once"):
    for kind, arguments in SINGLE.items():
        with dag(kind, delivery) as made:
            SendNotificationOperator(**{**SEND, **ONE, **arguments}, delivery=delivery)
        globals()[made.dag_id] = made

    with dag("mapped", delivery) as made:
        SendNotificationOperator.partial(**SEND, delivery=delivery).expand(pass_id=list_passes())
    globals()[made.dag_id] = made

with dag("delete", "at_most_once") as chaos_delete:
    DeleteNotificationOperator(**PUSH, **ONE)
