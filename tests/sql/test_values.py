"""What the values of a database become, and what stops the reading early."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.exceptions import InvalidNotificationError, PassNotifyError
from airflow_provider_passnotify.rows.reader import RowReader
from airflow_provider_passnotify.rows.sql import stream_rows
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator
from tests.batch_tools import FIRST, context
from tests.sql.conftest import CONN_ID, Database

STREAMING = ["psycopg2", "psycopg", "mysqlclient", "mysql-connector-python"]
MANY = {
    "PostgreSQL": "SELECT number AS pass_id, repeat('x', 1000) AS value FROM generate_series(1, {count}) AS number",
    "MariaDB": "SELECT seq AS pass_id, repeat('x', 1000) AS value FROM seq_1_to_{count}",
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=1000) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        yield sandbox


def operator(sql: str, **options: Any) -> SqlToPassNotifyOperator:
    options = {"target_type": "pass", "value": "You have {points} points", **options}
    return SqlToPassNotifyOperator(task_id="sql", sql=sql, sql_conn_id=CONN_ID, **options)


def shown(sandbox: RunningSandbox, pass_id: int) -> str:
    value: str = sandbox.deliveries()["passes"][str(pass_id)]["received"][-1]["value"]
    return value


def test_sends_each_row(database: Database, sandbox: RunningSandbox) -> None:
    database.run(
        "CREATE TABLE c (PASS_ID BIGINT, points DECIMAL(10, 2), day DATE)",
        *(f"INSERT INTO c VALUES ({FIRST + number}, {number}, '2026-01-02')" for number in range(20)),
    )
    if database.hook_class is not None:
        database.monkeypatch.setattr(SqlToPassNotifyOperator, "_sql_hook", lambda _: database.hook())
    database.connect()
    summary = operator("SELECT PASS_ID, points, day FROM c", value="{points} until {day}").execute(context())
    assert summary["sent"] == 20
    assert shown(sandbox, FIRST + 5) == ("5 until 2026-01-02" if database.kind == "SQLite" else "5.00 until 2026-01-02")


@pytest.mark.parametrize("driver", STREAMING)
def test_rows_are_not_all_in_memory(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = stream_rows(database.hook(), MANY[database.kind].format(count=200_000))
    assert sum(1 for _ in rows) == 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024, "KB, of 200 MB"


@pytest.mark.parametrize("driver", STREAMING)
class TestEndedEarly:
    def test_max_notifications(
        self, make_database: Callable[[str], Database], driver: str, sandbox: RunningSandbox
    ) -> None:
        database = make_database(driver)
        database.connect()
        with pytest.raises(InvalidNotificationError, match="more than 10 rows"):
            operator(MANY[database.kind].format(count=1_000_000), max_notifications=10).execute(context())
        assert sandbox.requests()["total"] == 0

    def test_rest_is_not_read(self, make_database: Callable[[str], Database], driver: str) -> None:
        database = make_database(driver)
        sent = "SHOW GLOBAL STATUS LIKE 'Bytes_sent'"
        before = int(database.run(sent)[0][1]) if database.kind == "MariaDB" else 0
        rows = stream_rows(database.hook(), MANY[database.kind].format(count=2_000_000))
        assert next(iter(rows))["pass_id"] == 1
        rows.close()  # type: ignore[attr-defined]  # it is a generator
        if database.kind == "MariaDB":
            assert int(database.run(sent)[0][1]) - before < 200_000_000, "bytes, of 2 GB"

    def test_told_to_stop_while_reading(
        self, make_database: Callable[[str], Database], driver: str, sandbox: RunningSandbox
    ) -> None:
        database = make_database(driver)
        database.connect()
        batch = operator(MANY[database.kind].format(count=1_000_000))
        reading = threading.Event()
        own_rows = batch._rows

        def rows(now: Any) -> Iterator[Any]:
            for row in own_rows(now):
                if not reading.is_set():
                    batch.on_kill()
                    reading.set()
                yield row

        batch._rows = rows  # type: ignore[method-assign,assignment]
        with pytest.raises(PassNotifyError, match="Not sent: the task was told to stop"):
            batch.execute(context())
        assert sandbox.requests()["total"] == 0


class TestIds:
    def test_float_column(self, database: Database) -> None:
        kinds = {"PostgreSQL": "FLOAT8", "MariaDB": "DOUBLE", "SQLite": "REAL", "DuckDB": "DOUBLE"}
        database.run(f"CREATE TABLE c (pass_id {kinds[database.kind]})", "INSERT INTO c VALUES (16777217)")
        (row,) = stream_rows(database.hook(), "SELECT pass_id FROM c")
        with pytest.raises(ValueError, match=r"not float.*CAST of the original column"):
            RowReader({"target_type": "pass", "value": "x"}).read(row)

    def test_large_ids_are_exact(self, database: Database) -> None:
        database.run("CREATE TABLE c (pass_id BIGINT)", "INSERT INTO c VALUES (9007199254740993), (NULL)")
        first, second = stream_rows(database.hook(), "SELECT pass_id FROM c ORDER BY pass_id IS NULL")
        reader = RowReader({"target_type": "pass", "value": "x"})
        assert reader.read(first).request.address == "/pass/9007199254740993/notify"
        with pytest.raises(ValueError, match="pass_id missing"):
            reader.read(second)

    @pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
    def test_padded_char(self, make_database: Callable[[str], Database], driver: str) -> None:
        database = make_database(driver)
        database.run("CREATE TABLE c (pass_id CHAR(10))", "INSERT INTO c VALUES ('1000001')")
        (row,) = stream_rows(database.hook(), "SELECT pass_id FROM c")
        with pytest.raises(ValueError, match=r"begins or ends with blanks.*CHAR"):
            RowReader({"target_type": "pass", "value": "x"}).read(row)


class TestTextThatIsNone:
    """A text that cannot be decoded makes only its own row fail."""

    def test_sqlite(self, make_database: Callable[[str], Database]) -> None:
        database = make_database("sqlite")
        database.run(
            "CREATE TABLE c (pass_id INTEGER, value TEXT)",
            "INSERT INTO c VALUES (1, 'ä'), (2, CAST(x'ff' AS TEXT)), (3, 'c')",
        )
        self._check(stream_rows(database.hook(), "SELECT pass_id, value FROM c ORDER BY pass_id"))

    @pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
    @pytest.mark.parametrize("encoding", [None, "UTF8", "SQL_ASCII"])
    def test_postgres(
        self,
        make_database: Callable[[str], Database],
        driver: str,
        ascii_postgres: tuple[Path, int],
        encoding: str | None,
    ) -> None:
        database = make_database(driver)
        folder, database.fields["port"] = ascii_postgres
        database.fields["host"] = str(folder)
        if encoding:
            database.extra["client_encoding"] = encoding
        sql = (
            "SELECT * FROM (VALUES (1, E'\\xc3\\xa4'), (2, E'\\xff'), (3, 'ö')) AS c (pass_id, value) WHERE value <> %s"
        )
        self._check(stream_rows(database.hook(), sql, ["ä?"]))
        self._check(stream_rows(database.hook(), sql.partition(" WHERE")[0]))

    @staticmethod
    def _check(rows: Iterator[Any]) -> None:
        reader = RowReader({"target_type": "pass"})
        first, second, third = rows
        assert b"\\u00e4" in (reader.read(first).request.body or b"")
        with pytest.raises(ValueError, match="value is bytes, not text"):
            reader.read(second)
        assert reader.read(third)
