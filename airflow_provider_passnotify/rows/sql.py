"""The rows of a query, read through the hook's own connection: read-only, and streamed if the driver can do that.

Only ``hook.get_conn()`` knows how to use all settings of an Airflow connection (schema, TLS, time-outs, parameters of
the hook). So the rows are read with that connection and a plain DB-API cursor. How to stream, and how to make the
session read-only, is different for each driver.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from airflow_provider_passnotify.rows.names import column_name
from airflow_provider_passnotify.rows.sql_drivers import (
    BYTES_FROM_HERE_ON,
    Driver,
    check_one_statement,
    driver_of,
    text_or_bytes,
)

log = logging.getLogger(__name__)

_FETCH = 2000
_NOT_FOR_A_CURSOR = {"42601", "0A000"}
"""With these SQLSTATEs, PostgreSQL refuses to declare a cursor for a statement. No part of the statement has run."""


class SqlHook(Protocol):
    """The part of a hook of Airflow's common SQL provider that is needed here."""

    def get_conn(self) -> Any:
        """Return a DB-API connection."""


def stream_rows(
    hook: SqlHook, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a query. The connection is closed at the end.

    :param hook: a hook of Airflow's common SQL provider.
    :param sql: one statement that returns rows. It cannot write if the database has read-only sessions.
    :param parameters: in the style of the driver.
    :raises ValueError: if there is more than one statement, if the statement cannot return rows (such as an UPDATE), or
        if two columns have the same name.
    """
    sql = sql.strip("; \t\r\n")
    given = (tuple(parameters) if isinstance(parameters, list) else parameters) or None  # or a driver would look for %
    with _connected(hook) as connection:
        driver = driver_of(connection)
        if driver.check is not None:
            driver.check(connection, sql)
        driver.prepare(connection)
        arguments = (sql,) if given is None else (sql, given)
        takes_bytes = driver.knows_no_encoding(connection)
        log.info("Running the query: %s", sql)
        cursor = _execute(driver, connection, arguments)
        if takes_bytes and driver.plain_cursor is not None:
            driver.plain_cursor(connection).execute(BYTES_FROM_HERE_ON)
        if cursor.description is None and not getattr(cursor, "name", None):
            raise ValueError("sql returns no rows; it must be a query.")
        rows = cursor.fetchmany(_FETCH)
        columns = _columns_of(cursor)  # psycopg2's streaming cursor knows them only after it has fetched
        while rows:
            for row in rows:
                if isinstance(row, Mapping):
                    yield row
                elif not takes_bytes:
                    yield dict(zip(columns, row, strict=True))
                else:
                    texts = (text_or_bytes(value) if isinstance(value, bytes) else value for value in row)
                    yield dict(zip(columns, texts, strict=True))
            rows = cursor.fetchmany(_FETCH)
        if driver.shows_more:
            _check_no_more(cursor, sql)


@contextmanager
def _connected(hook: SqlHook) -> Iterator[Any]:
    """Give the connection of the hook, and close it at the end.

    The connection is closed before any cursor, because closing a MySQL cursor reads all remaining rows. An error during
    closing is only logged, so that it does not replace the error that was the reason for closing.
    """
    connection = hook.get_conn()
    try:
        yield connection
    finally:
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001 (each driver has its own exceptions)
            log.warning("The query's connection could not be closed: %s: %s", type(error).__name__, error)


def _execute(driver: Driver, connection: Any, arguments: tuple[Any, ...]) -> Any:
    cursor = driver.cursor(connection)
    try:
        cursor.execute(*arguments)
    except Exception as error:
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if driver.plain_cursor is None or state not in _NOT_FOR_A_CURSOR:
            raise
        connection.rollback()  # nothing has run; the session is still read-only
        cursor = driver.plain_cursor(connection)
        cursor.execute(*arguments)
    return cursor


def _columns_of(cursor: Any) -> list[str]:
    columns = [str(column[0]) for column in cursor.description]
    seen: set[str] = set()
    for name in map(column_name, columns):
        if name in seen:
            raise ValueError(f"the query has two columns called {name!r:.60}; name them with AS.")
        seen.add(name)
    return columns


def _check_no_more(cursor: Any, sql: str) -> None:
    """Refuse a second result. Its rows would be left out and nobody would notice.

    A procedure ends with a result without rows. The same comes from a second statement, which is no query.
    """
    nextset = getattr(cursor, "nextset", None)
    try:
        while nextset is not None and nextset():
            if cursor.description is not None:
                raise ValueError("sql gives more than one result; it must be one query.")
            check_one_statement(sql)
    except Exception as error:
        if "NotSupportedError" not in [kind.__name__ for kind in type(error).__mro__]:
            raise
        nextset = None
    if nextset is None:  # the driver cannot tell
        check_one_statement(sql)
