"""CSV as people and programs write it: what is read unchanged, what is a bad row, and what breaks the whole file."""

from __future__ import annotations

import io
from typing import Any

import pytest

from airflow_provider_passnotify.rows import csv
from airflow_provider_passnotify.rows.files import check_file_name, read_file
from airflow_provider_passnotify.rows.source import BadRow


def read(text: str) -> list[Any]:
    return list(read_file("a.csv", lambda: io.BytesIO(text.encode())))


def reason(row: Any) -> str:
    assert isinstance(row, BadRow), row
    return row.reason


class TestQuotes:
    def test_blank_after_a_comma(self) -> None:
        rows = read('"pass_id", "value"\n1000001, "Hello ""Ann"", hi"\n1000002,  Bob\n')
        assert rows == [
            {"pass_id": "1000001", "value": 'Hello "Ann", hi'},
            {"pass_id": "1000002", "value": "Bob"},
        ]

    @pytest.mark.parametrize("line", ['1,say "hi"', '1,a"b', '1"2,x', '1,\t"x"', '1,x "', '1,x"\n2,y"'])
    def test_quote_inside_a_field(self, line: str) -> None:
        rows = read(f"pass_id,value\n{line}\n9,z\n")
        assert "line 2: a quote stands inside a field" in reason(rows[0])
        assert rows[-1] == {"pass_id": "9", "value": "z"}

    def test_quote_inside_a_name(self) -> None:
        with pytest.raises(ValueError, match=r"header of the CSV cannot be read: .*a quote stands inside a field"):
            read('pass_id,\t"value"\n1,x\n')

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ('""', ""),
            ('"\n"', "\n"),
            ('"""a"""', '"a"'),
            ('"a ""b"", c"', 'a "b", c'),
            ('"a\nb, c, d"', "a\nb, c, d"),
            ('"a\r\n\r\nb"', "a\r\n\r\nb"),
            ('  " a "', " a "),
        ],
    )
    def test_what_quotes_may_hold(self, field: str, value: str) -> None:
        assert read(f"pass_id,value\n1,{field}\n") == [{"pass_id": "1", "value": value}]

    def test_rows_that_a_quote_swallows(self) -> None:
        rows = read('pass_id,value\n1,a\n2,"Your code is 22\n3,Your code is 33\n4,Your code is 44"\n5,e\n')
        assert [row["pass_id"] for row in (rows[0], rows[2])] == ["1", "5"]
        assert reason(rows[1]).startswith("lines 3 to 5 are one text in quotes, and each line looks like a row")

    def test_rows_that_a_quote_swallows_with_blank_lines_between(self) -> None:
        rows = read('a,b,c\n1,"x,y\n\n2,x y,z\n3,w",q\n')
        assert reason(rows[0]).startswith("lines 2 to 5 are one text in quotes")

    def test_a_text_over_several_lines(self) -> None:
        rows = read('pass_id,value\n1,"Hello Ann\nYour table is ready"\n2,"Dear Bob,\n\nno, no, no"\n')
        assert [row["value"] for row in rows] == ["Hello Ann\nYour table is ready", "Dear Bob,\n\nno, no, no"]

    def test_large_text_in_quotes(self) -> None:
        text = 'a ""b"" \n' * 200_000
        assert read(f'pass_id,value\n1,"{text}"\n') == [{"pass_id": "1", "value": text.replace('""', '"')}]


class TestEmptyLines:
    def test_lines_of_commas_and_blanks(self) -> None:
        assert read(' ,\n,\npass_id,value\n1,a\n,\n , \n  \n\t,\n"",\n2,b\n,,,,\n') == [
            {"pass_id": "1", "value": "a"},
            {"pass_id": "2", "value": "b"},
        ]

    def test_bad_line_after_them_is_named_with_its_number(self) -> None:
        rows = read("pass_id,value\n,\n\n1,a,b\n")
        assert reason(rows[0]) == "line 4 has 3 fields, and the header 2."


class TestNoCsv:
    @pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
    def test_other_separators(self, mark: str, word: str) -> None:
        with pytest.raises(ValueError, match=f"separated by {word}, not by commas"):
            read(f"pass_id{mark}value\n1{mark}a\n")

    @pytest.mark.parametrize("header", ["pass_id;value,label", "name, first\tPass ID", "x,pass_id|value"])
    def test_other_separators_and_a_comma_in_a_name(self, header: str) -> None:
        with pytest.raises(ValueError, match=r"separated by .*, not by commas"):
            read(f"{header}\n1,a\n")

    def test_other_marks_in_a_name(self) -> None:
        assert read("pass_id,a;b\n1,x\n") == [{"pass_id": "1", "a;b": "x"}]

    def test_carriage_returns_alone(self) -> None:
        with pytest.raises(ValueError, match=r"header of the CSV cannot be read: .*carriage return \(CR\) alone"):
            read("pass_id,value\r1,a\r2,b\r")
        assert "line 2 is not CSV: a line ends with a carriage return" in reason(read("pass_id,value\n1,a\r2,b\n")[0])

    def test_one_column(self) -> None:
        assert read("pass_id\n1\n2\n") == [{"pass_id": "1"}, {"pass_id": "2"}]

    def test_two_spellings_of_one_column(self) -> None:
        with pytest.raises(ValueError, match="two columns called 'pass_id'"):
            read("pass_id,value,Pass ID\n1,a,2\n")

    @pytest.mark.parametrize(
        ("name", "kind"), [("/data/*.csv", "pattern"), ("s3://c@b/rows.csv/", "folder"), ("/data", "folder")]
    )
    def test_no_file(self, name: str, kind: str) -> None:
        with pytest.raises(ValueError, match=kind):
            check_file_name(name)

    def test_a_folder_called_like_a_file(self, tmp_path: Any) -> None:
        with pytest.raises(ValueError, match="is a folder"):
            list(read_file("rows.csv", lambda: tmp_path.open("rb")))

    def test_a_column_is_not_compared_with_all_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared = 0

        class Name(str):
            __slots__ = ()
            __hash__ = str.__hash__

            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return str.__eq__(self, other)

        monkeypatch.setattr(csv, "column_name", lambda name: Name(name))
        names = [f"column_{number}" for number in range(2_000)]
        (row,) = read(",".join(names) + "\n" + ",".join("x" * 2_000) + "\n")
        assert len(row) == 2_000
        assert compared < 2_000, "2 million, and 2.8 s for 16,000 columns, when each was looked for among all"
