"""What is known of a value while the DAG is parsed."""

from __future__ import annotations


def is_known_later(value: object) -> bool:
    """Whether only the run will tell a value: an XCom, a mapped argument or a Jinja template."""
    return hasattr(value, "iter_references") or (
        isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    )
