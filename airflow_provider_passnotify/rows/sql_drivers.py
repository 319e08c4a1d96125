"""What differs between database drivers: how to stream, and how to make a session read-only."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module  # for drivers: the one in use is installed, and we cannot require one
from typing import Any, NamedTuple

_MULTI_STATEMENTS_OFF = 1
"""An option of MySQL's protocol. The server then refuses a second statement. MySQLdb has no name for it."""

BYTES_FROM_HERE_ON = "SET client_encoding TO 'SQL_ASCII'"
"""After this statement, the server does not check whether bytes are valid text. So one row cannot fail the query."""


class Driver(NamedTuple):
    """What differs between drivers.

    :param check: refuses several statements before anything runs, if the database itself would run them all.
    :param prepare: makes the session read-only.
    :param cursor: opens a cursor that streams tuples.
    :param plain_cursor: opens a cursor for statements that cannot be streamed, if there are such statements.
    :param knows_no_encoding: whether the database may hold bytes in text columns that are not valid text. If so, the
        query is sent as UTF-8, and texts come as bytes after :data:`BYTES_FROM_HERE_ON`.
    :param shows_more: whether ``nextset()`` may show a second result after the last row.
    """

    check: Callable[[Any, str], None] | None = None
    prepare: Callable[[Any], None] = lambda _: None
    cursor: Callable[[Any], Any] = lambda connection: connection.cursor()
    plain_cursor: Callable[[Any], Any] | None = None
    knows_no_encoding: Callable[[Any], bool] = lambda _: False
    shows_more: bool = True


def driver_of(connection: Any) -> Driver:
    """Return what is known of the driver of a connection. For most drivers, nothing is known."""
    for kind in type(connection).__mro__:
        if driver := _DRIVERS.get(kind.__module__.partition(".")[0].lstrip("_")):
            return driver
    return Driver()


def check_one_statement(sql: str, dialect: str = "") -> None:
    """Refuse several statements, by counting them.

    :param dialect: the name of the SQL dialect in sqlglot.
    :raises ValueError: if there is more than one statement, or if they cannot be counted.
    """
    if ";" not in sql:
        return
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError

    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(sql)
    except SqlglotError as error:
        raise ValueError(
            f"sql holds a ';', and whether it is one statement cannot be told: {error!s:.200}. "
            "A newer sqlglot may be able to."
        ) from None
    words = [token.token_type.name != "SEMICOLON" for token in tokens]
    while words and not words[-1]:
        words.pop()
    if not all(words):
        raise ValueError("sql holds more than one statement (there is more after a ';'); it must be one query.")


