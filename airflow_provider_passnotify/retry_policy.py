"""Steers Airflow's own retries: not earlier than the API asked for. Before Airflow 3.3 there is no way to."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

from airflow_provider_passnotify.exceptions import BatchIncompleteError, PassNotifyApiError

MAX_RETRY_DELAY = timedelta(days=1)
"""Airflow's own bound; a server may ask for the year 9999."""


@functools.cache
def retry_policy() -> Any:
    """Return the policy that obeys ``Retry-After``, or ``None`` where Airflow has no retry policies."""
    try:
        from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
    except (ImportError, AttributeError):
        return None

    class RetryAfterPolicy(RetryPolicy):
        """Retries no earlier than ``Retry-After``, and no earlier than the task's own ``retry_delay``."""

        def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> Any:  # noqa: ARG002
            if not isinstance(exception, PassNotifyApiError | BatchIncompleteError) or exception.retry_after is None:
                return RetryDecision.default()
            asked = min(timedelta(seconds=exception.retry_after), MAX_RETRY_DELAY)
            own = context["task"].retry_delay if context else timedelta()
            return RetryDecision.retry(delay=max(asked, own), reason=f"Retry-After: {asked.total_seconds():.0f} s")

    return RetryAfterPolicy()
