"""Any id and any text, from every source: the server receives it byte for byte, or its row is refused."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_passnotify.exceptions import BatchFailedError
from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator
from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator
from tests.batch_tools import context
from tests.servers import Server, answer, serving

ODD = [
    *("1.0", "1E+06", "..", "/", "a/b?c#d", "%2F", " 1", "1 ", "None", "\\N", "NULL", "nan"),
    *('"', ",", "\n", "\r\n", "'", "{x}", "{{ x }}"),
]
TEXT = st.one_of(st.text(max_size=30), st.sampled_from(ODD), st.text(alphabet='a ",\n\r{}\\;\t|', max_size=12))
NUMBERS = st.text(alphabet="0123456789.eE+-", min_size=1, max_size=12)
IDS = st.one_of(TEXT, st.integers(min_value=0, max_value=2**70).map(str), NUMBERS)
ROWS = st.lists(st.tuples(IDS, TEXT), min_size=1, max_size=12)
SOURCES = ["list", "csv", "jsonl", "sql"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(answer(200, body=b'{"ticketId": 1}')) as server:
        fields = {"conn_type": "passnotify", "host": server.url, "password": "a2V5", "extra": {"allow_http": True}}
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", json.dumps(fields))
        yield server


def operator(source: str, rows: list[tuple[str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    options: dict[str, Any] = {"task_id": "wire", "target_type": "pass", "max_failures": 0}
    if source == "sql":
        file = folder / "rows.db"
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE c (pass_id TEXT, value TEXT)")
            connection.executemany("INSERT INTO c VALUES (?, ?)", rows)
        monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps({"conn_type": SqliteHook.conn_type, "host": str(file)}))
        return SqlToPassNotifyOperator(sql="SELECT pass_id, value FROM c", sql_conn_id="points_db", **options)
    named = [{"pass_id": pass_id, "value": value} for pass_id, value in rows]
    made = SendNotificationBatchOperator(notifications=[], **options)
    made.notifications = named  # as from an XCom: rows of the DAG file may hold no templates
    if source != "list":
        made.notifications = str(folder / f"rows.{source}")
        with Path(made.notifications).open("w", encoding="utf-8", newline="") as out:
            if source == "jsonl":
                out.writelines(json.dumps(row) + "\n" for row in named)
            else:
                writer = csv.writer(out, quoting=csv.QUOTE_ALL)
                writer.writerows([["pass_id", "value"], *rows])
    return made


@pytest.mark.parametrize("source", SOURCES)
@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(rows=[("16777217", "x"), ("1000001.0", "y"), ("000", "1250.0"), ("9" * 30, "ä€😀\u2028\x7f")])
@given(rows=ROWS)
def test_byte_for_byte_or_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, rows: list[tuple[str, str]]
) -> None:
    storable = [(a, b) for a, b in rows if _can_be_written(source, a + b)]
    before = len(server.received)
    now = context()
    try:
        summary = operator(source, storable, tmp_path, monkeypatch).execute(now)
    except BatchFailedError as error:
        summary = error.summary
    arrived = {
        (unquote_to_bytes(request.target.split("/")[3]), _bytes(json.loads(request.body)["value"]))
        for request in server.received[before:]
    }
    meant = [(_bytes(a), _bytes(b)) for a, b in storable]
    assert arrived <= set(meant), "what nobody wrote"
    refused = summary["failed"]
    left_out = [row for row in meant if row not in arrived]
    assert refused == len(left_out), "left out without a word"
    assert summary["total"] == len(storable)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _can_be_written(source: str, text: str) -> bool:
    """Half a surrogate pair is no UTF-8, an empty line is no row of a CSV, and Python 3.10 writes no NUL into one."""
    if source == "csv" and (not text.strip() or "\0" in text):
        return False
    return source in {"list", "jsonl"} or not any("\ud800" <= char <= "\udfff" for char in text)


def test_blank_after_a_comma_is_the_one_thing_that_csv_does_not_keep() -> None:
    from airflow_provider_passnotify.rows.files import read_file

    (row,) = read_file("a.csv", lambda: io.BytesIO(b"pass_id,value\n1, a \n"))
    assert row == {"pass_id": "1", "value": "a "}
