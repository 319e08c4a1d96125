"""How a value from a list, a file or a database becomes text or an id. Text itself is never changed."""

from __future__ import annotations

import math
import numbers
import operator
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID


def is_absent(value: object) -> bool:
    """Whether a value means "no value": ``None``, empty text, or what pandas uses for ``NULL``."""
    if isinstance(value, str):
        return not value
    if type(value) is int:  # a quick check: most values are whole numbers
        return False
    # pandas uses NaN, NaT and NA for NULL. NaT is a date that is not equal to anything, not even to itself.
    return (
        value is None
        or (isinstance(value, float | date | numbers.Real) and value != value)
        or type(value).__name__ == "NAType"
    )


def as_id(name: str, value: Any) -> Any:
    """Return an id as text or int, also if a database returned it as another type.

    :raises ValueError: if it cannot be an id. (Floats and padded text are refused by the general check of ids.)
    """
    if isinstance(value, str) or type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return value
    return as_text(name, value)


def as_text(name: str, value: Any) -> str:
    """Return a value as text: a whole number in digits, a float as short as possible, a Decimal with all its decimals.

    :param name: the name of the column, for errors.
    :raises ValueError: if it is not text, a number, a date, a time or a UUID.
    """
    if isinstance(value, str):
        return str.__str__(value)  # for an enum: its value
    if type(value) is int:
        return str(value)
    if isinstance(value, numbers.Integral) and value is not True and value is not False:
        with suppress(TypeError):  # numpy counts a timedelta64 as a whole number
            return str(operator.index(value))
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if is_number(value) and not isinstance(value, Decimal) and math.isfinite(value):
        number = Decimal(repr(value) if type(value) is float else str(value))  # numpy's repr contains the type
        text = format(number, "f").removesuffix(".0")  # 1250.0 points become 1250
        return "0" if text == "-0" else text
    if isinstance(value, UUID | date | time):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError(f"{name} is bytes, not text ({bytes(value)!r:.60}); is it text that is not UTF-8?")
    raise ValueError(f"{name} is {value!r:.60} ({type(value).__name__}); it must be text or a number.")


def is_number(value: object) -> bool:
    """Whether a value is a number that may have decimals."""
    return isinstance(value, Decimal) or (
        isinstance(value, numbers.Real) and not isinstance(value, bool | numbers.Rational)
    )


def shown(value: object) -> str:
    """Return any value as text for a report and for XCom, which cannot hold half a surrogate pair."""
    try:
        return f"{value!s:.200}".encode("utf-8", "backslashreplace").decode()
    except ValueError:  # a number with more digits than Python allows in text
        return type(value).__name__
