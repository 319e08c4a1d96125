"""Batches that go on from reports of others: by XCom, by template, mapped, and from arguments that come to nothing."""

from __future__ import annotations

import tempfile
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator

REPORTS = f"{tempfile.gettempdir()}/reports/{{{{ run_id }}}}"
PEOPLE = [{"pass_id": 123}, {"pass_id": 124}, {"pass_id": 125}]
BASE = {"target_type": "pass", "value": "{{ task.task_id }}"}

with DAG("resumed", schedule=None):
    first = SendNotificationBatchOperator(
        task_id="first", notifications=PEOPLE[:2], report_path=f"{REPORTS}/first.jsonl", **BASE
    )
    by_xcom = SendNotificationBatchOperator(
        task_id="by_xcom",
        notifications=PEOPLE,
        resume_from=first.output["report"],  # type: ignore[index]
        report_path=f"{REPORTS}/by_xcom.jsonl",
        retries=1,
        retry_delay=timedelta(seconds=0),
        **BASE,
    )
    by_template = SendNotificationBatchOperator(
        task_id="by_template",
        notifications=[*PEOPLE, {"pass_id": 223}],
        resume_from=[f"{REPORTS}/first.jsonl", by_xcom.output["report"]],  # type: ignore[index]
        **BASE,
    )

    shards = SendNotificationBatchOperator.partial(
        task_id="shards", report_path=f"{REPORTS}/shard-{{{{ ti.map_index }}}}.jsonl", **BASE
    ).expand(notifications=[[{"pass_id": 323}], [{"pass_id": 324}]])
    all_shards = SendNotificationBatchOperator(
        task_id="all_shards",
        notifications=[{"pass_id": 323}, {"pass_id": 324}, {"pass_id": 325}],
        resume_from=shards.output["report"],  # type: ignore[index]
        **BASE,
    )
    own_shard = SendNotificationBatchOperator.partial(
        task_id="own_shard", resume_from=f"{REPORTS}/shard-{{{{ ti.map_index }}}}.jsonl", **BASE
    ).expand(notifications=[[{"pass_id": 323}, {"pass_id": 423}], [{"pass_id": 324}, {"pass_id": 424}]])
    shards >> own_shard
    given_shard = SendNotificationBatchOperator.partial(
        task_id="given_shard", notifications=[{"pass_id": 323}, {"pass_id": 324}], **BASE
    ).expand(resume_from=shards.output.map(lambda summary: summary["report"]))  # another key cannot be mapped over
    all_shards >> given_shard

with DAG("resumed_from_nothing", schedule=None):

    @task
    def nothing() -> None:
        """Return what a task returns that found nothing."""

    @task
    def no_paths() -> list[str]:
        return []

    @task
    def some() -> list[str | None]:
        return [f"{tempfile.gettempdir()}/missing.jsonl", None]

    @task
    def odd() -> list[object]:
        return [None, [], ""]

    arguments = {"notifications": PEOPLE, **BASE}
    SendNotificationBatchOperator(task_id="none", resume_from=nothing(), **arguments)
    SendNotificationBatchOperator(task_id="empty", resume_from=no_paths(), **arguments)
    SendNotificationBatchOperator(task_id="partly", resume_from=some(), **arguments)
    SendNotificationBatchOperator(task_id="text", resume_from="{{ params.get('x', '') }}", **arguments)
    SendNotificationBatchOperator(task_id="missing", resume_from=f"{REPORTS}/missing.jsonl", **arguments)
    SendNotificationBatchOperator.partial(task_id="mapped", **arguments).expand(resume_from=odd())
    not_pushed = SendNotificationBatchOperator(task_id="without_report", notifications=[], **BASE)
    SendNotificationBatchOperator(
        task_id="not_pushed",
        resume_from=not_pushed.output["report"],  # type: ignore[index]
        **arguments,
    )
