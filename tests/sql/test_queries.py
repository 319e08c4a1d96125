"""Only one query, and it must only read: what the database refuses, and what is refused before the first send."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version

from airflow_provider_passnotify.rows.sql import stream_rows
from tests.sql.conftest import Database

READ_ONLY = r"(?i)read.?only|readonly"


def read(database: Database, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in stream_rows(database.hook(), sql)]


@pytest.fixture
def table(database: Database) -> Database:
    database.run("CREATE TABLE w (id INTEGER, notified INTEGER)", "INSERT INTO w VALUES (1, 0), (2, 0)")
    return database


def untouched(database: Database) -> bool:
    return database.run("SELECT id, notified FROM w ORDER BY id") == [(1, 0), (2, 0)]


WRITES = [
    "UPDATE w SET notified = 1 RETURNING id AS pass_id",
    "INSERT INTO w VALUES (3, 0) RETURNING id AS pass_id",
    "DELETE FROM w RETURNING id AS pass_id",
    "UPDATE w SET notified = 1",
    "DROP TABLE w",
    "CREATE TABLE x AS SELECT id AS pass_id FROM w",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_is_refused_by_the_database(table: Database, sql: str) -> None:
    refused = READ_ONLY
    if table.kind == "MariaDB" and sql.startswith("UPDATE") and "RETURNING" in sql:
        refused = "syntax"  # which MariaDB does not have
    with pytest.raises(Exception, match=refused):
        read(table, sql)
    assert untouched(table)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize(
    "sql",
    [
        "WITH done AS (UPDATE w SET notified = 1 RETURNING id) SELECT id AS pass_id FROM done",
        "SELECT nextval('ids') AS pass_id",
        "SELECT mark() AS pass_id",
    ],
)
def test_a_query_that_writes(make_database: Callable[[str], Database], driver: str, sql: str) -> None:
    database = make_database(driver)
    database.run(
        "CREATE TABLE w (id INTEGER, notified INTEGER)",
        "INSERT INTO w VALUES (1, 0), (2, 0)",
        "CREATE SEQUENCE ids",
        "CREATE FUNCTION mark() RETURNS INTEGER LANGUAGE sql AS 'UPDATE w SET notified = 1 RETURNING id'",
    )
    with pytest.raises(Exception, match="in a read-only transaction"):
        read(database, sql)
    assert untouched(database)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_autocommit_of_the_connection_changes_nothing(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    database.run("CREATE TABLE w (id INTEGER, notified INTEGER)", "INSERT INTO w VALUES (1, 0), (2, 0)")
    if driver == "psycopg":
        database.extra["autocommit"] = True
    with pytest.raises(Exception, match="in a read-only transaction"):
        read(database, "DELETE FROM w RETURNING id AS pass_id")
    assert untouched(database)
    assert len(read(database, "SELECT id AS pass_id FROM w")) == 2


@pytest.mark.parametrize(
    ("driver", "sql"),
    [
        ("psycopg2", "SHOW search_path"),
        ("psycopg", "SHOW search_path"),
        ("psycopg2", "EXPLAIN SELECT 1"),
        ("psycopg2", "VALUES (1)"),
        ("psycopg", "VALUES (1)"),
        ("mysqlclient", "SHOW TABLES"),
        ("mysql-connector-python", "SHOW TABLES"),
        ("sqlite", "PRAGMA table_info(w)"),
        ("duckdb", "SHOW TABLES"),
        ("duckdb", "FROM w"),
    ],
)
def test_other_statements_that_return_rows(make_database: Callable[[str], Database], driver: str, sql: str) -> None:
    database = make_database(driver)
    database.run("CREATE TABLE w (id INTEGER)", "INSERT INTO w VALUES (1)")
    assert len(read(database, sql)) >= 1


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_call(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    database.run(
        "CREATE TABLE w (id INTEGER, notified INTEGER)",
        "INSERT INTO w VALUES (1, 0), (2, 0)",
        "CREATE PROCEDURE one(INOUT pass_id INTEGER) LANGUAGE plpgsql AS 'BEGIN pass_id := 7; END'",
        "CREATE PROCEDURE mark(INOUT pass_id INTEGER) LANGUAGE sql AS 'DELETE FROM w RETURNING id'",
    )
    assert read(database, "CALL one(1)") == [{"pass_id": 7}]
    with pytest.raises(Exception, match="in a read-only transaction"):
        read(database, "CALL mark(1)")
    assert untouched(database)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id AS begin FROM w; DELETE FROM w",
        "SELECT id AS pass_id FROM w; SELECT 5 AS pass_id",
        "SELECT id AS pass_id FROM w; DROP TABLE w",
        "SELECT 1 AS pass_id; COMMIT; DELETE FROM w",
    ],
)
def test_more_than_one_statement(table: Database, sql: str) -> None:
    with pytest.raises(
        Exception, match=r"(?i)one query|one statement|multiple commands|more than one|syntax|read.?only"
    ):
        read(table, sql)
    assert untouched(table)


@pytest.mark.parametrize(
    "sql",
    [
        ";SELECT ';' AS value",
        ";WITH a AS (SELECT ';' AS value) SELECT value FROM a;;",
        "SELECT ';' AS value -- a; b\n;",
        "/* a; b */ SELECT ';' AS value; -- the end\n",
        "SELECT ';' AS value;\n",
    ],
)
def test_semicolon_that_ends_nothing(database: Database, sql: str) -> None:
    assert read(database, sql) == [{"value": ";"}]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_statements_are_counted_before_one_runs(make_database: Callable[[str], Database], driver: str) -> None:
    with pytest.raises(ValueError, match="more than one statement"):
        read(make_database(driver), "SELECT 1 AS begin; SELECT 2 AS begin")


@pytest.mark.parametrize("sql", ["SELECT ';' AS value /* a; /* b; */", "SELECT ';' AS value /* never closed;"])
def test_comments_of_sqlite(make_database: Callable[[str], Database], sql: str) -> None:
    assert read(make_database("sqlite"), sql) == [{"value": ";"}]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "duckdb"])
@pytest.mark.parametrize("sql", ["SELECT $$;$$ AS value", "/* a /* ; */ b; */ SELECT ';' AS value"])
def test_semicolon_in_what_only_some_databases_know(
    make_database: Callable[[str], Database], driver: str, sql: str
) -> None:
    assert read(make_database(driver), sql) == [{"value": ";"}]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "duckdb"])
def test_escape_string(make_database: Callable[[str], Database], driver: str) -> None:
    database, sql = make_database(driver), "SELECT e'\\'' || ';' AS value"
    if driver != "duckdb" and Version(version("sqlglot")) < Version("28.8"):
        with pytest.raises(ValueError, match=r"cannot be told.*newer sqlglot"):
            read(database, sql)
    else:
        assert read(database, sql) == [{"value": "';"}]


@pytest.mark.parametrize("driver", ["mysqlclient", "mysql-connector-python"])
class TestMySql:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT id AS pass_id FROM w; SET @a = 1",
            "SELECT id AS pass_id FROM w; COMMIT; SET SESSION TRANSACTION READ WRITE; DELETE FROM w; COMMIT",
        ],
    )
    def test_second_statement_without_rows(
        self, make_database: Callable[[str], Database], driver: str, sql: str
    ) -> None:
        database = make_database(driver)
        database.run("CREATE TABLE w (id INTEGER, notified INTEGER)", "INSERT INTO w VALUES (1, 0), (2, 0)")
        with pytest.raises(ValueError, match="more than one statement"):
            read(database, sql)
        assert untouched(database)

    def test_second_statement_that_only_the_server_sees(
        self, make_database: Callable[[str], Database], driver: str
    ) -> None:
        database = make_database(driver)
        database.run("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
        try:
            with pytest.raises(Exception, match=r"SQL syntax|more than one statement"):
                read(database, r"SELECT '\' AS pass_id; SET @a = 1; -- '")
        finally:
            database.run("SET GLOBAL sql_mode = DEFAULT")

    def test_procedure_that_wants_to_write(self, make_database: Callable[[str], Database], driver: str) -> None:
        database = make_database(driver)
        database.run(
            "CREATE TABLE w (id INTEGER, notified INTEGER)",
            "INSERT INTO w VALUES (1, 0), (2, 0)",
            "CREATE PROCEDURE mark() BEGIN SET TRANSACTION READ WRITE; DELETE FROM w; SELECT 1 AS pass_id; END",
        )
        with pytest.raises(Exception, match="transaction is in progress"):
            read(database, "CALL mark()")
        assert untouched(database)


@pytest.mark.parametrize("driver", ["mysqlclient", "mysql-connector-python"])
def test_procedure_with_two_results(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    database.run(
        "CREATE PROCEDURE one() SELECT 1 AS pass_id",
        "CREATE PROCEDURE two() BEGIN SELECT 1 AS pass_id; SELECT 2 AS pass_id; END",
    )
    assert read(database, "CALL one()") == [{"pass_id": 1}]
    with pytest.raises(ValueError, match="more than one result"):
        read(database, "CALL two()")


def test_two_columns_of_one_name(database: Database) -> None:
    with pytest.raises(ValueError, match="two columns called 'pass_id'; name them with AS"):
        read(database, "SELECT 1 AS pass_id, 2 AS PASS_ID")


@pytest.mark.parametrize(
    ("driver", "sql"),
    [
        ("psycopg2", "SET application_name = 'x'"),
        ("psycopg", "SET application_name = 'x'"),
        ("mysqlclient", "SET @a = 1"),
        ("mysql-connector-python", "SET @a = 1"),
        ("sqlite", "BEGIN"),
        ("duckdb", "COMMIT"),
        ("duckdb", "SET threads = 1"),
        ("duckdb", "PREPARE p AS SELECT 1"),
        ("duckdb", "ANALYZE"),
        ("duckdb", "COPY (SELECT 1) TO '/nowhere/x.csv'"),
        ("duckdb", "EXPORT DATABASE '/nowhere/x'"),
    ],
)
def test_statement_without_rows(make_database: Callable[[str], Database], driver: str, sql: str) -> None:
    with pytest.raises(ValueError, match="returns no rows"):
        read(make_database(driver), sql)
