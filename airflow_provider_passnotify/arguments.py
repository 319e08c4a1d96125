"""The arguments that users give: what is known when the DAG is parsed, and what is refused then or at run time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pendulum

from airflow_provider_passnotify.exceptions import InvalidNotificationError

R = TypeVar("R")

MAX_DURATION = timedelta(days=3650)
"""Ten years. Much longer times overflow, either here or in Airflow or in its database."""


def is_resolved_at_runtime(value: object) -> bool:
    """Whether a value is only known at run time: an XCom, a mapped argument, a Jinja template or a function."""
    return (
        hasattr(value, "iter_references")
        or callable(value)
        or (isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")))
    )


def materialize(value: Any) -> Any:
    """Make a list from a generator (it can be read only once) and from a set (its order is different each time)."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return list(value) if isinstance(value, Iterator) else value


def check_stable(arguments: Mapping[str, Any]) -> None:
    """Refuse what looks different each time the DAG is parsed. Airflow would store a new version of the DAG each time.

    :param arguments: the arguments of ``partial``. They are serialized unchanged.
    :raises ValueError: it names the argument.
    """
    for name, value in arguments.items():
        if (odd := _unstable(value)) is not None:
            raise ValueError(
                f"{name} holds a {type(odd).__name__}, which looks different each time the DAG file is parsed, so that "
                "Airflow would store a new version of the DAG each time. Write list(...) or sorted(...) around it."
            )


def _unstable(value: object) -> object:
    if isinstance(value, Iterator | frozenset):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((odd for part in parts if (odd := _unstable(part)) is not None), None)


def checked(build: Callable[[], R], where: str = "") -> R:
    """Return what ``build`` returns. If ``build`` refuses a value, raise an error that Airflow does not retry.

    :param where: the beginning of the message, such as the name of the task.
    :raises InvalidNotificationError: with the message of the :class:`ValueError`.
    """
    try:
        return build()
    except InvalidNotificationError:
        raise  # its message already says where
    except ValueError as error:
        raise InvalidNotificationError(f"{where}{error}") from None


def seconds_of(name: str, value: object, *, minimum: float = 0.0) -> float:
    """Return the seconds.

    :param value: seconds or a timedelta.
    :raises ValueError: it names the argument.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not minimum <= seconds < float("inf"):
        raise ValueError(f"{name} must be seconds (a number from {minimum:g}) or a timedelta, not {value!r:.80}.")
    if seconds > MAX_DURATION.total_seconds():
        raise ValueError(f"{name} must be no longer than {MAX_DURATION.days} days, not {value!r:.80}.")
    return float(seconds)


def check_flags(**flags: object) -> None:
    """Refuse values that are not a bool. The text ``"false"`` would count as true.

    :raises ValueError: it names the argument.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, not {value!r:.80}.")


def check_conn_id(value: object) -> None:
    """Refuse a value that certainly cannot be the id of a connection.

    :raises ValueError: it names the argument.
    """
    if not is_resolved_at_runtime(value) and (not isinstance(value, str) or not value.strip()):
        raise ValueError(f"passnotify_conn_id must be the id of a connection, not {value!r:.80}.")


def is_path(value: object) -> bool:
    """Whether a value is a path or a URL of any kind. (An ``ObjectStoragePath`` is not always a ``PathLike``.)"""
    return isinstance(value, str | os.PathLike) or hasattr(value, "open")


def paths_of(name: str, value: object) -> list[str]:
    """Return paths, each once, in the order in which they were given.

    :param name: the argument.
    :param value: a path, or a list of them (an XCom of a mapped task is also one), also in lists.
    :raises ValueError: it names the argument, and what in it is not a path. An empty list is not "no paths".
    """
    if is_path(value):
        if str(value).strip() in {"", "None"}:
            raise ValueError(f"{name} must be paths, and one of them is {value!r}.")
        return [str(value)]
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        hint = ' Give the key "report" of a batch\'s output.' if isinstance(value, Mapping) else ""
        raise ValueError(f"{name} must be a path or a list of paths; {value!r:.80} is neither.{hint}")
    paths = [path for item in value for path in paths_of(name, item)]
    if not paths:
        raise ValueError(f"{name} is a list without a path. Leave the argument out where there is none.")
    return list(dict.fromkeys(paths))


def parse_deadline(value: object) -> pendulum.DateTime | None:
    """Return the time in UTC. A time without a time zone is taken as UTC.

    :param value: a datetime, an ISO 8601 string, or ``None`` for no deadline.
    :raises ValueError: if it is anything else.
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
        return None  # pendulum accepts this word, and then each try would have a different deadline
    parsed = pendulum.parse(text, exact=True)  # so that "12:00" is only a time, without today's date
    is_day = isinstance(parsed, pendulum.Date) and not isinstance(parsed, datetime)
    return pendulum.parse(text) if is_day else parsed
