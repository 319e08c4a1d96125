"""JSON Lines, and files that look like JSON Lines."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from airflow_provider_passnotify.rows.files import read_file
from airflow_provider_passnotify.rows.source import BadRow

ROWS = [{"pass_id": number, "value": "x"} for number in (1, 2, 3)]


def read(text: str) -> list[Any]:
    return list(read_file("a.json", lambda: io.BytesIO(text.encode())))


def reasons(text: str) -> list[str]:
    return [row.reason for row in read(text) if isinstance(row, BadRow)]


@pytest.mark.parametrize(
    "text",
    [
        '{"rows": [\n' + ",\n".join(json.dumps(row) for row in ROWS) + "\n]}\n",
        "[\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]\n",
        "\n \n[" + ",\n".join(json.dumps(row) for row in ROWS) + "]\n",
        json.dumps(ROWS),
        "\n" + json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps({"rows": ROWS}, indent=0),
        json.dumps(ROWS[0], indent=1),
        ",\n".join(json.dumps(row) for row in ROWS),
        "".join(json.dumps(row) + ",\n" for row in ROWS),
        json.dumps(ROWS[0]) + "\n[\n" + json.dumps(ROWS[1]) + "\n]\n",
        '{"rows":\n[\n' + "\n,".join(json.dumps(row) for row in ROWS) + "]}",
        json.dumps({"rows": ROWS}),
        json.dumps({"template_id": 7, "value": "x", "passes": [{"Pass ID": 1}]}) + "\n",
        json.dumps(ROWS[0]) + '\n{"label": "x", "data": [ {"passId": 1}, 5]}\n',
        json.dumps({"value": "x", "page": {"of": 3, "items": ROWS}}) + "\n",
        json.dumps({"value": "x", "pages": [[], [{"rows": ROWS}]]}) + "\n",
    ],
)
def test_another_kind_of_json_is_refused_whole(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one object a line \(JSON Lines\)"):
        read(text)


def test_several_objects_on_a_line_are_several_bad_rows() -> None:
    rows = read('{"pass_id": 1}{"pass_id": 2} {"pass_id": 3}\n{"pass_id": 4}\n{"pass_id": 5}, {"pass_id": 6}\n')
    assert [row if isinstance(row, dict) else row.reason for row in rows] == [
        *["line 1 holds 3 objects; write one object a line (JSON Lines)."] * 3,
        {"pass_id": 4},
        *["line 3 holds 2 objects; write one object a line (JSON Lines)."] * 2,
    ]


def test_key_twice_in_one_object() -> None:
    assert reasons('{"pass_id": 1, "value": "a", "pass_id": 2}\n{"pass_id": 3}\n{"x": {"y": 1, "y": 2}}\n') == [
        "line 1 has the key 'pass_id' twice in one object.",
        "line 3 has the key 'y' twice in one object.",
    ]


def test_lists_that_hold_no_rows() -> None:
    rows = [{"pass_id": 1, "x": [1, 2]}, {"pass_id": 2, "x": [{"name": "[{"}]}, {"pass_id": 3, "value": '[{"pass_id"'}]
    rows += [
        {"pass_id": 4, "x": {"y": [{"z": [1]}], "tag": "v1"}},
        {"pass_id": 5, "x": json.loads("[" * 900 + "]" * 900)},
    ]
    assert read("".join(json.dumps(row) + "\n" for row in rows)) == rows


def test_damaged_lines_are_bad_rows() -> None:
    rows = read('{"pass_id": 1}\n{"pass_id": \n{"pass_id": 3}\n{"pass_id": 4\nnull\n{}\n')
    assert [row for row in rows if isinstance(row, dict)] == [{"pass_id": 1}, {"pass_id": 3}, {}]
    assert len(rows) == 6


def test_whole_numbers_are_exact_and_floats_stay_floats() -> None:
    (row,) = read('{"pass_id": 9007199254740993, "x": 9007199254740993.0, "y": 123456789012345678901234567890}')
    assert row == {"pass_id": 9007199254740993, "x": 9007199254740992.0, "y": 123456789012345678901234567890}
    assert isinstance(row["x"], float)
