"""Which requests arrived, and a way to wait for them, so that tests do not need to sleep."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

REMEMBERED = 100
FIRST_REFUSAL = 300
MAX_REASON_LENGTH = 2000


class Received:
    """One request. Its headers are not kept, because one of them is a secret."""

    __slots__ = ("at", "method", "path", "query", "refusal", "status")

    def __init__(self, method: str, path: bytes, query: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.status: int | None = None
        self.refusal = b""
        self.at = time.time()

    def as_json(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "path": self.path.decode("latin-1"),
            "query": self.query.decode("latin-1"),
            "status": self.status,
            "at": datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="milliseconds"),
        }


class RequestLog:
    """The requests to the API, not those to the sandbox's own endpoints."""

    def __init__(self) -> None:
        self.held = 0
        self._methods: Counter[str] = Counter({"POST": 0, "DELETE": 0, "GET": 0})
        self._statuses: Counter[int] = Counter()
        self._last: deque[Received] = deque(maxlen=REMEMBERED)
        self.refusals = 0
        self._refused: deque[Received] = deque(maxlen=REMEMBERED)
        self._waiting = 0
        self._changed = asyncio.Event()

    def received(self, method: str, path: bytes, query: bytes) -> Received:
        """Count a request as soon as its headers were read."""
        request = Received(method, path, query)
        self._methods[method] += 1
        self._last.append(request)
        self._notify()
        return request

    def answered(self, request: Received, status: int, body: bytes = b"") -> None:
        """Note the answer of a request.

        :param body: the body of the answer. It is kept if it says why the request was refused.
        """
        request.status = status
        self._statuses[status] += 1
        if status >= FIRST_REFUSAL:
            request.refusal = body[:MAX_REASON_LENGTH]
            self._refused.append(request)
            self.refusals += 1

    def refused(self) -> list[dict[str, Any]]:
        """Return the last requests that were refused, and why, newest first."""
        return [{**request.as_json(), "why": _why(request.refusal)} for request in reversed(self._refused)]

    def holds(self, more: int) -> None:
        """Note that one request more, or one less, is held."""
        self.held += more
        self._notify()

    def count(self, method: str | None = None) -> int:
        """Return how many requests of a method, or of all methods, were received."""
        return self._methods.total() if method is None else self._methods[method]

    async def wait_until(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition on this log is true. Return whether it became true in time."""
        deadline = time.monotonic() + timeout
        self._waiting += 1
        try:
            while not reached():
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
        except asyncio.TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting -= 1

    def as_json(self) -> dict[str, Any]:
        """Return the counts, and the last requests."""
        return {
            "total": self.count(),
            "methods": dict(self._methods),
            "statuses": {str(status): self._statuses[status] for status in sorted(self._statuses)},
            "held": self.held,
            "last": [request.as_json() for request in self._last],
        }

    def _notify(self) -> None:
        if self._waiting:
            self._changed.set()
            self._changed = asyncio.Event()


def _why(body: bytes) -> str:
    """Return the text of one of the API's own errors, or the beginning of another body."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    reason = told.get("details") or told.get("description") if isinstance(told, dict) else None
    return str(reason) if reason else body[:200].decode(errors="replace")
