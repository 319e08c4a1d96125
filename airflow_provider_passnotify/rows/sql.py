"""The rows of a query, streamed where the driver can."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

log = logging.getLogger(__name__)

_FETCH = 2000


def stream_rows(
    hook: Any, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a query; its connection is closed at the end.

    :raises ValueError: when it is more than one statement, returns no rows at all, as an UPDATE, or two columns of
        one name.
    """
    _check_one_query(sql)
    sql = sql.strip().removesuffix(";") if hook.strip_semicolon else sql
    given = (tuple(parameters) if isinstance(parameters, list) else parameters) or None  # else a driver looks for %
    with _execute(hook, sql, given) as (columns, fetch_many):
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise ValueError(f"the query has two columns called {twice!r:.60}; name them with AS.")
        while rows := fetch_many(_FETCH):
            for row in rows:
                yield dict(zip(columns, row, strict=True))


def _check_one_query(sql: str) -> None:
    """Refuse several statements: some drivers give the rows of one of them, without a word on the others."""
    if ";" not in sql.rstrip("; \t\r\n"):
        return
    import sqlparse

    more = (sqlparse.format(text, strip_comments=True).strip("; \t\r\n") for text in sqlparse.split(sql)[1:])
    if second := next(filter(None, more), None):
        raise ValueError(f"sql holds more than one statement, it must be one query; the second: {second!r:.80}.")


@contextmanager
def _execute(hook: Any, sql: str, parameters: Any) -> Iterator[tuple[list[str], Any]]:
    """Run a query, streamed if it can be, and give its columns and the function that fetches many rows."""
    connection = _connect(hook)
    if connection is not None:
        with closing(connection):
            streamed = connection.execution_options(stream_results=True, max_row_buffer=_FETCH, no_parameters=True)
            streamed.begin()  # without end: closing rolls back what a query should not have written
            log.info("Running the query: %s", sql)
            result = streamed.exec_driver_sql(sql, parameters)
            if not result.returns_rows:
                raise ValueError("sql returns no rows; it must be a query.")
            yield [str(name).lower() for name in result.keys()], result.fetchmany  # noqa: SIM118
        return
    with closing(hook.get_conn()) as plain, closing(plain.cursor()) as cursor:
        log.info("Running the query: %s", sql)
        cursor.execute(*((sql,) if parameters is None else (sql, parameters)))
        if cursor.description is None:
            raise ValueError("sql returns no rows; it must be a query.")
        yield [str(column[0]).lower() for column in cursor.description], cursor.fetchmany


def _connect(hook: Any) -> Any:
    """Return a SQLAlchemy connection, or ``None`` where the hook has none that works."""
    try:
        from sqlalchemy.pool import NullPool

        return hook.get_sqlalchemy_engine({"poolclass": NullPool}).connect()
    except Exception as error:  # noqa: BLE001 (each hook has its own reasons)
        log.info(
            "No streaming through SQLAlchemy (%s); the driver's cursor is used.",
            f"{type(error).__name__}: {error}"[:300],
        )
        return None
