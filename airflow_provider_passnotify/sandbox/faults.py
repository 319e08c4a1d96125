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

    It is pydantic's own engine, whose time grows with the path's length alone; one of Python's can take for ever.

    :raises ValueError: when it is none, or needs to look around or back.
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
    """Which requests are hit. Those that match are counted; ``skip``, ``times``, ``nth`` and ``share`` pick among them.

    :param method: only requests of this method.
    :param path: only requests in whose raw path, with query, this regular expression is found: ``^/v1/tag/``. It cannot
        look around or refer back.
    :param skip: so many matching requests are spared first.
    :param times: so many requests are hit, then no more; ``None`` for no end.
    :param nth: only this one of the matching requests is hit, counted from 1.
    :param share: so large a part of them is hit, chosen at random; 0 to 1.
    :param seed: of the random choice, so that it can be repeated.
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
        """Whether the request does what it asks for, for instance delivers, although this happens to it."""
        return True


class LatencyFault(Fault):
    """The answer comes late. It adds to whatever else happens to the request.

    :param latency: seconds between doing what the request asks for and the answer.
    """

    action: Literal["latency"]
    latency: float = Field(gt=0)


class HoldFault(Fault):
    """The request stands still until it is released.

    :param stage: ``headers``: nothing of the body is read, so that a client with a large one stands half written;
        ``accepted``: after it was carried out, before the answer.
    """

    action: Literal["hold"]
    stage: Literal["headers", "accepted"]


class CloseBeforeFault(Fault):
    """The connection is reset when a request begins to arrive, without reading it. It is never carried out."""

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
    """The answer's ``Content-Length`` promises more than is sent before the connection is closed."""

    action: Literal["cut_body"]


class BodyFault(_DeliveringFault):
    """The answer is a success with another body.

    :param body: text is sent as it is, anything else as JSON.
    """

    action: Literal["body"]
    status: int = Field(default=200, ge=200, le=299)
    body: JsonValue = "<html>This is not JSON.</html>"
    headers: Headers = {}

    def answer(self) -> Answer:
        """Return what is answered."""
        return _answer(self.status, self.body, self.headers)


class StatusFault(_DeliveringFault):
    """The answer is an error; by default one that the API itself would give, and nothing is carried out.

    :param body: text is sent as it is (a proxy's page, or nothing), anything else as JSON.
    :param retry_after: seconds for the header of that name.
    :param retry_after_date: whether that header is written as an HTTP date.
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
    """The answer sends the client elsewhere."""

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
    """Return the fault that a command line names.

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
