"""Files and lists of rows: what is a row, what is a bad row, and what breaks the whole source."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.files import check_file_name, read_file
from airflow_provider_passnotify.rows.source import BadRow, LiteralRows, read_list

BOM = b"\xef\xbb\xbf"


def read(name: str, data: bytes) -> list[Any]:
    if name.endswith(".gz"):
        data = gzip.compress(data)
    return list(read_file(name, lambda: io.BytesIO(data)))


def reasons(rows: list[Any]) -> dict[int, str]:
    return {number: row.reason for number, row in enumerate(rows, 1) if isinstance(row, BadRow)}


class TestJsonLines:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "A.JSONL", "a.jsonl.gz", "s3://c@b/a.jsonl"])
    @pytest.mark.parametrize("mark", [b"", BOM])
    def test_reads(self, name: str, mark: bytes) -> None:
        assert read(name, mark + b'{"pass_id": 1}\r\n\n{"pass_id": "\xc3\xa4"}') == [{"pass_id": 1}, {"pass_id": "ä"}]

    def test_empty(self) -> None:
        assert read("a.jsonl", b"") == []
        assert read("a.jsonl.gz", BOM) == []

    def test_bad_lines_do_not_keep_the_others(self) -> None:
        rows = read("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\nnonsense\n[1]\n' + b"[" * 100_000 + b'\n{"a": 2}\n')
        assert (rows[0], rows[5]) == ({"a": 1}, {"a": 2})
        found = reasons(rows)
        assert found[2] == "line 2 is not UTF-8: invalid start byte at byte 7."
        assert found[3].startswith("line 3 is not JSON")
        assert found[4] == "line 4 is a JSON list, not an object."
        assert found[5].startswith("line 5 is not JSON")

    def test_json_array_is_told_apart(self) -> None:
        with pytest.raises(ValueError, match="one object a line"):
            read("a.json", b'[\n{"a": 1}\n]')

    def test_line_without_end_does_not_take_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "MAX_LINE_BYTES", 1024 * 1024)
        rows = read("a.jsonl", b'{"a": 1}\n' + b"x" * 5_000_000 + b'\n{"a": 2}\n')
        assert (rows[0], rows[2]) == ({"a": 1}, {"a": 2})
        assert reasons(rows) == {2: "line 2 is longer than 1 MB."}


class TestCsv:
    @pytest.mark.parametrize("name", ["a.csv", "a.CSV.gz"])
    @pytest.mark.parametrize("mark", [b"", BOM])
    def test_reads(self, name: str, mark: bytes) -> None:
        rows = read(name, mark + b'\npass_id,value\r\n1,"a, ""b""\nc"\r\n\r\n2,\xc3\xa4\n')
        assert rows == [{"pass_id": "1", "value": 'a, "b"\nc'}, {"pass_id": "2", "value": "ä"}]

    def test_empty(self) -> None:
        assert read("a.csv", b"") == read("a.csv", BOM) == read("a.csv", b"pass_id,value\n") == []

    def test_bad_lines_do_not_keep_the_others(self) -> None:
        rows = read("a.csv", b'a,b\n1,2\n3\n4,5,6\n7,\xff\n8,\0\n9,"x"y\n10,11\n')
        assert (rows[0], rows[6]) == ({"a": "1", "b": "2"}, {"a": "10", "b": "11"})
        found = reasons(rows)
        assert found[2] == "line 3 has 1 fields, and the header 2."
        assert found[3] == "line 4 has 3 fields, and the header 2."
        assert found[4] == "line 5 is not UTF-8: invalid start byte at byte 2."
        assert found[5] == "line 6 holds a NUL byte."
        assert found[6].startswith("line 7 is not CSV")

    def test_large_value_goes_through_and_the_limit_of_the_process_stays(self) -> None:
        import csv

        before = csv.field_size_limit()
        assert read("a.csv", b"a\n" + b"x" * 10_000_000 + b"\n") == [{"a": "x" * 10_000_000}]
        assert csv.field_size_limit() == before

    def test_header_that_cannot_be_read(self) -> None:
        with pytest.raises(ValueError, match="header of the CSV cannot be read"):
            read("a.csv", b"a,\xff\n1,2\n")


class TestWholeFile:
    def test_utf16(self) -> None:
        with pytest.raises(ValueError, match="UTF-16"):
            read("a.csv", "a,b\n".encode("utf-16"))

    @pytest.mark.parametrize(
        "damage", [lambda data: data[:-10], lambda _: b"no gzip", lambda data: data[:12] + b"!" * 9, lambda _: b""]
    )
    def test_damaged_gzip(self, damage: Any) -> None:
        data = damage(gzip.compress(b'{"a": 1}\n' * 1000))
        with pytest.raises(ValueError, match="not a whole gzip file"):
            list(read_file("a.jsonl.gz", lambda: io.BytesIO(data)))

    @pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.xlsx", "a.csv.zip"])
    def test_unknown_ending(self, name: str) -> None:
        with pytest.raises(ValueError, match="must end in"):
            check_file_name(name)


def test_list_with_what_is_no_row() -> None:
    rows = list(read_list([{"a": 1}, "x", None, {"a": 2}]))
    assert (rows[0], rows[3]) == ({"a": 1}, {"a": 2})
    assert reasons(rows) == {2: "it is str, not a mapping: 'x'.", 3: "it is NoneType, not a mapping: None."}


def test_literal_rows_are_shown_in_short() -> None:
    shown = repr(LiteralRows([{"pass_id": number, "value": "x" * 1000} for number in range(10_000)]))
    assert len(shown) < 1000
    assert shown.endswith("(10000 rows)")


def test_csv_with_two_columns_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="two columns called 'points'"):
        read("a.csv", b"pass_id,points,name, Points\n1,5,Ann,0\n")


def test_csv_in_which_a_quote_swallows_rows_is_refused() -> None:
    rows = b"".join(b"%d,x\n" % number for number in range(100))
    with pytest.raises(ValueError, match=r"from line 3 on \(a quote that is not closed\?\)"):
        read("a.csv", b'pass_id,value\n1,x\n2,"x\n' + rows)


def test_csv_with_a_bad_line_after_an_empty_one() -> None:
    rows = read("a.csv", b'pass_id,value\n1,a\n\n2,"a"b\n3,c\n')
    assert [row if isinstance(row, BadRow) else row["value"] for row in rows] == [
        "a",
        BadRow("line 4 is not CSV: ',' expected after '\"'."),
        "c",
    ]


def test_csv_with_columns_without_a_name() -> None:
    assert read("a.csv", b"pass_id,value,, \n1,a,x,y\n") == [{"pass_id": "1", "value": "a", "": "y"}]
