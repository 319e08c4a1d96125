"""Send a notification for each row of a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_passnotify.arguments import is_resolved_at_runtime, materialize
from airflow_provider_passnotify.exceptions import PassNotifyConfigError
from airflow_provider_passnotify.operators.batch_send import SendingBatchOperator
from airflow_provider_passnotify.rows.sql import stream_rows

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import Context

__all__ = ["SqlToPassNotifyOperator"]


_SQL_FILE = ".sql"


class SqlToPassNotifyOperator(SendingBatchOperator):
    """Send a notification for each row of a query. A push is never repeated by accident.

    The columns have the names of the shared vocabulary, in upper or lower case: ``target_type``, the ids, ``value``,
    ``label``, ``dedupe_key``. Other columns fill ``{column}`` in ``value``. All rows are first written to a temporary
    file. So a query that fails sends nothing, and no transaction is open during sending. The rows are read through the
    connection that the hook makes. PostgreSQL and MySQL stream them. Other drivers fetch them in parts, and some of
    these drivers hold the whole result in memory. The session is read-only on PostgreSQL, MySQL, SQLite and DuckDB: the
    database refuses a query that writes (``nextval()`` also counts as writing).

    :param sql: one query, or the path of a ``.sql`` file.
    :param sql_conn_id: any connection of Airflow's common SQL provider.
    :param parameters: the parameters of the query, in the style of the database driver.
    :param hook_params: arguments for the connection's hook.
    """

    template_fields: Sequence[str] = (*SendingBatchOperator.template_fields, "sql", "sql_conn_id", "parameters")
    text_fields = frozenset({*SendingBatchOperator.text_fields, "sql", "sql_conn_id"})
    # No template_ext, because it applies to every field: a text or a parameter that ends in .sql is not a file.
    template_fields_renderers = {"sql": "sql", "parameters": "json"}  # noqa: RUF012 (as Airflow declares it)

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = materialize(parameters)
        self.hook_params = hook_params
        self._check()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        for name, what in (("sql", "one query"), ("sql_conn_id", "the id of a connection")):
            text = getattr(self, name)
            if not is_resolved_at_runtime(text) and (not isinstance(text, str) or not text.strip()):
                raise ValueError(f"{name} must be {what}, not {text!r:.60}.")
        parameters = self.parameters
        is_list = isinstance(parameters, Sequence | Mapping) and not isinstance(parameters, str | bytes)
        if parameters is not None and not is_list and not is_resolved_at_runtime(parameters):
            raise ValueError(f"parameters must be a list or a dict, as the driver wants them, not {parameters!r:.60}.")
        params = self.hook_params
        if params is not None and (
            not isinstance(params, Mapping) or any(is_resolved_at_runtime(value) for value in params.values())
        ):
            raise ValueError(
                f"hook_params must be a dict of values that are known in the DAG file, not {params!r:.60}."
            )

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Mapping[str, Any],
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
        **more: Any,
    ) -> None:
        sql = self.sql
        # (Values from ``expand`` are in seen_oids. Data of another task must not open a file.)
        if isinstance(sql, str) and sql.strip().endswith(_SQL_FILE) and id(sql) not in seen_oids and jinja_env.loader:
            self.sql, *_ = jinja_env.loader.get_source(jinja_env, sql.strip())
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids, **more)

    def _rows(self, context: Context) -> Iterator[Mapping[str, Any]]:  # noqa: ARG002
        return stream_rows(self._sql_hook(), self.sql, self.parameters)

    def _sql_hook(self) -> DbApiHook:
        try:
            from airflow.providers.common.sql.hooks.sql import DbApiHook
        except ImportError as error:
            raise PassNotifyConfigError(
                "SqlToPassNotifyOperator needs the common SQL provider: install airflow-provider-passnotify[sql]."
            ) from error
        connection = BaseHook.get_connection(self.sql_conn_id)
        hook = connection.get_hook(hook_params=self.hook_params)  # type: ignore[no-untyped-call]
        if not isinstance(hook, DbApiHook):
            raise PassNotifyConfigError(
                f"Connection {self.sql_conn_id!r} is not a SQL connection (its type is {connection.conn_type!r})."
            )
        return hook
