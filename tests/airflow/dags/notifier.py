"""Callbacks of tasks and of a DAG."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier

EACH = PassNotifyNotifier(target_type="pass", pass_id=123, value="{{ ti.task_id }} {{ ti.map_index }} failed")
ONCE = PassNotifyNotifier(
    target_type="pass",
    pass_id=124,
    value="{{ dag.dag_id }} has failures",
    at_most_every=timedelta(days=365),
    dedupe_key="{{ run_id }}",
    journal_path="{{ dag_run.conf['folder'] }}",
)
BROKEN = PassNotifyNotifier(target_type="pass", pass_id=125, value="{{ no_such_thing }}")

with DAG(
    "notifier",
    schedule=None,
    render_template_as_native_obj=True,
    default_args={"on_failure_callback": [BROKEN, EACH, ONCE]},
    on_failure_callback=PassNotifyNotifier(
        target_type="tag", tag="campaign123", template_id=12345, value="{{ dag.dag_id }}: {{ reason }}"
    ),
):

    @task
    def fail(number: int) -> None:
        """Fail."""
        raise RuntimeError(number)

    @task(on_success_callback=PassNotifyNotifier(target_type="pass", pass_id=126, value="{{ ti.task_id }}: 1"))
    def succeed() -> None:
        """Succeed."""

    fail.expand(number=list(range(12)))
    succeed()
