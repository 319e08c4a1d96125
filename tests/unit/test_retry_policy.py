"""Retry-After is obeyed if this Airflow has retry policies. If not, it is in the log."""

from __future__ import annotations

import pytest

from airflow_provider_passnotify import retry_policy
from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.exceptions import NotSentError
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationBatchOperator, SendNotificationOperator

BUSY = NotSentError(Request("POST", "/x"), Verdict(Outcome.NOT_SENT, "busy", retry_after=77))


@pytest.mark.parametrize("can_be_told", [True, False])
def test_where_airflow_cannot_be_told_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, can_be_told: bool
) -> None:
    monkeypatch.setattr(retry_policy, "retry_policy", lambda: object() if can_be_told else None)
    task = SendNotificationOperator(task_id="t", target_type="pass", pass_id=1, value="x")
    with pytest.raises(NotSentError), retry_policy.retry_after_told(task):
        raise BUSY
    assert ("The API asks to wait 77 s (Retry-After)" in caplog.text) is not can_be_told


def test_every_operator_has_the_policy() -> None:
    policy = retry_policy.retry_policy()
    delete = DeleteNotificationBatchOperator(task_id="d", notifications=[])
    send = SendNotificationOperator(task_id="t", target_type="pass", pass_id=1, value="x")
    assert [getattr(task, "retry_policy", None) for task in (delete, send)] == [policy, policy]
