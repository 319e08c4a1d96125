"""``send_before``."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pendulum
import pytest

from airflow_provider_passnotify.arguments import parse_deadline

NOON = pendulum.datetime(2026, 1, 1, 12, tz="UTC")


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01T12:00:00",
        "2026-01-01 12:00:00+00:00",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T12:00:00Z",
        datetime(2026, 1, 1, 12),  # noqa: DTZ001
        datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        pendulum.datetime(2026, 1, 1, 7, tz="America/New_York"),
        str(pendulum.datetime(2026, 1, 1, 12)),
    ],
)
def test_a_moment(value: Any) -> None:
    moment = parse_deadline(value)
    assert moment == NOON
    assert moment.timezone_name == "UTC"


def test_a_day_is_its_beginning() -> None:
    assert parse_deadline("2026-01-01") == NOON.start_of("day")


def test_none() -> None:
    assert parse_deadline(None) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "None",
        "soon",
        "now",
        "12:00",
        "P1D",
        "2026-01-01/2026-01-02",
        "2026-13-01",
        "{{ ds }}",
        5,
        True,
        [],
        date(2026, 1, 1),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),  # in UTC there is no such year
    ],
)
def test_nonsense(value: Any) -> None:
    with pytest.raises(ValueError, match="send_before must be"):
        parse_deadline(value)
