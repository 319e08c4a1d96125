"""Mapped sends: over a literal, over what a task returned, and over whole targets."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator

with DAG("mapped", schedule=None):
    SendNotificationOperator.partial(task_id="literal", target_type="pass", value="literal").expand(
        pass_id=[123, "124", 125]
    )

    @task
    def choose(dag_run=None):
        """Return what the run's conf has."""
        return dag_run.conf["choice"]

    SendNotificationOperator.partial(task_id="chosen", target_type="pass", value="chosen").expand(pass_id=choose())

    kwargs = [
        {"target_type": "pass", "pass_id": 223, "value": "kwargs to a pass"},
        {"target_type": "tag", "tag": "campaign123", "template_id": "12345", "value": "kwargs to a tag"},
    ]
    sent = SendNotificationOperator.partial(task_id="kwargs").expand_kwargs(kwargs)

    @task
    def count(tickets):
        """Take the tickets of all mapped tasks."""
        return len(list(tickets))

    deleted = DeleteNotificationOperator.partial(task_id="deleted", target_type="pass").expand(pass_id=[223, 123])
    count(sent.output) >> deleted
