"""Faults on demand: for chosen requests, or a share of them, something goes wrong."""

from __future__ import annotations

import asyncio
import random
import re
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Fault(BaseModel):
    """What goes wrong, and for which requests.

    :param method: only requests of this method.
    :param path: only requests whose raw path (with query) matches this regular expression somewhere.
    :param skip: the first matching requests that are spared.
    :param times: how many are hit; ``None`` for all.
    :param share: the share of the rest that is hit, 0 to 1.
    :param action: ``status`` answers with a status; ``read_timeout`` never answers; ``close_before`` closes a
        connection before a request was read (it is chosen by connections, not requests); ``close_after`` closes it
        after the request was read; ``cut_body`` answers with half a body; ``body`` answers 200 with ``body``;
        ``hold_headers`` waits before the body is read, ``hold_accepted`` before the answer, each until released;
        ``latency`` only waits.
    :param deliver: whether the request is carried out all the same.
    :param latency: seconds before the answer.
    :param retry_after: seconds for the header of that name.
    :param retry_after_date: whether it is written as an HTTP date.
    """

    model_config = ConfigDict(extra="forbid")

    action: Literal[
        "status",
        "read_timeout",
        "close_before",
        "close_after",
        "cut_body",
        "body",
        "hold_headers",
        "hold_accepted",
        "latency",
    ]
    method: Literal["GET", "POST", "DELETE"] | None = None
    path: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    share: float = Field(default=1.0, ge=0, le=1)
    deliver: bool | None = None
    latency: float = Field(default=0.0, ge=0)
    status: int = Field(default=503, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = {}
    retry_after: int | None = None
    retry_after_date: bool = False

    @field_validator("path")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from None
        return value

    @property
    def carries_out(self) -> bool:
        """Whether the request is carried out; by default it is, unless the answer is a status that refuses."""
        return self.action != "status" if self.deliver is None else self.deliver

    def answer_headers(self) -> dict[str, str]:
        """Return the headers of the faulty answer."""
        if self.retry_after is None:
            return self.headers
        moment = datetime.now(timezone.utc) + timedelta(seconds=self.retry_after)
        value = format_datetime(moment, usegmt=True) if self.retry_after_date else str(self.retry_after)
        return {**self.headers, "Retry-After": value}


class Faults:
    """The faults that are set, and what they have hit so far.

    :param seed: of the generator that picks a share.
    """

    def __init__(self, seed: int = 0) -> None:
        self.faults: list[Fault] = []
        self._seen: list[int] = []
        self._hit: list[int] = []
        self._random = random.Random(seed)  # noqa: S311 (not a secret)
        self._release = asyncio.Event()
        self.rate_limit = RateLimit(None)

    def add(self, fault: Fault) -> None:
        """Set one more fault; the first that matches a request is the one that hits it."""
        self.faults.append(fault)
        self._seen.append(0)
        self._hit.append(0)

    def clear(self) -> None:
        """Set no faults any more, and let go what is held."""
        self.faults, self._seen, self._hit = [], [], []
        self.release()

    def as_json(self) -> list[dict[str, Any]]:
        """Return each fault with how many requests it has hit."""
        return [
            {**fault.model_dump(exclude_defaults=True), "hit": hit}
            for fault, hit in zip(self.faults, self._hit, strict=True)
        ]

    def pick(self, method: str | None, path: str) -> Fault | None:
        """Return the fault that hits a request; a ``None`` method means a connection that was just opened."""
        for index, fault in enumerate(self.faults):
            if (fault.action == "close_before") != (method is None):
                continue
            if fault.method not in (None, method) or (fault.path and not re.search(fault.path, path)):
                continue
            self._seen[index] += 1
            if self._seen[index] <= fault.skip or (fault.times is not None and self._hit[index] >= fault.times):
                continue
            if fault.share < 1 and self._random.random() >= fault.share:
                continue
            self._hit[index] += 1
            return fault
        return None

    async def hold(self) -> None:
        """Wait until the held requests are released."""
        await self._release.wait()

    def release(self) -> None:
        """Let go every request that is held now."""
        self._release.set()
        self._release = asyncio.Event()


class RateLimit:
    """A bucket of one second: what comes faster is refused.

    :param per_second: requests; ``None`` for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self.per_second = per_second
        self._tokens = per_second or 0.0
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Take one request from the bucket, if there is one."""
        if self.per_second is None:
            return True
        now = time.monotonic()
        self._tokens = min(max(1.0, self.per_second), self._tokens + (now - self._at) * self.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
