"""The responses that the sandbox sends, in the shapes that the API documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DESCRIPTIONS = {
    400: "Invalid parameters.",
    401: "The credential is missing or wrong.",
    404: "The resource is no longer at that location.",
    405: "The method is not allowed here.",
    406: "The request has no valid JSON body.",
    429: "Too many requests.",
    500: "Internal server error.",
    503: "The service is unavailable.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One response.

    :param headers: more headers than ``Content-Type`` and ``Content-Length``. They can also replace these two.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(status, json.dumps(content).encode(), headers=headers or {})


def error(
    status: int, details: str, *, description: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return an error in the API's own shape."""
    description = description or DESCRIPTIONS.get(status, "An error occurred.")
    return as_json(status, {"code": status, "description": description, "details": details}, headers)
