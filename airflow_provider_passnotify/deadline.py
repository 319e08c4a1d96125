"""``send_before``: the moment after which a notification is not sent any more."""

from __future__ import annotations

from datetime import datetime

import pendulum


def parse_deadline(value: object) -> pendulum.DateTime | None:
    """Return the moment in UTC; one without a time zone is taken as UTC.

    :param value: a datetime, an ISO 8601 string, or ``None`` for no deadline.
    :raises ValueError: when it is anything else.
    """
    if value is None:
        return None
    try:
        moment = _parse(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return pendulum.instance(moment, tz="UTC").in_timezone("UTC")
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"send_before must be a datetime or an ISO 8601 string with a date, not {value!r:.80}.")


def _parse(text: str) -> object:
    if text == "now":
        return None  # pendulum knows that word, and every try would have a deadline of its own
    parsed = pendulum.parse(text, exact=True)  # so that "12:00" is a time, and not one of today
    is_day = isinstance(parsed, pendulum.Date) and not isinstance(parsed, datetime)
    return pendulum.parse(text) if is_day else parsed
