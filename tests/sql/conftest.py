"""Real databases. Each server is started once. If this machine lacks a driver, the last lines of pytest say so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import databases
import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

CONN_ID = "points_db"
MODULES = {
    "psycopg2": "psycopg2",
    "psycopg": "psycopg",
    "mysqlclient": "MySQLdb",
    "mysql-connector-python": "mysql.connector",
    "sqlite": "sqlite3",
    "duckdb": "duckdb",
}


@dataclass
class Database:
    """A database as one driver sees it.

    :param driver: the name of its distribution.
    :param fields: the fields of the Airflow connection.
    :param admin: opens a plain connection of the driver, which may write.
    """

    driver: str
    fields: dict[str, Any]
    admin: Callable[[], Any]
    monkeypatch: pytest.MonkeyPatch
    hook_class: type[DbApiHook] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """PostgreSQL, MariaDB, SQLite or DuckDB."""
        kinds = {"psycopg": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite", "duckdb": "DuckDB"}
        return next(kind for name, kind in kinds.items() if self.driver.startswith(name))

    def connect(self, **extra: Any) -> None:
        """Set the Airflow connection :data:`CONN_ID`."""
        fields = {**self.fields, "extra": {**self.extra, **extra}}
        self.monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))

    def hook(self, hook_params: dict[str, Any] | None = None, **extra: Any) -> DbApiHook:
        """Return the hook of a connection."""
        self.connect(**extra)
        if self.hook_class is not None:
            return self.hook_class(CONN_ID)
        hook: DbApiHook = BaseHook.get_connection(CONN_ID).get_hook(hook_params=hook_params)
        return hook

    def run(self, *statements: str) -> list[Any]:
        """Run statements, each committed, and return the rows of the last."""
        rows: list[Any] = []
        with closing(self.admin()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
                rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            if self.kind != "DuckDB":
                connection.commit()
            cursor.close()
        return rows


class DuckDbHook(DbApiHook):
    """Like the existing hooks for DuckDB: ``host`` is the name of a file."""

    conn_name_attr = "duckdb_conn_id"

    def get_conn(self) -> Any:
        import duckdb

        return duckdb.connect(self.get_connection(CONN_ID).host)


@pytest.fixture(scope="session")
def postgres() -> Iterator[tuple[Path, int]]:
    try:
        with databases.postgres() as place:
            yield place
    except databases.UnavailableError as error:
        pytest.skip(f"NOT TESTED: PostgreSQL: {error}")


@pytest.fixture(scope="session")
def ascii_postgres() -> Iterator[tuple[Path, int]]:
    """A server that does not know the encoding of its text."""
    try:
        with databases.postgres("--encoding=SQL_ASCII", "--locale=C") as place:
            yield place
    except databases.UnavailableError as error:
        pytest.skip(f"NOT TESTED: PostgreSQL: {error}")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Path]:
    try:
        with databases.mariadb() as socket:
            yield socket
    except databases.UnavailableError as error:
        pytest.skip(f"NOT TESTED: MariaDB: {error}")


@pytest.fixture
def make_database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Database]:
    """Return a function that makes an empty database for a driver."""

    def make(driver: str) -> Database:
        if find_spec(MODULES[driver].partition(".")[0]) is None:
            pytest.skip(f"NOT TESTED: {driver}, as it is not installed")
        if driver.startswith("psycopg"):
            return _postgres(driver, request.getfixturevalue("postgres"), monkeypatch)
        if driver.startswith("mysql"):
            return _mariadb(driver, request.getfixturevalue("mariadb"), monkeypatch)
        file = str(tmp_path / "points.db")
        if driver == "sqlite":
            return Database(driver, {"conn_type": "sqlite", "host": file}, lambda: sqlite3.connect(file), monkeypatch)
        import duckdb

        fields = {"conn_type": "duckdb", "host": file}
        return Database(driver, fields, lambda: duckdb.connect(file), monkeypatch, DuckDbHook)

    return make


@pytest.fixture(params=list(MODULES))
def database(request: pytest.FixtureRequest, make_database: Callable[[str], Database]) -> Database:
    """Each driver in turn."""
    return make_database(request.param)


def _postgres(driver: str, place: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> Database:
    from airflow.providers.postgres.hooks import postgres

    if driver == "psycopg" and not getattr(postgres, "USE_PSYCOPG3", False):
        pytest.skip("NOT TESTED: psycopg, as this Airflow's PostgreSQL provider does not use it")
    monkeypatch.setattr(postgres, "USE_PSYCOPG3", driver == "psycopg", raising=False)
    folder, port = place
    fields = {"conn_type": "postgres", "host": str(folder), "port": port, "login": "postgres", "schema": "postgres"}

    def admin() -> Any:
        import psycopg2

        return psycopg2.connect(host=str(folder), port=port, user="postgres", dbname="postgres")

    database = Database(driver, fields, admin, monkeypatch)
    database.run(*(f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in ("public", "eu")), "CREATE SCHEMA public")
    return database


def _mariadb(driver: str, socket: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    fields = {"conn_type": "mysql", "host": "localhost", "login": "root", "schema": "points"}
    extra = {"client": driver, "unix_socket": str(socket)}
    if driver == "mysql-connector-python":  # Airflow's hook passes it no socket
        import mysql.connector

        own_connect = mysql.connector.connect
        monkeypatch.setattr(
            mysql.connector, "connect", lambda **options: own_connect(**{**options, "unix_socket": str(socket)})
        )

    def connect(**options: Any) -> Any:
        if driver == "mysql-connector-python":
            return mysql.connector.connect(user="root", **options)
        import MySQLdb

        return MySQLdb.connect(user="root", unix_socket=str(socket), **options)

    with closing(connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("DROP DATABASE IF EXISTS points")
        cursor.execute("CREATE DATABASE points CHARACTER SET utf8mb4")
    return Database(driver, fields, lambda: connect(database="points"), monkeypatch, extra=extra)
