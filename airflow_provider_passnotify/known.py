"""What is known of a value while the DAG is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def is_known_later(value: object) -> bool:
    """Whether only the run will tell a value: an XCom, a mapped argument or a Jinja template."""
    return hasattr(value, "iter_references") or (
        isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    )


def readable_again(value: Any) -> Any:
    """Return a list of a generator, which can be read only once."""
    return list(value) if isinstance(value, Iterator) else value
