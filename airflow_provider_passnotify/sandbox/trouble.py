"""The faults that are set, what they have hit so far, and the requests that they hold."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable
from typing import Any

from airflow_provider_passnotify.sandbox.faults import AnyFault, CloseBeforeFault, LatencyFault, pattern_of


class _Armed:
    """A fault and its counters."""

    def __init__(self, fault: AnyFault) -> None:
        self.fault = fault
        self.matched = 0
        self.hit = 0
        self._is_found = pattern_of(fault.path)
        self._skip = fault.skip if fault.nth is None else fault.nth - 1
        self._times = fault.times if fault.nth is None else 1
        self._random = random.Random(fault.seed)  # noqa: S311  # it must be repeatable, not secret

    def hits(self, method: str, path: str) -> bool:
        """Count a request, and return whether the fault hits it."""
        if self.fault.method not in (None, method) or not self._is_found(path):
            return False
        self.matched += 1
        if self.matched <= self._skip or (self._times is not None and self.hit >= self._times):
            return False
        if self.fault.share < 1 and self._random.random() >= self.fault.share:
            return False
        self.hit += 1
        return True

    def as_json(self) -> dict[str, Any]:
        return {**self.fault.model_dump(exclude_unset=True), "matched": self.matched, "hit": self.hit}


class Trouble:
    """The faults that are set.

    :param faults: the faults at the start.
    """

    def __init__(self, faults: Iterable[AnyFault] = ()) -> None:
        self._armed: list[_Armed] = []
        self._held: set[asyncio.Future[bool]] = set()
        self._silent: set[asyncio.Future[bool]] = set()
        #: Whether each request, or each beginning of one, must be checked. Without faults, nothing is slower.
        self.checks_requests = False
        self.checks_connections = False
        for fault in faults:
            self.add(fault)

    def add(self, fault: AnyFault) -> None:
        """Add a fault. The first fault that hits a request decides; latencies are added to it."""
        self._armed.append(_Armed(fault))
        if isinstance(fault, CloseBeforeFault):
            self.checks_connections = True
        else:
            self.checks_requests = True

    def clear(self) -> None:
        """Remove all faults, and release the requests that are held."""
        self._armed.clear()
        self.checks_requests = self.checks_connections = False
        self.release()

    def as_json(self) -> list[dict[str, Any]]:
        """Return each fault, and how many requests it matched and hit."""
        return [armed.as_json() for armed in self._armed]

    def closes(self, method: str, path: str) -> bool:
        """Return whether the connection is reset, now that this request begins to arrive."""
        return any(isinstance(armed.fault, CloseBeforeFault) and armed.hits(method, path) for armed in self._armed)

    def pick(self, method: str, path: str) -> tuple[float, AnyFault | None]:
        """Return how much later a request is answered, in seconds, and the fault that hits it."""
        latency, chosen = 0.0, None
        for armed in self._armed:
            fault = armed.fault
            if isinstance(fault, LatencyFault):
                latency += fault.latency if armed.hits(method, path) else 0
            elif chosen is None and not isinstance(fault, CloseBeforeFault) and armed.hits(method, path):
                chosen = fault
        return latency, chosen

    def hold(self, *, releasable: bool = True) -> asyncio.Future[bool]:
        """Return the future that a held request awaits: true if the request goes on, false if it is dropped.

        :param releasable: whether ``release`` ends the hold.
        """
        where = self._held if releasable else self._silent
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        where.add(future)
        future.add_done_callback(where.discard)
        return future

    def release(self) -> int:
        """Release every request that is held now, and return how many these were."""
        return _settle(self._held, True)

    def drop(self) -> None:
        """Drop every request that is held."""
        _settle(self._held | self._silent, False)


def _settle(futures: set[asyncio.Future[bool]], goes_on: bool) -> int:
    waiting = [future for future in futures if not future.done()]
    for future in waiting:
        future.set_result(goes_on)
    return len(waiting)


class RateLimit:
    """A limit on the requests in a second, with a burst of one second. Faster requests are refused.

    :param per_second: ``None`` for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second or 0.0)
        self._left = self._burst
        self._at = time.monotonic()

    def wait(self) -> int:
        """Take one request. Return 0 if it is served, else the whole seconds until the next one is served."""
        if self.per_second is None:
            return 0
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0
        return math.ceil((1 - self._left) / self.per_second)
