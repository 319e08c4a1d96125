"""Templates with Jinja's native types, functions in template fields, and a sensor whose upstream was skipped."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor


@task
def conf(key, dag_run=None):
    """Return what the run's conf has."""
    return dag_run.conf[key]


def from_conf(key):
    """Return a function for a template field."""
    return lambda context, jinja_env: context["dag_run"].conf[key]  # noqa: ARG005


for native in (False, True):
    with DAG("texts_native" if native else "texts_plain", schedule=None, render_template_as_native_obj=native):
        text = "{{ dag_run.conf['text'] }}"
        SendNotificationOperator(task_id="constant", target_type="pass", pass_id=123, value="1_2_3\n")
        SendNotificationOperator(task_id="plain", target_type="pass", pass_id=124, value=text, notification_label=text)
        SendNotificationOperator.partial(task_id="mapped", target_type="pass", value=text).expand(pass_id=[125, 223])
        SendNotificationOperator.partial(task_id="upstream", target_type="pass", pass_id=323).expand(
            value=conf.override(task_id="texts")("texts")
        )
        SendNotificationOperator(task_id="from_function", target_type="pass", pass_id=324, value=from_conf("text"))
        SendNotificationOperator(task_id="id", target_type="pass", pass_id=text, value="x")

with DAG("nothing", schedule=None):
    nothing = conf.override(task_id="nothing")("nothing")
    SendNotificationOperator(task_id="deadline", target_type="pass", pass_id=123, value="x", send_before=nothing)
    SendNotificationOperator(task_id="value", target_type="pass", pass_id=123, value="{{ ti.xcom_pull('nothing') }}")
    SendNotificationOperator(
        task_id="label", target_type="pass", pass_id=124, value="x", notification_label="{{ dag_run.conf['empty'] }}"
    )
    SendNotificationBatchOperator(
        task_id="report", target_type="pass", value="x", notifications=[{"pass_id": 123}], report_path=nothing
    )
    SendNotificationOperator.partial(task_id="expanded", target_type="pass", value="x", pass_id=123).expand(
        send_before=conf.override(task_id="deadlines")("deadlines")
    )

with DAG("expanded_kwargs", schedule=None):
    SendNotificationOperator.partial(task_id="upstream", target_type="pass").expand_kwargs(
        conf.override(task_id="rows")("rows")
    )
    SendNotificationOperator.partial(task_id="literal", target_type="pass").expand_kwargs(
        [{"pass_id": 124, "value": "{{ 6 * 7 }}"}]
    )

with DAG("skipped_sends", schedule=None):

    @task
    def skip(dag_run=None):
        """Skip what follows."""
        if dag_run.conf["skip"]:
            raise AirflowSkipException

    sent = SendNotificationOperator(task_id="sent", target_type="pass", pass_id=123, value="x")
    late = SendNotificationOperator(task_id="late", target_type="pass", pass_id=124, value="x")
    late_batch = SendNotificationBatchOperator(
        task_id="late_batch", target_type="pass", value="x", notifications=[{"pass_id": 125}]
    )
    gone = SendNotificationOperator(
        task_id="gone", target_type="pass", pass_id="{{ dag_run.conf['gone'] }}", value="x", do_xcom_push=False
    )
    skip() >> [late, late_batch]
    NotificationTicketSensor(
        task_id="wait",
        ticket_id=[sent.output, late.output, late_batch.output["ticket_ids"]],  # type: ignore[index]
        trigger_rule="none_failed",
        poke_interval=0.1,
    )
    NotificationTicketSensor(
        task_id="wait_for_all", ticket_id=[sent.output, gone.output], trigger_rule="all_done", poke_interval=0.1
    )

with DAG("mapped_sends", schedule=None):
    each = SendNotificationOperator.partial(task_id="each", target_type="pass", value="x").expand(
        pass_id=conf.override(task_id="ids")("ids")
    )
    some = SendNotificationOperator.partial(task_id="some", target_type="pass", pass_id=123, value="y").expand(
        send_before=["2001-01-01", "2100-01-01"]
    )
    for number, given in enumerate((each.output, [each.output, some.output], some.output)):
        NotificationTicketSensor(task_id=f"wait_{number}", ticket_id=given, trigger_rule="all_done", poke_interval=0.1)
