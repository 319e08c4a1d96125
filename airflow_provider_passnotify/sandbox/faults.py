"""What can go wrong on demand. Each fault says which requests it hits, and what happens to them. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import SchemaError

from airflow_provider_passnotify.sandbox.answers import Answer, error

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def _can_be_sent(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"{name!r}: {value!r} is not a header that can be sent")
        if name.lower() in {"content-length", "transfer-encoding"}:
            raise ValueError(f"{name} follows from the body; the action cut_body sends a wrong one")
    return headers


Headers = Annotated[dict[str, str], AfterValidator(_can_be_sent)]


def pattern_of(text: str | None) -> Callable[[str], bool]:
    """Return a function that tells whether a regular expression is found in a path.

    It uses pydantic's engine, whose time grows only with the length of the path. Python's own engine can hang.

    :raises ValueError: if it is no regular expression, or has a look-around or a back-reference.
    """
    pattern = Annotated[str, StringConstraints(pattern=text or "")]
    try:
        adapter: TypeAdapter[str] = TypeAdapter(pattern, config=ConfigDict(regex_engine="rust-regex"))
    except SchemaError as problem:
        raise ValueError(f"it is not a regular expression: {problem}") from None

    def is_found(path: str) -> bool:
        try:
            adapter.validate_python(path)
        except ValidationError:
            return False
        return True

    return is_found


class Fault(BaseModel):
    """Which requests are hit. ``method`` and ``path`` select requests; the other fields choose among these.

    :param method: only requests with this method match.
    :param path: only requests match whose raw path, with the query, contains this regular expression. Example:
        ``^/v1/tag/``. Look-arounds and back-references are not supported.
    :param skip: the first matching requests, so many of them, are not hit.
    :param times: at most so many requests are hit; ``None`` for no limit.
    :param nth: only this one of the matching requests is hit, counted from 1.
    :param share: the part of the matching requests that is hit, from 0 to 1. They are chosen at random.
    :param seed: the seed of the random choice. With the same seed, the choice is the same.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    action: str
    method: Literal["GET", "POST", "DELETE"] | None = None
    path: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    nth: int | None = Field(default=None, ge=1)
    share: float = Field(default=1, ge=0, le=1)
    seed: int = 0

    @field_validator("path")
    @classmethod
    def _is_regular_expression(cls, value: str | None) -> str | None:
        pattern_of(value)
        return value

    @model_validator(mode="after")
    def _one_way_to_pick(self) -> Fault:
        if self.nth is not None and (self.skip or self.times is not None):
            raise ValueError("give either nth, or skip and times: nth=3 means skip=2, times=1")
        return self

    @property
    def carries_out(self) -> bool:
        """Whether the request is still carried out, for example a message is delivered, in spite of the fault."""
        return True


class LatencyFault(Fault):
    """The answer comes late. This can be combined with another fault.

    :param latency: seconds between carrying out the request and the answer.
    """

    action: Literal["latency"]
    latency: float = Field(gt=0)


class HoldFault(Fault):
    """The request is held until it is released.

    :param stage: when it is held. ``headers``: before the body is read, so that a client with a large body is stopped
        while it writes. ``accepted``: after it was carried out, before the answer.
    """

    action: Literal["hold"]
    stage: Literal["headers", "accepted"]


class CloseBeforeFault(Fault):
    """The connection is reset when a request begins to arrive. The request is not read and never carried out."""

    action: Literal["close_before"]


class _DeliveringFault(Fault):
    """:param deliver: whether the request is carried out before this happens."""

    deliver: bool = True

    @property
    def carries_out(self) -> bool:
        return self.deliver


class ReadTimeoutFault(_DeliveringFault):
    """The request is read and never answered."""

    action: Literal["read_timeout"]


class CloseAfterFault(_DeliveringFault):
    """The request is read to its end, then the connection is closed without an answer."""

    action: Literal["close_after"]


class CutBodyFault(_DeliveringFault):
    """The connection is closed before the whole body is sent. ``Content-Length`` is that of the whole body."""

    action: Literal["cut_body"]


class BodyFault(_DeliveringFault):
    """The answer is a success with another body.

    :param body: a text is sent unchanged, anything else as JSON.
    """

    action: Literal["body"]
    status: int = Field(default=200, ge=200, le=299)
    body: JsonValue = "<html>This is not JSON.</html>"
    headers: Headers = {}

    def answer(self) -> Answer:
        """Return what is answered."""
        return _answer(self.status, self.body, self.headers)


class StatusFault(_DeliveringFault):
    """The answer is an error. By default, it is one of the API's own errors, and nothing is carried out.

    :param body: a text is sent unchanged (a proxy's page, or nothing), anything else as JSON.
    :param retry_after: the seconds in the header ``Retry-After``.
    :param retry_after_date: whether ``Retry-After`` is written as an HTTP date.
    """

    action: Literal["status"]
    status: int = Field(ge=400, le=599)
    body: JsonValue = None
    headers: Headers = {}
    retry_after: int | None = Field(default=None, ge=0)
    retry_after_date: bool = False
    deliver: bool = False

    def answer(self) -> Answer:
        """Return what is answered."""
        headers = self.headers
        if self.retry_after is not None:
            then = datetime.now(timezone.utc) + timedelta(seconds=self.retry_after)
            date = format_datetime(then, usegmt=True)
            headers = {"Retry-After": date if self.retry_after_date else str(self.retry_after), **headers}
        if self.body is None:
            return error(self.status, "A fault that the sandbox was asked for.", headers=headers)
        return _answer(self.status, self.body, headers)


class RedirectFault(_DeliveringFault):
    """The answer is a redirect."""

    action: Literal["redirect"]
    location: Annotated[str, Field(pattern=f"^{HEADER_VALUE.pattern}$")]
    status: int = Field(default=307, ge=300, le=399)
    deliver: bool = False

    def answer(self) -> Answer:
        """Return what is answered."""
        return Answer(self.status, b"", headers={"Location": self.location})


AnyFault = Annotated[
    LatencyFault
    | HoldFault
    | CloseBeforeFault
    | ReadTimeoutFault
    | CloseAfterFault
    | CutBodyFault
    | BodyFault
    | StatusFault
    | RedirectFault,
    Field(discriminator="action"),
]
FAULT: TypeAdapter[AnyFault] = TypeAdapter(AnyFault)


def parse_fault(text: str) -> AnyFault:
    """Return the fault that is given on the command line.

    :param text: JSON, or the short form ``action:key=value,key=value``.
    """
    if text.lstrip().startswith("{"):
        return FAULT.validate_json(text)
    action, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",") if pair]
    return FAULT.validate_python({"action": action, **{key.strip(): value for key, _, value in pairs}})


def _answer(status: int, body: JsonValue, headers: dict[str, str]) -> Answer:
    if isinstance(body, str):
        return Answer(status, body.encode(errors="surrogatepass"), "text/html", headers)
    return Answer(status, json.dumps(body).encode(), headers=headers)
