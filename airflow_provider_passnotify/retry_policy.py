"""Airflow's own retries start no earlier than the API asked for. Before Airflow 3.3 that is not possible."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow_provider_passnotify.compat import find
from airflow_provider_passnotify.exceptions import BatchIncompleteError, PassNotifyApiError

log = logging.getLogger(__name__)

MAX_RETRY_DELAY = timedelta(days=1)
"""Airflow's own limit; a server could ask to wait until the year 9999."""


@functools.cache
def retry_policy() -> Any:
    """Return the policy that obeys ``Retry-After``, or ``None`` where Airflow has no retry policies."""
    policy, decision = find("RetryPolicy"), find("RetryDecision")
    if policy is None or decision is None:
        return None

    class RetryAfterPolicy(policy):  # type: ignore[misc, valid-type]  # a class, found by name
        """Retries no earlier than ``Retry-After``, and no earlier than the task's own ``retry_delay``."""

        def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> Any:  # noqa: ARG002
            if not isinstance(exception, PassNotifyApiError | BatchIncompleteError) or exception.retry_after is None:
                return decision.default()
            asked = min(timedelta(seconds=exception.retry_after), MAX_RETRY_DELAY)
            own = context["task"].retry_delay if context else timedelta()
            return decision.retry(delay=max(asked, own), reason=f"Retry-After: {asked.total_seconds():.0f} s")

    return RetryAfterPolicy()


@contextmanager
def retry_after_told(operator: Any) -> Iterator[None]:
    """Log a warning if a call failed with ``Retry-After`` and this Airflow cannot wait for that long.

    :param operator: the task's.
    """
    try:
        yield
    except (PassNotifyApiError, BatchIncompleteError) as error:
        if error.retry_after is not None and retry_policy() is None:
            log.warning(
                "The API asks to wait %.0f s (Retry-After), but this Airflow retries after retry_delay (%s). "
                "What you can do: make retry_delay longer.",
                error.retry_after,
                operator.retry_delay,
            )
        raise
