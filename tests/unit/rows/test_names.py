"""Names of columns: which ones are accepted, and which are refused because a default would be used instead."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_passnotify.rows.names import column_name, nearest_key
from airflow_provider_passnotify.rows.reader import RowReader


def read(row: dict[str, Any], **defaults: Any) -> str:
    return RowReader({"target_type": "pass", "value": "Hello", **defaults}).read(row).request.address


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Pass ID", "pass_id"),
        ("passId", "pass_id"),
        ("PASS-ID", "pass_id"),
        ("pass  id ", "pass_id"),
        ("templateId", "template_id"),
        ("TargetType", "target_type"),
        ("Pass External Id", "pass_external_id"),
        ("DedupeKey", "dedupe_key"),
        ("Value", "value"),
        (" Points ", "points"),
        ("first_name", "first_name"),
    ],
)
def test_spellings(name: str, key: str) -> None:
    assert column_name(name) == key


def test_template_id_of_the_row_is_not_passed_over_for_the_default() -> None:
    address = read({"templateId": 777, "tag": "gold"}, target_type="tag", template_id=12345)
    assert address == "/tag/gold/notify?templateId=777"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("templat_id", "template_id"),
        ("template", "template_id"),
        ("template_ids", "template_id"),
        ("tempalteId", "template_id"),
        ("passs_id", "pass_id"),
        ("tags", "tag"),
        ("values", "value"),
        ("lable", "label"),
        ("notification_label", "label"),
        ("dedup_key", "dedupe_key"),
        ("targettyp", "target_type"),
        ("points", None),
        ("text", None),
        ("name", None),
        ("city", None),
        ("id", None),
    ],
)
def test_nearest_key(name: str, key: str | None) -> None:
    assert nearest_key(name) == key


@pytest.mark.parametrize(
    ("row", "defaults", "name"),
    [
        ({"tag": "a", "templat_id": 1}, {"target_type": "tag", "template_id": 12345}, "template_id"),
        ({"passs_id": 2}, {"pass_id": 1}, "pass_id"),
        ({"pass_id": 2, "values": "x"}, {}, "value"),
        ({"pass_id": 2, "lable": "x"}, {"label": "News"}, "label"),
        ({"pass_id": 2, "dedup_key": "x"}, {"dedupe_key": "{pass_id}"}, "dedupe_key"),
        ({"pass_id": 2, "target-typ": "tag"}, {}, "target_type"),
    ],
)
def test_near_miss_beside_a_default_is_refused(row: dict[str, Any], defaults: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"is not known .did you mean '{name}'.*operator's own {name} would be used"):
        read(row, **defaults)


@pytest.mark.parametrize(("column", "key"), [("pass", "pass_id"), ("pas_id", "pass_id"), ("tags", "tag")])
def test_misspelt_id_does_not_ring_the_whole_template(column: str, key: str) -> None:
    whole = {"target_type": "template", "template_id": 12345}
    with pytest.raises(ValueError, match=f"'{column}' is not known .did you mean '{key}'.*operator's own target"):
        read({column: 7, "label": "x"}, **whole)
    assert read({column: 7, "template_id": 8}, **whole) == "/template/8/notify"
    assert read({column: 7, "pass_id": 8}) == "/pass/8/notify"
    with pytest.raises(ValueError, match="pass_id missing"):
        read({column: 7, "label": "x"})


@pytest.mark.parametrize(
    ("row", "defaults"),
    [
        ({"pass_id": 2, "value": "x", "values": "y"}, {}),
        ({"pass_id": 2, "template": "y"}, {"template_id": 1}),  # which this target type does not take
        ({"pass_id": 2, "values": "y"}, {"value": "You have {values}"}),
        ({"pass_id": 2, "lable": "y"}, {}),
    ],
)
def test_near_miss_where_no_default_steps_in(row: dict[str, Any], defaults: dict[str, Any]) -> None:
    assert read(row, **defaults) == "/pass/2/notify"


def test_two_spellings_of_one_key_in_a_row() -> None:
    with pytest.raises(ValueError, match="two columns are called 'pass_id'"):
        read({"pass_id": 1, "passId": 2})


def test_template_names_a_column_as_the_source_does() -> None:
    reader = RowReader({"target_type": "pass", "value": "Pass {Pass ID}, {Points}"})
    assert b"Pass 7, 5" in (reader.read({"Pass ID": 7, "POINTS": 5}).request.body or b"")
