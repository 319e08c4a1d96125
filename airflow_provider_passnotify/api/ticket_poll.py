"""Polling, without I/O and without a clock: what one poll cycle said of the server, and when the next one is due.

A poll cycle asks once for each ticket that has not ended; :mod:`.ticket_tracker` has the tickets. Operators and the
sensor poll from the worker, the trigger from an event loop.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_passnotify.api.protocol import Verdict

MAX_BACK_OFF = 300.0
"""Seconds: problems make the interval no longer than this (or than ``poll_interval``, if that is more)."""
MAX_RETRY_AFTER_BETWEEN_POLLS = 900.0
"""Seconds of a ``Retry-After`` that are obeyed between two polls."""
LAST_POLL_SECONDS = 10.0
"""How long the last poll cycle may take, once the time is up."""
NO_ANSWER = "no answer in the time that was left (the API is slow, or requests_per_second holds the look-ups back)"
MIN_INTERVAL = 0.1


@dataclass
class PollCycle:
    """What one poll cycle said of the server.

    :param answered: whether the status of a ticket was read in this cycle.
    :param server_failed: whether the cycle was cut short because the server did not answer as it should.
    :param retry_after: seconds that the server asked for, as far as they are obeyed.
    :param problem: the last problem, for people.
    """

    answered: bool = False
    server_failed: bool = False
    retry_after: float = 0.0
    problem: str = ""

    def note_failure(self, ticket_id: int, verdict: Verdict) -> bool:
        """Note a poll that was not answered as it should be; return whether the cycle goes on."""
        self.problem = f"ticket {ticket_id}: {verdict.reason}"
        if verdict.status_code is not None and 200 <= verdict.status_code < 300:
            return True  # a body that cannot be read is this ticket's problem
        self.server_failed = True
        self.retry_after = max(self.retry_after, min(verdict.retry_after or 0.0, MAX_RETRY_AFTER_BETWEEN_POLLS))
        return False

    def note_server_problem(self, problem: str) -> None:
        """Note that nothing could be asked at all."""
        self.problem, self.server_failed = problem, True


class PollSchedule:
    """The seconds between two cycles: ``poll_interval``, 10 % more or less, longer while the server answers nothing.

    :param interval: seconds.
    :param growth: what the interval is multiplied by after each cycle.
    :param longest: seconds at which the growth ends.
    """

    def __init__(self, interval: float, *, growth: float = 1.0, longest: float | None = None) -> None:
        self._interval = max(interval, MIN_INTERVAL)
        self._growth, self._longest = growth, longest or float("inf")
        self._failed_cycles = 0

    def first(self) -> float:
        """Return a wait that spreads many who begin at the same moment over one interval."""
        return random.uniform(0, self._interval)  # noqa: S311 (jitter)

    def next(self, cycle: PollCycle) -> float:
        """Return the wait after a cycle."""
        # A cycle that was cut short after some answers made progress: its Retry-After says all there is to wait for.
        no_progress = cycle.server_failed and not cycle.answered
        self._failed_cycles = min(self._failed_cycles + 1, 16) if no_progress else 0
        wait = self._interval
        if self._failed_cycles:
            wait = max(wait, min(wait * 2**self._failed_cycles, MAX_BACK_OFF))
        self._interval = max(self._interval, min(self._interval * self._growth, self._longest))
        wait *= random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
        return max(wait, cycle.retry_after)
