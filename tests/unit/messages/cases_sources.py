"""Batches whose rows come from files, databases and other tasks: what is wrong with the source as a whole."""

from __future__ import annotations

import gzip
import sqlite3
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator, SendNotificationOperator
from airflow_provider_passnotify.rows import sql, sql_drivers
from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator
from tests.stores import attach
from tests.unit.messages.stage import Stage, case


def _batch(stage: Stage, rows: Any, **arguments: Any) -> None:
    given = {"task_id": "batch", "target_type": "pass", "value": "Hello", **arguments}
    with stage.answering():
        SendNotificationBatchOperator(notifications=rows, **given).execute(stage.context(store=None))


def _file(stage: Stage, name: str, content: str | bytes) -> Path:
    path = stage.folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@case
def files_of_rows(stage: Stage) -> None:
    """What is said of a file as a whole; nothing is sent then."""
    for name, content in {
        "utf16.csv": "pass_id,value\n".encode("utf-16"),
        "semicolons.csv": "pass_id;value\n1;2\n",
        "twice.csv": "pass_id,PASS_ID\n1,2\n",
        "header.csv": '"pass_id\n',
        "only.csv": "1000001,Hello\n",
        "carriage.csv": "pass_id,value\r1,Hello\r",
        "nul.csv": "pass\x00_id,value\n",
        "quote.csv": 'pass_id,value\n1,"Hello\n2,Bye\n3,Bye\n',
        "array.jsonl": '[{"pass_id": 1}]\n',
        "pretty.json": '{\n  "pass_id": 1\n}\n',
        "list.json": '[\n{"pass_id": 1},\n',
        "commas.jsonl": '{"pass_id": 1},\n{"pass_id": 2}\n',
        "document.jsonl": '{"rows": [{"pass_id": 1}]}\n',
        "none.jsonl.gz": '{"pass_id": 1}\n',
        "cut.jsonl.gz": gzip.compress(b'{"pass_id": 1}\n' * 1000)[:-20],
    }.items():
        stage.refuses(name, partial(_batch, stage, _file(stage, name, content)))
    (stage.folder / "folder.csv").mkdir()
    stage.refuses("folder.csv", partial(_batch, stage, stage.folder / "folder.csv"))


@case
def file_is_a_web_page(stage: Stage) -> None:
    page = _file(stage, "rows.csv", "<html>\n<p>Please log in</p>\n")
    _batch(stage, page, target_type="tag", tag="vip", template_id=5)


@case
def file_of_rows_is_missing(stage: Stage) -> None:
    _batch(stage, stage.folder / "rows.csv")


@case
def file_of_rows_is_missing_in_a_storage(stage: Stage) -> None:
    attach("memory", fs=MemoryFileSystem())
    _batch(stage, "memory://nightly/rows.csv")


@case
def rows_with_an_xcom_in_them(stage: Stage) -> None:
    other = SendNotificationOperator(task_id="other", target_type="pass", pass_id=1, value="x")
    _batch(stage, [{"pass_id": other.output}])


class _Connection(sqlite3.Connection):
    def close(self) -> None:
        super().close()
        raise sqlite3.OperationalError("the server has gone away")


class _Hook:
    def __init__(self, kind: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self._kind = kind

    def get_conn(self) -> Any:
        connection = sqlite3.connect(":memory:", factory=self._kind)
        connection.execute("CREATE TABLE t (a)")
        return connection


@case
def queries(stage: Stage) -> None:
    def select(text: str) -> Any:
        return sql.stream_rows(_Hook(), text, None)

    stage.refuses("two columns", lambda: select("SELECT 1 AS a, 2 AS A"))
    stage.refuses("no query", lambda: select("PRAGMA query_only = ON"))
    stage.refuses("two statements", lambda: sql_drivers.check_one_statement("SELECT 1; SELECT 2"))
    stage.refuses("cannot be told", lambda: sql_drivers.check_one_statement("SELECT 'a; SELECT 2"))
    two = SimpleNamespace(extract_statements=lambda _: [1, 2])
    stage.refuses("duckdb", lambda: sql_drivers._check_duckdb(two, ""))
    more = iter([True, False])
    cursor = SimpleNamespace(nextset=lambda: next(more), description=("a",))
    stage.refuses("two results", lambda: sql._check_no_more(cursor, "CALL two()"))


@case
def query_and_the_connection_cannot_be_closed(stage: Stage) -> None:  # noqa: ARG001
    list(sql.stream_rows(_Hook(_Connection), "SELECT 1 AS pass_id"))


@case
def arguments_of_a_query(stage: Stage) -> None:
    given: dict[str, Any] = {"task_id": "points", "sql_conn_id": "db", "target_type": "pass", "value": "x"}
    for wrong in (
        {"sql": ""},
        {"sql": ["SELECT 1", "SELECT 2"]},
        {"sql_conn_id": None},
        {"parameters": "x"},
        {"hook_params": 5},
        {"hook_params": {"a": "{{ ds }}"}},
    ):
        stage.refuses(f"{wrong}", partial(SqlToPassNotifyOperator, **{**given, "sql": "SELECT 1", **wrong}))
    operator = SqlToPassNotifyOperator(sql="SELECT 1", **given)
    stage.connect("https://wallet-api.example.com")
    stage.patch.setenv("AIRFLOW_CONN_DB", '{"conn_type": "passnotify", "host": "x"}')
    stage.refuses("a connection that is not SQL", lambda: operator.execute(stage.context(store=None)))
    stage.patch.setitem(sys.modules, "airflow.providers.common.sql.hooks.sql", None)
    stage.refuses("without the common SQL provider", lambda: operator.execute(stage.context(store=None)))
