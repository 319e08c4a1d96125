"""A query uses the connection that the hook makes, with all its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_passnotify.rows.sql import stream_rows
from tests.sql.conftest import Database

POSTGRES = ["psycopg2", "psycopg"]
MYSQL = ["mysqlclient", "mysql-connector-python"]


def read(hook: Any, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
    return [dict(row) for row in stream_rows(hook, sql, parameters)]


def test_reads_tuples_with_the_driver_that_is_meant(database: Database) -> None:
    database.run("CREATE TABLE c (pass_id INTEGER, note VARCHAR(20))", "INSERT INTO c VALUES (1, '5% off; yes')")
    hook = database.hook()
    assert (
        type(hook.get_conn())
        .__module__.lstrip("_")
        .startswith(
            {"mysqlclient": "MySQLdb", "mysql-connector-python": "mysql.connector"}.get(
                database.driver, database.driver[:6]
            )
        )
    )
    assert read(hook, "SELECT pass_id, note FROM c WHERE note LIKE '5%'") == [{"pass_id": 1, "note": "5% off; yes"}]


@pytest.mark.parametrize("driver", POSTGRES)
def test_schema_of_the_connection(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    database.run(
        "CREATE SCHEMA eu",
        "CREATE TABLE public.c (pass_id BIGINT)",
        "CREATE TABLE eu.c (pass_id BIGINT)",
        "INSERT INTO public.c VALUES (1)",
        "INSERT INTO eu.c VALUES (2)",
    )
    assert read(database.hook(options="-c search_path=eu"), "SELECT pass_id FROM c") == [{"pass_id": 2}]
    hook = database.hook(hook_params={"options": "-c search_path=eu"})
    assert read(hook, "SELECT pass_id FROM c") == [{"pass_id": 2}]


@pytest.mark.parametrize("driver", POSTGRES)
def test_tls_that_is_required(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    database.fields["host"] = "127.0.0.1"
    assert read(database.hook(sslmode="prefer"), "SELECT 1 AS pass_id") == [{"pass_id": 1}]
    with pytest.raises(Exception, match="SSL"):
        read(database.hook(sslmode="require"), "SELECT 1 AS pass_id")


@pytest.mark.parametrize("driver", POSTGRES)
def test_statement_timeout(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    with pytest.raises(Exception, match="statement timeout"):
        read(database.hook(options="-c statement_timeout=50"), "SELECT pg_sleep(60) AS pass_id")


@pytest.mark.parametrize("driver", MYSQL)
def test_init_command(make_database: Callable[[str], Database], driver: str) -> None:
    database = make_database(driver)
    hook = database.hook(hook_params={"init_command": "SET @who = 'me'"})
    assert read(hook, "SELECT @who AS value") == [{"value": "me"}]


def test_connection_that_fails_is_the_error(database: Database) -> None:
    if database.kind in {"SQLite", "DuckDB"}:
        database.fields["host"] = "/nowhere/at/all.db"
    else:
        database.fields["login"] = "stranger"
        database.fields["password"] = "wrong"
    with pytest.raises(Exception, match=r"(?i)stranger|cannot open|unable to open"):
        read(database.hook(), "SELECT 1 AS pass_id")


@pytest.mark.parametrize(
    ("driver", "cursor"),
    [
        ("psycopg2", "realdictcursor"),
        ("psycopg2", "dictcursor"),
        ("psycopg2", "namedtuplecursor"),
        ("psycopg", "dictcursor"),
        ("psycopg", "namedtuplecursor"),
        ("mysqlclient", "dictcursor"),
        ("mysqlclient", "ssdictcursor"),
        ("mysqlclient", "sscursor"),
    ],
)
def test_cursor_of_the_connection(make_database: Callable[[str], Database], driver: str, cursor: str) -> None:
    database = make_database(driver)
    rows = read(database.hook(cursor=cursor), "SELECT 7 AS pass_id, 'Sale' AS headline")
    assert rows == [{"pass_id": 7, "headline": "Sale"}]


def test_parameters(database: Database) -> None:
    mark = "?" if database.kind in {"SQLite", "DuckDB"} else "%s"
    percent = "%" if mark == "?" or database.driver == "mysql-connector-python" else "%%"
    sql = f"SELECT {mark} AS pass_id, '5{percent}' AS value"
    assert [(int(row["pass_id"]), row["value"]) for row in read(database.hook(), sql, [7])] == [(7, "5%")]
    assert read(database.hook(), "SELECT '5%' AS value", []) == [{"value": "5%"}]
