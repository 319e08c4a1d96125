"""A send whose arguments all come from the run's conf, and one that takes XComs."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator

NO_TIME = timedelta(0)

with DAG("templated", schedule=None):
    SendNotificationOperator(
        task_id="send",
        retries=2,
        retry_delay=NO_TIME,
        target_type="{{ dag_run.conf['target_type'] }}",
        pass_id="{{ dag_run.conf['pass_id'] }}",
        value="{{ dag_run.conf['value'] }}",
        notification_label="{{ dag_run.conf['label'] }}",
        passnotify_conn_id="{{ dag_run.conf['conn_id'] }}",
    )

with DAG("from_xcom", schedule=None):

    @task
    def choose(dag_run=None):
        """Return what the run's conf has."""
        return dag_run.conf["pass_id"]

    first = SendNotificationOperator(
        task_id="first",
        retries=2,
        retry_delay=NO_TIME,
        target_type="pass",
        pass_id=choose(),
        value="Your table is ready.",
    )
    second = SendNotificationOperator(
        task_id="second", target_type="pass", pass_id=124, value=f"The first was ticket {first.output}."
    )
    first >> second  # Airflow does not see a dependency inside a text
