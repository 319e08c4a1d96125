"""Values of sources: which ones are an id, which ones are text, and which text is sent for them."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from airflow_provider_passnotify.rows.reader import RowReader


def sent(value: Any) -> str:
    body = RowReader({"target_type": "pass"}).read({"pass_id": 1, "value": value}).request.body
    assert body is not None
    text: str = json.loads(body)["value"]
    return text


def address(name: str, value: Any) -> str:
    kinds = {"pass_id": "pass", "template_id": "template", "tag": "tag", "segment_id": "segment"}
    more = {"tag": {"template_id": 1}, "segment_id": {"project_id": 1, "template_id": 1}}.get(name, {})
    reader = RowReader({"target_type": kinds[name], "value": "x", **more})
    return reader.read({name: value}).request.address


class TestIds:
    @pytest.mark.parametrize("name", ["pass_id", "template_id", "tag", "segment_id"])
    @pytest.mark.parametrize("value", [7.0, 16777216.0, 0.5, np.float32(16777217), np.float64(7)])
    def test_float_is_refused_and_the_cast_named(self, name: str, value: float) -> None:
        with pytest.raises(ValueError, match=f'not float.*dtype={{"{name}": "string"}}.*CAST of the original column'):
            address(name, value)

    @pytest.mark.parametrize("name", ["pass_id", "template_id", "segment_id"])
    @pytest.mark.parametrize("value", ["1000001.0", "1.0E+6", "1E+06", "1e-5", "1.", ".5", "-1.0", "1000001.00"])
    def test_text_that_was_a_float_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=f"{name} is '.*', a number as a float is written.*CAST"):
            address(name, value)

    @pytest.mark.parametrize("value", ["1.0", "v1.5", "7e10", "1E+06"])
    def test_tags_stay_as_they_are_written(self, value: str) -> None:
        assert address("tag", value).startswith(f"/tag/{value.replace('+', '%2B')}/")

    @pytest.mark.parametrize("value", ["7e10", "id/1.0", "1.2.3", "a1.0", "1,0"])
    def test_what_no_float_looks_like_is_an_id(self, value: str) -> None:
        assert address("template_id", value)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Decimal(9007199254740993), "9007199254740993"),
            (Decimal("9007199254740993.00"), "9007199254740993"),
            (np.int64(9007199254740993), "9007199254740993"),
            (np.uint64(18446744073709551615), "18446744073709551615"),
            (np.str_("00017"), "00017"),
        ],
    )
    def test_whole_numbers_are_exact(self, value: object, text: str) -> None:
        assert address("pass_id", value) == f"/pass/{text}/notify"

    @pytest.mark.parametrize(
        "value", [Decimal("7.5"), Decimal("Infinity"), Fraction(7), Fraction(1, 3), np.bool_(True), 7j]
    )
    def test_what_is_no_whole_number_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="pass_id"):
            address("pass_id", value)

    @pytest.mark.parametrize("name", ["pass_id", "tag"])
    @pytest.mark.parametrize("value", ["1000001   ", " 1000001", "gold\u00a0"])
    def test_padded_id_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=f"{name} begins or ends with blanks.*CHAR"):
            address(name, value)


class TestTexts:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1250.0", "1250.0"),
            ("12.50", "12.50"),
            ("7.30", "7.30"),
            (" a \n", " a \n"),
            (12, "12"),
            (10**20, "1" + "0" * 20),
            (np.int32(-5), "-5"),
            (1250.0, "1250"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e-7, "0.0000001"),
            (1e16, "1" + "0" * 16),
            (1e23, "1" + "0" * 23),
            (-1.5e300, "-15" + "0" * 299),
            (np.float32(0.1), "0.1"),
            (np.float32(1250), "1250"),
            (np.float64(0.1), "0.1"),
            (Decimal("12.50"), "12.50"),
            (Decimal("12.00"), "12.00"),
            (Decimal("1E+3"), "1000"),
            (Decimal("1E-7"), "0.0000001"),
        ],
    )
    def test_one_rule(self, value: object, text: str) -> None:
        assert sent(value) == text

    @pytest.mark.parametrize(
        "value",
        [
            *(float("inf"), np.float32("inf"), Decimal("NaN"), Decimal("sNaN"), Fraction(1, 3), True, np.bool_(True)),
            np.timedelta64(5, "s"),
        ],
    )
    def test_what_has_no_text(self, value: object) -> None:
        with pytest.raises(ValueError, match="it must be text or a number"):
            sent(value)

    @pytest.mark.parametrize("value", [b"\xff", bytearray(b"\xff"), memoryview(b"\xff")])
    def test_bytes_are_no_text(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"value is bytes, not text .*not UTF-8"):
            sent(value)

    def test_numpy_nan_is_absent(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "Hello"})
        assert b"Hello" in (reader.read({"pass_id": 1, "value": np.float32("nan")}).request.body or b"")

    def test_many_decimals_are_told_once(self) -> None:
        reader = RowReader({"target_type": "pass", "value": "{points} points"})
        for points in (0.1 + 0.2, 1 / 3, 2.5):
            reader.read({"pass_id": 1, "points": points})
        assert reader.warnings == [
            (
                "The number 0.30000000000000004 in the column 'points' goes out with all its decimals. Round or format "
                "numbers where the rows come from, as with ROUND in SQL."
            )
        ]

    @pytest.mark.parametrize("value", ["0.12345678", 0.123456, Decimal("1.250000"), 12])
    def test_no_word_on_other_decimals(self, value: object) -> None:
        reader = RowReader({"target_type": "pass", "value": "{points}"})
        reader.read({"pass_id": 1, "points": value})
        assert reader.warnings == []
