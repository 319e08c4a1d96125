"""Rows of a query, from real databases."""

from __future__ import annotations

import builtins
import json
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_passnotify.exceptions import InvalidNotificationError, PassNotifyConfigError
from airflow_provider_passnotify.rows.sql import stream_rows
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator
from tests.batch_tools import FIRST, context
from tests.stores import FileStore

ROWS = 12_000


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=ROWS) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        yield sandbox


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "points.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE customers (PASS_ID INTEGER, points REAL, note TEXT)")
        rows = ((FIRST + number, number, "10% off") for number in range(ROWS))
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    return file


def operator(sql: str, **options: Any) -> SqlToPassNotifyOperator:
    options = {"target_type": "pass", "value": "You have {points} points", **options}
    return SqlToPassNotifyOperator(task_id="sql", sql=sql, sql_conn_id="points_db", **options)


def shown(sandbox: RunningSandbox, pass_id: int) -> str:
    value: str = sandbox.deliveries()["passes"][str(pass_id)]["received"][-1]["value"]
    return value


class TestSqlite:
    @pytest.mark.usefixtures("database")
    def test_sends_each_row(self, sandbox: RunningSandbox) -> None:
        summary = operator("SELECT PASS_ID, points FROM customers WHERE points < ?", parameters=[700]).execute(
            context()
        )
        assert summary["sent"] == 700
        assert shown(sandbox, FIRST + 5) == "You have 5 points"

    @pytest.mark.usefixtures("database")
    def test_percent_sign_is_no_parameter(self, sandbox: RunningSandbox) -> None:
        sql = "SELECT pass_id, note FROM customers WHERE note LIKE '10%' AND points = :points;"
        summary = operator(sql, value="{note}", parameters={"points": 7}).execute(context())
        assert (summary["sent"], shown(sandbox, FIRST + 7)) == (1, "10% off")

    @pytest.mark.usefixtures("database")
    def test_empty_query(self, sandbox: RunningSandbox) -> None:
        assert operator("SELECT pass_id, points FROM customers WHERE 1 = 0").execute(context())["total"] == 0
        assert sandbox.requests()["total"] == 0

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("streamed", [True, False])
    def test_query_that_fails_after_10000_rows_sends_nothing(
        self, sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
    ) -> None:
        if not streamed:
            monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", _no_engine)
        store = FileStore(tmp_path)
        # abs() of the smallest integer is an error of SQLite's, met when its row is read.
        sql = (
            f"SELECT pass_id, CASE WHEN points < 10000 THEN points ELSE abs(-9223372036854775808) END AS points "
            f"FROM customers WHERE pass_id < {FIRST + ROWS}"
        )
        with pytest.raises(Exception, match="integer overflow"):
            operator(sql).execute(context(store))
        assert (sandbox.counts(), store.writes) == ({}, 0)

    @pytest.mark.usefixtures("sandbox")
    def test_no_transaction_is_open_while_sending(self, database: Path) -> None:
        hook = SqliteHook("points_db")
        rows = stream_rows(hook, "SELECT pass_id FROM customers")
        next(iter(rows))
        with sqlite3.connect(database, timeout=0) as writer, pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.execute("DROP TABLE customers")
        assert len(list(rows)) == ROWS - 1
        with sqlite3.connect(database, timeout=0) as writer:
            writer.execute("DROP TABLE customers")

    @pytest.mark.usefixtures("database")
    def test_cursor_where_there_is_no_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sql = "SELECT PASS_ID, points FROM customers WHERE points < ? ORDER BY points"
        streamed = list(stream_rows(SqliteHook("points_db"), sql, [3000]))
        monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", _no_engine)
        assert list(stream_rows(SqliteHook("points_db"), sql, [3000])) == streamed
        assert streamed[2] == {"pass_id": FIRST + 2, "points": 2.0}
        assert len(streamed) == 3000

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("sql", ["SELECT ';' AS x -- a; b\n;", "/* a; b */ SELECT ';' AS x; -- the end\n"])
    def test_semicolon_that_ends_nothing(self, sql: str) -> None:
        assert list(stream_rows(SqliteHook("points_db"), sql)) == [{"x": ";"}]

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("parameters", [None, {}, []])
    def test_no_parameters_on_the_plain_cursor(self, parameters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[Any] = []

        class Cursor(sqlite3.Cursor):
            def execute(self, *args: Any) -> Any:
                given.append(args)
                return super().execute(*args)

        class Connection(sqlite3.Connection):
            def cursor(self) -> Any:  # type: ignore[override]
                return Cursor(self)

        monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", _no_engine)
        monkeypatch.setattr(SqliteHook, "get_conn", lambda _: Connection(":memory:"))
        assert list(stream_rows(SqliteHook("points_db"), "SELECT '5%' AS x", parameters)) == [{"x": "5%"}]
        assert given == [("SELECT '5%' AS x",)], "a driver that is given parameters looks for % in the query"

    @pytest.mark.usefixtures("sandbox")
    def test_what_a_query_writes_is_rolled_back(self, database: Path) -> None:
        operator("UPDATE customers SET points = 8 WHERE points = 7 RETURNING pass_id, points").execute(context())
        with sqlite3.connect(database) as connection:
            assert connection.execute("SELECT COUNT(*) FROM customers WHERE points = 7").fetchone() == (1,)

    @pytest.mark.usefixtures("database", "sandbox")
    @pytest.mark.parametrize(
        ("sql", "reason"),
        [
            ("SELECT pass_id, points AS PASS_ID FROM customers", "two columns called 'pass_id'"),
            ("UPDATE customers SET points = 1", "returns no rows"),
            ("SELECT 1 AS pass_id; SELECT 2 AS pass_id", "more than one statement.*'SELECT 2 AS pass_id'"),
        ],
    )
    def test_query_that_cannot_be_right(self, sql: str, reason: str) -> None:
        with pytest.raises(InvalidNotificationError, match=reason):
            operator(sql).execute(context())

    @pytest.mark.usefixtures("database", "sandbox")
    def test_connection_that_is_no_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", '{"conn_type": "smtp", "host": "example.com"}')
        with pytest.raises(PassNotifyConfigError, match="not a SQL connection"):
            operator("SELECT 1").execute(context())

    @pytest.mark.usefixtures("database", "sandbox")
    def test_without_the_sql_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own_import = builtins.__import__

        def no_sql(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.startswith("airflow.providers.common.sql"):
                raise ImportError(name)
            return own_import(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", no_sql)
        with pytest.raises(PassNotifyConfigError, match=r"airflow-provider-passnotify\[sql\]"):
            operator("SELECT 1").execute(context())

    @pytest.mark.parametrize("sql", ["", None, ["SELECT 1", "SELECT 2"]])
    def test_refused_while_the_dag_is_parsed(self, sql: Any) -> None:
        with pytest.raises(InvalidNotificationError, match="one query"):
            operator(sql)


def _no_engine(*_: object, **__: object) -> None:
    raise NotImplementedError("no SQLAlchemy here")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own, on a Unix socket."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("NOT TESTED: PostgreSQL, as initdb and pg_ctl are not on this machine")
    pytest.importorskip("airflow.providers.postgres", reason="NOT TESTED: PostgreSQL, as its provider is not installed")
    folder = tmp_path_factory.mktemp("pg")
    data = folder / "data"
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if _is_root() else []
    if become:
        data.mkdir()
        for path in (folder, data):
            shutil.chown(path, 65534, 65534)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run([*become, "initdb", "-D", data, "-U", "postgres", "-A", "trust"], check=True, capture_output=True)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    start = [*become, "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f'{{"conn_type": "postgres", "host": "{folder}", "login": "postgres", "schema": "postgres"}}'
    subprocess.run([*become, "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, capture_output=True)


def _is_root() -> bool:
    return os.geteuid() == 0


class TestPostgres:
    def test_streams_and_sends(
        self, sandbox: RunningSandbox, postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", postgres)
        sql = (
            f"SELECT {FIRST} + number AS \"PASS_ID\", number::numeric(10, 2) AS points, DATE '2026-01-02' AS day "
            "FROM generate_series(0, %(most)s) AS number WHERE 'x%%' LIKE 'x%%'"
        )
        text = "{points} until {day}"
        assert operator(sql, parameters={"most": 99}, value=text).execute(context())["sent"] == 100
        assert shown(sandbox, FIRST + 5) == "5.00 until 2026-01-02"
        assert "No streaming" not in caplog.text

    def test_rows_are_not_all_in_memory(self, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", postgres)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = stream_rows(
            PostgresHook("points_db"), "SELECT repeat('x', 1000) AS value FROM generate_series(1, 200000)"
        )
        assert sum(1 for _ in rows) == 200_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024, "KB, of 200 MB"
