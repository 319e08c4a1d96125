"""Rows of a batch: what they may hold, what the operator's defaults add, and why a row is refused."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from airflow_provider_passnotify.rows.reader import Message, RowReader, Template


def read(row: Mapping[Any, Any], **defaults: Any) -> Message:
    return RowReader({"target_type": "pass", "value": "Hello", **defaults}).read(row)


def body(message: Message) -> dict[str, str]:
    assert message.request.body is not None
    result: dict[str, str] = json.loads(message.request.body)
    return result


class NoTime(datetime):
    """Like NaT of pandas: a datetime that is equal to nothing."""

    def __ne__(self, other: object) -> bool:
        return True


class NAType:
    """Like NA of pandas: it is neither true nor false, and equal to nothing."""

    def __eq__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class TestVocabulary:
    def test_row_alone(self) -> None:
        row = {"target_type": "tag", "tag": "a b", "template_id": 5, "value": "Hi", "label": "News"}
        message = RowReader({}).read(row)
        assert message.request.method == "POST"
        assert message.request.url_path == "/v1/tag/a%20b/notify?templateId=5"
        assert body(message) == {"label": "News", "value": "Hi"}

    def test_defaults_hold_where_the_row_has_none(self) -> None:
        message = read({"pass_id": 7, "value": None, "label": ""}, label="Points")
        assert body(message) == {"label": "Points", "value": "Hello"}
        assert read({"pass_id": 7}).request.url_path == "/v1/pass/7/notify"

    def test_row_outweighs_the_default(self) -> None:
        assert body(read({"pass_id": 7, "value": "Mine"})) == {"value": "Mine"}
        assert read({"pass_id": 7}, pass_id=8).request.url_path == "/v1/pass/7/notify"

    def test_default_id_of_another_target_type_is_no_hindrance(self) -> None:
        assert read({"target_type": "template"}, template_id=3, pass_id=8).request.url_path == "/v1/template/3/notify"

    def test_column_names_in_any_case(self) -> None:
        assert read({" PASS_ID ": 7, "Value": "Hi"}).request.url_path == "/v1/pass/7/notify"

    def test_deletion_needs_no_message_and_ignores_one(self) -> None:
        reader = RowReader({"target_type": "pass"}, delete=True)
        message = reader.read({"pass_id": 7, "value": "Hi"})
        assert (message.request.method, message.request.body) == ("DELETE", None)

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ({}, "needs pass_id; pass_id missing"),
            ({"pass_id": None}, "pass_id missing"),
            ({"pass_id": ""}, "pass_id missing"),
            ({"pass_id": "  "}, "pass_id is empty"),
            ({"pass_id": "a\nb"}, "control character"),
            ({"pass_id": True}, r"pass_id is True \(bool\)"),
            ({"pass_id": [1]}, r"pass_id is \[1\] \(list\)"),
            ({"pass_id": b"1"}, "bytes"),
            ({"pass_id": float("nan")}, "pass_id missing"),
            ({"pass_id": float("inf")}, r"float \(inf\)"),
            ({"pass_id": Decimal("NaN")}, "Decimal"),
            ({"pass_id": 1, "tag": "x"}, "does not take tag"),
            ({"pass_id": 1, "target_type": "passs"}, "it must be one of"),
            ({"pass_id": 1, "value": True}, r"value is True \(bool\)"),
            ({"pass_id": 1, "value": "  "}, "value is empty"),
            ({"pass_id": 1, "label": ["x"]}, "label is"),
            ({1: 2}, "a key is 1, not text"),
            ({"pass_id": 1, "PASS_ID": 2}, "two columns are called 'pass_id'"),
        ],
    )
    def test_bad_row_says_why(self, row: dict[Any, Any], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            read(row)

    def test_unusable_default_is_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match="it must be one of"):
            RowReader({"target_type": "passs"})


class TestValuesFromDatabases:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Decimal(7), "7"),
            (Decimal("7.00"), "7"),
            (Decimal("7E+2"), "700"),
            (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
            (date(2026, 1, 2), "2026-01-02"),
        ],
    )
    def test_ids(self, value: object, text: str) -> None:
        assert read({"pass_id": value}).request.url_path == f"/v1/pass/{text}/notify"

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (12, "12"),
            (1250.0, "1250"),
            (0.1, "0.1"),
            (Decimal("12.50"), "12.50"),
            (Decimal("1E+3"), "1000"),
            (datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), "2026-01-02 03:04:00+00:00"),
        ],
    )
    def test_texts(self, value: object, text: str) -> None:
        assert body(read({"pass_id": 1, "value": value}))["value"] == text

    @pytest.mark.parametrize("null", [None, "", float("nan"), NoTime(1, 1, 1), NAType()])
    def test_null_takes_the_default(self, null: object) -> None:
        assert body(read({"pass_id": 1, "value": null, "label": null}, value="Hello")) == {"value": "Hello"}

    def test_enum_stands_for_its_text(self) -> None:
        class Level(str, Enum):
            GOLD = "gold"

        row = {"target_type": "tag", "tag": Level.GOLD, "template_id": 1, "value": Level.GOLD}
        assert read(row).request.url_path == "/v1/tag/gold/notify?templateId=1"
        assert body(read(row)) == {"value": "gold"}

    def test_text_with_half_a_surrogate_goes_through(self) -> None:
        assert body(read({"pass_id": 1, "value": "\ud83d", "dedupe_key": "\ud83d"}))["value"] == "\ud83d"

    def test_large_value_goes_through(self) -> None:
        assert len(read({"pass_id": 1, "value": "x" * 10_000_000}).request.body or b"") > 10_000_000


class TestTemplate:
    def test_fills_from_other_columns(self) -> None:
        message = read({"pass_id": 1, "points": 12, "Name": "Ann"}, value="{name}, you have {{{points}}}")
        assert body(message)["value"] == "Ann, you have {12}"

    def test_rows_are_not_templates(self) -> None:
        row = {"pass_id": 1, "points": "{value}", "value": None}
        assert body(read(row, value="You have {points}"))["value"] == "You have {value}"
        assert body(read({"pass_id": 1, "value": "{points} {{ ds }}"}))["value"] == "{points} {{ ds }}"

    def test_column_called_value_fills_the_template(self) -> None:
        assert body(read({"pass_id": 1, "value": 12}, value="Balance: {value}"))["value"] == "Balance: 12"

    def test_id_column_that_fills_is_no_id(self) -> None:
        assert body(read({"pass_id": 1, "tag": "gold"}, value="You are {tag}"))["value"] == "You are gold"

    @pytest.mark.parametrize("row", [{"pass_id": 1}, {"pass_id": 1, "points": None}, {"pass_id": 1, "points": ""}])
    def test_missing_column_is_a_bad_row(self, row: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="value needs the column 'points'"):
            read(row, value="You have {points}")

    @pytest.mark.parametrize(
        "text",
        ["{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>5}", "{", "}", "{a", "{__class__.__mro__}", "{a:{b}}", "{ }"],
    )
    def test_only_plain_names(self, text: str) -> None:
        with pytest.raises(ValueError, match="value '"):
            Template("value", text)


class TestIdentity:
    def test_is_the_target_and_not_the_text(self) -> None:
        one, other = read({"pass_id": 1, "value": "a"}), read({"pass_id": "1", "value": "b"})
        assert one.recipient_digest == other.recipient_digest
        assert one.content_digest != other.content_digest

    def test_equal_rows_have_equal_texts(self) -> None:
        one, other = read({"pass_id": 1, "x": 1}), read({"pass_id": 1, "x": 2})
        assert one.content_digest == other.content_digest
        assert one.content_digest != read({"pass_id": 1}, label="L").content_digest
        assert one.content_digest != read({"pass_id": 2}).content_digest

    def test_dedupe_key_stands_for_the_target(self) -> None:
        assert (
            read({"pass_id": 1, "dedupe_key": 5}).recipient_digest
            == read({"pass_id": 2, "order": 5}, dedupe_key="{order}").recipient_digest
        )
        one, other = read({"pass_id": 1, "dedupe_key": 5}), read({"pass_id": 1, "dedupe_key": 6})
        assert one.recipient_digest != other.recipient_digest
        assert one.recipient_digest != read({"pass_id": 1}).recipient_digest

    def test_dedupe_key_cannot_be_taken_for_a_target(self) -> None:
        assert (
            read({"pass_id": 1}).recipient_digest
            != read({"pass_id": 2, "dedupe_key": "/pass/1/notify"}).recipient_digest
        )


class TestUnusedColumns:
    def test_one_warning_with_a_guess(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "{points}"})
        for number in range(3):
            reader.read({"pass_id": number, "points": 1, "lable": "x", "city": "y"})
        assert reader.warnings == ["Columns that are not used: 'lable' (did you mean 'label'?), 'city'."]

    def test_none_where_all_are_used(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "{points}"})
        reader.read({"pass_id": 1, "points": 1, "label": "x", "tag": None})
        assert reader.warnings == []

    def test_rows_of_ever_new_shapes_take_no_memory(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "x"})
        for number in range(5000):
            reader.read({"pass_id": 1, f"column {number}": 1})
        assert len(reader._shapes) <= 1000
        assert len(reader._unused) <= 1001
        (warning,) = reader.warnings
        assert len(warning) < 1000


def test_names_a_row_with_a_number_that_python_does_not_write() -> None:
    assert RowReader({}).name({"pass_id": 10**5000}) == {"pass_id": "int"}


def test_names_a_bad_row_as_far_as_it_says() -> None:
    reader = RowReader({"target_type": "pass", "template_id": 3})
    assert reader.name({"PASS_ID": "x" * 500, "tag": None, 5: 6, "value": "secret"}) == {
        "target_type": "pass",
        "pass_id": "x" * 200,
        "template_id": "3",
    }


class TestNullsInFiles:
    @staticmethod
    def read(row: Mapping[str, Any], null_values: tuple[str, ...] = (), **defaults: Any) -> Message:
        return RowReader({"target_type": "pass", **defaults}, null_values=null_values).read(row)

    def test_backslash_n_is_absent(self) -> None:
        assert body(self.read({"pass_id": 1, "value": "\\N", "label": "\\N"}, value="Hi")) == {"value": "Hi"}
        with pytest.raises(ValueError, match="pass_id missing"):
            self.read({"pass_id": "\\N", "value": "x"})
        with pytest.raises(ValueError, match="value needs the column 'name'"):
            self.read({"pass_id": 1, "name": "\\N"}, value="Hi {name}")

    def test_null_values_names_more(self) -> None:
        assert body(self.read({"pass_id": 1, "value": "NULL"}, ("NULL", "n/a"), value="Hi")) == {"value": "Hi"}
        with pytest.raises(ValueError, match=r"label is \[1\]"):
            self.read({"pass_id": 1, "value": "n/a", "label": [1]}, ("n/a",), value="Hi")

    @pytest.mark.parametrize(
        "text",
        ["NULL", "null", "nan", "NaN", "None", "NaT", "<NA>", "#N/A", "n/a", "NULL ", "(null)", "[NULL]", "-nan"],
    )
    @pytest.mark.parametrize("name", ["pass_id", "value", "label", "dedupe_key"])
    def test_other_words_for_nothing_are_refused(self, text: str, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name} is the text '{re.escape(text)}'.*null_values"):
            self.read({"pass_id": 1, "value": "x", name: text})

    def test_in_a_list_somebody_may_be_called_so(self) -> None:
        assert body(read({"pass_id": 1, "value": "Null", "label": "\\N"})) == {"label": "\\N", "value": "Null"}

    def test_column_that_fills_goes_out_and_is_told_once(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "Hi {name}"}, null_values=())
        assert body(reader.read({"pass_id": 1, "name": "nan"})) == {"value": "Hi nan"}
        reader.read({"pass_id": 1, "name": "Null"})
        (warning,) = reader.warnings
        assert "The column 'name' holds the text 'nan'" in warning


class TestBracesInRows:
    @pytest.mark.parametrize("text", ["Hi {name}", "Sale ends {{ ds }}", "{ first name }"])
    def test_told_once(self, text: str) -> None:
        reader = RowReader({"target_type": "pass"})
        for number in (1, 2):
            assert body(reader.read({"pass_id": number, "value": text})) == {"value": text}
        (warning,) = reader.warnings
        assert warning.startswith("A row's own value holds '{")

    @pytest.mark.parametrize("text", ["{}", "{1}", "f(x) = {x > 1}", "{"])
    def test_other_braces(self, text: str) -> None:
        reader = RowReader({"target_type": "pass"})
        reader.read({"pass_id": 1, "value": text})
        assert reader.warnings == []