def text_or_bytes(data: bytes) -> str | bytes:
    """Return text. Bytes that are not valid text stay bytes; then only the row that has them cannot be used."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _check_postgres(connection: Any, sql: str) -> None:  # noqa: ARG001
    check_one_statement(sql, "postgres")  # DECLARE can run several: those after a COMMIT could write


def _prepare_psycopg2(connection: Any) -> None:
    connection.set_session(readonly=True, autocommit=False)  # a streaming cursor needs a transaction


def _cursor_psycopg2(connection: Any) -> Any:
    return connection.cursor("passnotify", cursor_factory=import_module("psycopg2.extensions").cursor)


def _plain_cursor_psycopg2(connection: Any) -> Any:
    return connection.cursor(cursor_factory=import_module("psycopg2.extensions").cursor)


def _knows_no_encoding_psycopg2(connection: Any) -> bool:
    extensions = import_module("psycopg2.extensions")
    is_set = extensions.encodings.get(connection.encoding) not in {"ascii", "utf_8"}
    if is_set or connection.get_parameter_status("server_encoding") != "SQL_ASCII":
        return False
    connection.set_client_encoding("UTF8")
    extensions.register_type(import_module("psycopg2._psycopg").BYTES, connection)
    return True


def _prepare_psycopg(connection: Any) -> None:
    if connection.autocommit:
        connection.autocommit = False  # a streaming cursor needs a transaction
    connection.read_only = True


def _cursor_psycopg(connection: Any) -> Any:
    return connection.cursor("passnotify", row_factory=import_module("psycopg.rows").tuple_row)


def _plain_cursor_psycopg(connection: Any) -> Any:
    return connection.cursor(row_factory=import_module("psycopg.rows").tuple_row)


def _knows_no_encoding_psycopg(connection: Any) -> bool:
    is_set = connection.info.encoding not in {"ascii", "utf-8"}
    if is_set or connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        return False
    connection.autocommit = True  # a rollback would undo the setting
    connection.execute("SET client_encoding TO 'UTF8'")
    connection.autocommit = False
    loader = type("BytesLoader", (import_module("psycopg.adapt").Loader,), {"load": lambda _, data: bytes(data)})
    for kind in ("text", "varchar", "bpchar", "name"):
        connection.adapters.register_loader(kind, loader)
    return True


def _run_first(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()


def _prepare_mysql(connection: Any) -> None:
    _run_first(connection, "SET SESSION TRANSACTION READ ONLY")
    _run_first(connection, "START TRANSACTION READ ONLY")  # while it is open, SET TRANSACTION READ WRITE is refused


def _prepare_mysqldb(connection: Any) -> None:
    _prepare_mysql(connection)
    connection.set_server_option(_MULTI_STATEMENTS_OFF)


def _cursor_mysqldb(connection: Any) -> Any:
    return connection.cursor(import_module("MySQLdb.cursors").SSCursor)


def _check_mysql(connection: Any, sql: str) -> None:  # noqa: ARG001
    check_one_statement(sql, "mysql")  # a COMMIT and a change of the session could come before one that writes


def _cursor_mysql_connector(connection: Any) -> Any:
    return connection.cursor(buffered=False, dictionary=False)


def _prepare_sqlite(connection: Any) -> None:
    _run_first(connection, "PRAGMA query_only = ON")
    if connection.text_factory is str:
        connection.text_factory = text_or_bytes


_DUCKDB_NO_QUERIES = {
    "ATTACH",
    "COPY",
    "COPY_DATABASE",
    "DETACH",
    "EXPORT",
    "LOAD",
    "PREPARE",
    "SET",
    "TRANSACTION",
    "VACUUM",
}
"""Statements that a read-only transaction accepts, and for which DuckDB gives a result. Some of them write files."""


def _check_duckdb(connection: Any, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) > 1:
        raise ValueError("sql holds more than one statement; it must be one query.")
    if any(statement.type.name in _DUCKDB_NO_QUERIES for statement in statements):
        raise ValueError("sql returns no rows; it must be a query.")


def _prepare_duckdb(connection: Any) -> None:
    connection.execute("BEGIN TRANSACTION READ ONLY")


_DRIVERS = {
    "psycopg2": Driver(
        _check_postgres,
        _prepare_psycopg2,
        _cursor_psycopg2,
        _plain_cursor_psycopg2,
        _knows_no_encoding_psycopg2,
        shows_more=False,
    ),
    "psycopg": Driver(
        _check_postgres,
        _prepare_psycopg,
        _cursor_psycopg,
        _plain_cursor_psycopg,
        _knows_no_encoding_psycopg,
        shows_more=False,
    ),
    "MySQLdb": Driver(_check_mysql, _prepare_mysqldb, _cursor_mysqldb),
    "mysql": Driver(_check_mysql, _prepare_mysql, _cursor_mysql_connector),
    "sqlite3": Driver(None, _prepare_sqlite, shows_more=False),
    "duckdb": Driver(_check_duckdb, _prepare_duckdb, lambda connection: connection, shows_more=False),
}
"""By the module of the connection class. (SQLite's driver itself refuses a second statement. DuckDB's ``cursor()`` is a
new connection, outside the transaction.)"""
