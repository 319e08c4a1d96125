"""Random files and rows: each row becomes a message, or is refused with a reason."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_passnotify.rows.files import read_file
from airflow_provider_passnotify.rows.reader import RowReader
from airflow_provider_passnotify.rows.source import BadRow
from airflow_provider_passnotify.targets import ID_NAMES

NAMES = st.sampled_from(["target_type", "value", "label", "dedupe_key", "Pass_ID", "templateId", "x", *ID_NAMES])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
ROWS = st.dictionaries(NAMES, VALUES, max_size=6)
TYPES = st.sampled_from([None, "pass", "external_pass", "segment", "tag", "template", "external_template"])


@given(TYPES, ROWS)
def test_a_row_is_a_message_or_refused(target_type: str | None, row: dict[str, Any]) -> None:
    try:
        message = RowReader({"target_type": target_type, "value": "Hello"}).read(row)
    except ValueError as error:
        assert str(error)
        return
    body = json.loads(message.request.body or b"null")
    assert isinstance(body["value"], str)
    assert body["value"].strip()


@given(st.sampled_from(["rows.csv", "rows.jsonl", "rows.csv.gz", "rows.jsonl.gz"]), st.binary(max_size=300))
def test_a_file_is_read_or_refused(name: str, content: bytes) -> None:
    try:
        rows = list(read_file(name, lambda: io.BytesIO(content)))
    except ValueError as error:
        assert str(error)
        return
    assert all(isinstance(row, (dict, BadRow)) for row in rows)


@given(st.lists(st.dictionaries(NAMES, st.none() | st.integers() | st.text(), max_size=4), max_size=4))
def test_json_lines_come_back_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    read = list(read_file("rows.jsonl", lambda: io.BytesIO(content)))
    assert [row for row in read if not isinstance(row, BadRow)] == rows
