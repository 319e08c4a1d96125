"""Polling, without I/O and without a clock: what one poll cycle says about the server, and when the next one starts.

A poll cycle polls each ticket that has not ended once. :mod:`.ticket_tracker` holds the tickets. Operators and the
sensor poll from the worker, the trigger polls from an event loop.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_passnotify.api.protocol import Verdict

MAX_BACK_OFF = 300.0
"""Seconds. Problems make the interval longer, but not longer than this (or ``poll_interval``, if that is more)."""
MAX_RETRY_AFTER_BETWEEN_POLLS = 900.0
"""The most seconds that a ``Retry-After`` can add between two polls. A longer one is cut to this."""
LAST_POLL_SECONDS = 10.0
"""How many seconds the last poll cycle may take after the time is up."""
NO_ANSWER = "no answer in the time that was left (the API is slow, or requests_per_second holds the look-ups back)"
MIN_INTERVAL = 0.1


@dataclass
class PollCycle:
    """What one poll cycle says about the server.

    :param answered: whether the status of a ticket was read in this cycle.
    :param server_failed: whether the cycle ended early because the server did not answer as it should.
    :param retry_after: seconds that the server asked for, cut to the limit.
    :param problem: the last problem, in words for people.
    """

    answered: bool = False
    server_failed: bool = False
    retry_after: float = 0.0
    problem: str = ""

    def note_failure(self, ticket_id: int, verdict: Verdict) -> bool:
        """Note a poll that was not answered as it should be. Return whether the cycle goes on."""
        self.problem = f"ticket {ticket_id}: {verdict.reason}"
        if verdict.status_code is not None and 200 <= verdict.status_code < 300:
            return True  # a body that cannot be read is a problem of this ticket only
        self.server_failed = True
        self.retry_after = max(self.retry_after, min(verdict.retry_after or 0.0, MAX_RETRY_AFTER_BETWEEN_POLLS))
        return False

    def note_server_problem(self, problem: str) -> None:
        """Note that no ticket could be polled."""
        self.problem, self.server_failed = problem, True


class PollSchedule:
    """The seconds between two cycles: ``poll_interval``, plus or minus 10 %. Longer while the server does not answer.

    :param interval: seconds.
    :param growth: the interval is multiplied by this after each cycle.
    :param longest: the interval does not grow beyond these seconds.
    """

    def __init__(self, interval: float, *, growth: float = 1.0, longest: float | None = None) -> None:
        self._interval = max(interval, MIN_INTERVAL)
        self._growth, self._longest = growth, longest or float("inf")
        self._failed_cycles = 0

    def first(self) -> float:
        """Return the first wait. It is random, so that many tasks that start together are spread over one interval."""
        return random.uniform(0, self._interval)  # noqa: S311 (jitter)

    def next(self, cycle: PollCycle) -> float:
        """Return the wait after a cycle."""
        # A cycle that ended early, but after some answers, made progress. It causes no back-off, but its
        # Retry-After is obeyed.
        no_progress = cycle.server_failed and not cycle.answered
        self._failed_cycles = min(self._failed_cycles + 1, 16) if no_progress else 0
        wait = self._interval
        if self._failed_cycles:
            wait = max(wait, min(wait * 2**self._failed_cycles, MAX_BACK_OFF))
        self._interval = max(self._interval, min(self._interval * self._growth, self._longest))
        wait *= random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
        return max(wait, cycle.retry_after)
