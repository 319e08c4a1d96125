"""Rows of a query, from SQLite; other databases are in tests/sql."""

from __future__ import annotations

import builtins
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from jinja2 import FileSystemLoader, TemplateNotFound

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
    return SqlToPassNotifyOperator(task_id="sql", sql=sql, **{"sql_conn_id": "points_db", **options})


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
    def test_query_that_fails_after_10000_rows_sends_nothing(self, sandbox: RunningSandbox, tmp_path: Path) -> None:
        # abs() of the smallest integer is an error in SQLite. It comes when this row is read.
        sql = (
            f"SELECT pass_id, CASE WHEN points < 10000 THEN points ELSE abs(-9223372036854775808) END AS points "
            f"FROM customers WHERE pass_id < {FIRST + ROWS}"
        )
        with pytest.raises(Exception, match="integer overflow"):
            operator(sql).execute(context(FileStore(tmp_path)))
        assert sandbox.counts() == {}

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

        monkeypatch.setattr(SqliteHook, "get_conn", lambda _: Connection(":memory:"))
        assert list(stream_rows(SqliteHook("points_db"), "SELECT '5%' AS x", parameters)) == [{"x": "5%"}]
        assert given[1:] == [("SELECT '5%' AS x",)], "a driver that is given parameters looks for % in the query"

    @pytest.mark.parametrize(
        "sql", ["UPDATE customers SET points = 8 RETURNING pass_id, points", "DROP TABLE customers", "VACUUM"]
    )
    def test_write_is_refused_by_the_database(self, sandbox: RunningSandbox, database: Path, sql: str) -> None:
        before = database.read_bytes()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            operator(sql).execute(context())
        assert (database.read_bytes(), sandbox.counts()) == (before, {})

    @pytest.mark.usefixtures("database", "sandbox")
    def test_several_statements(self) -> None:
        refused = (sqlite3.ProgrammingError, sqlite3.Warning)  # the second before Python 3.11
        with pytest.raises(refused, match="one statement at a time"):
            operator("SELECT 1 AS pass_id; SELECT 2 AS pass_id").execute(context())

    @pytest.mark.usefixtures("database", "sandbox")
    @pytest.mark.parametrize(
        ("sql", "reason"),
        [
            ("SELECT pass_id, points AS PASS_ID FROM customers", "two columns called 'pass_id'"),
            ('SELECT pass_id, points AS "Pass ID" FROM customers', "two columns called 'pass_id'"),
            ("BEGIN", "returns no rows"),
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

    @pytest.mark.parametrize("sql", ["", " ", None, 5, ["SELECT 1", "SELECT 2"]])
    def test_refused_while_the_dag_is_parsed(self, sql: Any) -> None:
        with pytest.raises(InvalidNotificationError, match="one query"):
            operator(sql)

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [*(("sql_conn_id", wrong) for wrong in ("", None, 5)), ("parameters", "x"), ("parameters", 5)],
    )
    def test_an_argument_of_another_kind_is_refused_while_the_dag_is_parsed(self, name: str, wrong: Any) -> None:
        with pytest.raises(InvalidNotificationError, match=f"Task 'sql': {name} must be .*, not {wrong!r}"):
            operator("SELECT 1", **{name: wrong})


class MappingHook(SqliteHook):
    """A hook whose connection returns rows as mappings."""

    def get_conn(self) -> Any:
        connection = super().get_conn()
        connection.row_factory = lambda cursor, row: {
            name[0]: value for name, value in zip(cursor.description, row, strict=True)
        }
        return connection


class OtherConnection:
    """The connection of an unknown driver."""

    def __init__(self, **cursor: Any) -> None:
        self.cursor_class = type("Cursor", (OtherCursor,), cursor)
        self.closed = False

    def cursor(self) -> Any:
        return self.cursor_class()

    def close(self) -> None:
        self.closed = True
        raise RuntimeError("Commands out of sync")


class OtherCursor:
    description = (("PASS_ID",),)
    rows: tuple[Any, ...] = ((1,), (2,))

    def execute(self, sql: str) -> None:  # noqa: ARG002
        self.left = list(self.rows)

    def fetchmany(self, count: int) -> list[Any]:
        found, self.left = self.left[:count], self.left[count:]
        return found


class NotSupportedError(Exception):
    """As a driver's, by its name."""


def not_supported(_: Any) -> None:
    raise NotSupportedError


class Hook:
    def __init__(self, **cursor: Any) -> None:
        self.connection = OtherConnection(**cursor)

    def get_conn(self) -> Any:
        return self.connection


class TestOtherDrivers:
    @pytest.mark.usefixtures("database")
    def test_rows_that_are_mappings(self) -> None:
        rows = list(stream_rows(MappingHook("points_db"), "SELECT pass_id, note FROM customers LIMIT 1"))
        assert rows == [{"PASS_ID": FIRST, "note": "10% off"}]

    def test_what_goes_wrong_while_closing_does_not_hide_the_reason(self) -> None:
        hook = Hook(rows=((1,), (2, 3)))
        with pytest.raises(ValueError, match="zip"):
            list(stream_rows(hook, "SELECT pass_id"))
        assert hook.connection.closed
        assert list(stream_rows(Hook(), "SELECT pass_id")) == [{"PASS_ID": 1}, {"PASS_ID": 2}]

    @pytest.mark.parametrize("cursor", [{}, {"nextset": not_supported}])
    def test_statements_are_counted_where_the_driver_cannot_tell(self, cursor: dict[str, Any]) -> None:
        assert len(list(stream_rows(Hook(**cursor), "SELECT pass_id;"))) == 2
        with pytest.raises(ValueError, match="more than one statement"):
            list(stream_rows(Hook(**cursor), "SELECT pass_id; DELETE FROM w"))

    def test_second_result(self) -> None:
        with pytest.raises(ValueError, match="more than one result"):
            list(stream_rows(Hook(nextset=lambda _: True), "CALL both()"))

    def test_text_in_which_no_statement_can_be_found(self) -> None:
        with pytest.raises(ValueError, match="whether it is one statement cannot be told"):
            list(stream_rows(Hook(), "SELECT 'a; b"))


class TestSqlFile:
    """Only ``sql`` may name a file."""

    @staticmethod
    def rendered(operator: SqlToPassNotifyOperator, folder: Path) -> SqlToPassNotifyOperator:
        environment = operator.get_template_env()
        environment.loader = FileSystemLoader(folder)
        operator.render_template_fields({"ds": "2026-01-02"}, environment)  # type: ignore[typeddict-item]
        return operator

    def test_file_is_read_and_rendered(self, tmp_path: Path) -> None:
        (tmp_path / "a.sql").write_text("SELECT '{{ ds }}' AS day\n")
        assert self.rendered(operator("a.sql"), tmp_path).sql == "SELECT '2026-01-02' AS day"

    def test_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(TemplateNotFound, match=r"a\.sql"):
            self.rendered(operator("a.sql"), tmp_path)

    def test_other_arguments_that_end_alike(self, tmp_path: Path) -> None:
        options = {"value": "Your script: monthly.sql", "parameters": ["a.sql"], "notification_label": "b.sql"}
        made = self.rendered(operator("SELECT 1 AS pass_id", **options), tmp_path)
        assert {name: getattr(made, name) for name in options} == options
