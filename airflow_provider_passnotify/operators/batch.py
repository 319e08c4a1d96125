"""The operators for many notifications at once; :mod:`.passnotify` offers them to users."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.arguments import is_resolved_at_runtime, materialize
from airflow_provider_passnotify.exceptions import PassNotifyError, explain
from airflow_provider_passnotify.operators.batch_base import BatchOperator
from airflow_provider_passnotify.operators.batch_send import SendingBatchOperator
from airflow_provider_passnotify.rows.files import check_file_name, read_file
from airflow_provider_passnotify.rows.source import LiteralRows, Rows, read_list

if TYPE_CHECKING:
    from airflow.sdk import Context


class _NotificationsBatchOperator(BatchOperator):
    """Rows from the DAG file, from an XCom or from a file."""

    def __init__(self, *, notifications: Any, null_values: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.null_values = null_values
        notifications = materialize(notifications)
        # Rows that are written in the DAG file are not rendered with Jinja. It would also render people's names.
        self.notifications = LiteralRows(notifications) if isinstance(notifications, list | tuple) else notifications
        self._check()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        nulls = self.null_values
        is_list = isinstance(nulls, Collection) and not isinstance(nulls, str | Mapping)
        if not is_list or not all(isinstance(text, str) for text in nulls):
            raise ValueError(f"null_values must be a list of texts such as ['NULL'], not {nulls!r:.60}.")
        rows = self.notifications
        if isinstance(rows, LiteralRows):
            _refuse_what_is_not_rendered(rows)
        elif isinstance(rows, str) and not is_resolved_at_runtime(rows):
            if rows.lstrip().startswith(("[", "{")):
                raise ValueError("notifications is text that looks like rows: give the task's output, not a template.")
            try:
                check_file_name(rows)
            except ValueError as error:
                raise ValueError(f"notifications: {error}") from None
        elif rows is None or isinstance(rows, Mapping | int | float | bytes):
            raise ValueError(_no_rows(rows))

    def _file(self) -> str | None:
        rows = self.notifications
        is_file = isinstance(rows, str) or (not isinstance(rows, LiteralRows) and hasattr(rows, "open"))
        return str(rows) if is_file else None  # also for an ObjectStoragePath or a Path

    def _null_values(self) -> Collection[str] | None:
        return None if self._file() is None else self.null_values

    def _rows(self, context: Context) -> Rows:  # noqa: ARG002
        rows = self.notifications
        if isinstance(rows, LiteralRows):
            return read_list(rows.rows)
        if (file := self._file()) is not None:
            return self._read(file)
        if hasattr(rows, "to_dict"):
            raise ValueError(
                'notifications is a DataFrame; give .to_dict("records") of it, with ids that were read as text '
                '(dtype={"pass_id": "string"}): a float column holds other people\'s ids.'
            )
        if isinstance(rows, Mapping | bytes) or not isinstance(rows, Iterable):
            raise ValueError(_no_rows(rows))
        return read_list(rows)

    def _read(self, path: str) -> Rows:
        from airflow_provider_passnotify.delivery.storage import open_for_reading

        try:
            yield from read_file(path, lambda: open_for_reading(path), self._header.extend)
        except ValueError:
            raise  # it says what is wrong with the file
        except Exception as error:
            raise PassNotifyError(
                explain(
                    f"Task {self.task_id!r}: not {self._done}: the file cannot be read.",
                    known=[f"The file: {path}", f"{type(error).__name__}: {error}"],
                    ways=[
                        "Look whether the task that writes the file has run, and has written it to this place.",
                        "Give a whole path or a URL: each worker has its own disk and its own working directory.",
                        "Look at the connection in the URL, and at what it may read. Then clear the task.",
                    ],
                    section="Not sent",
                )
            ) from error


def _no_rows(found: object) -> str:
    kind = "None (an empty XCom?)" if found is None else type(found).__name__
    return f"notifications must be a list of mappings, an XCom of one, or the path of a file; it is {kind}."


class SendNotificationBatchOperator(_NotificationsBatchOperator, SendingBatchOperator):
    """Send many notifications, each to its own target with its own text. A push is never repeated by accident.

    :param notifications: rows (mappings with ``target_type``, ids, ``value``, ``label``, ``dedupe_key``): a list, an
        XCom, or the path of a ``.jsonl`` or ``.csv`` file, also ``.gz``, local or in any object storage.
    :param null_values: texts that count as absent in a file, in addition to ``\\N``, such as ``["NULL"]``.
    """

    template_fields: Sequence[str] = (*SendingBatchOperator.template_fields, "notifications")


class DeleteNotificationBatchOperator(_NotificationsBatchOperator, BatchOperator):
    """Remove many notifications from the back of the passes.

    Deleting twice has the same effect as deleting once, so Airflow may retry it.

    :param notifications: rows (mappings with ``target_type`` and ids; a message in them is ignored): a list, an XCom,
        or the path of a ``.jsonl`` or ``.csv`` file, also ``.gz``, local or in any object storage.
    :param null_values: texts that count as absent in a file, in addition to ``\\N``, such as ``["NULL"]``.
    """

    template_fields: Sequence[str] = (*BatchOperator.template_fields, "notifications")
    deletes = True


def _refuse_what_is_not_rendered(rows: LiteralRows) -> None:
    """Refuse XComs and Jinja in rows of the DAG file. They would be sent unrendered."""
    for number, row in enumerate(rows.rows, 1):
        values = list(row.values()) if isinstance(row, Mapping) else []
        if is_resolved_at_runtime(row) or any(hasattr(value, "iter_references") for value in values):
            raise ValueError(
                f"row {number} of notifications holds an XCom. Build the whole list in a task, and give its output."
            )
        if template := next(
            (value for value in values if isinstance(value, str) and is_resolved_at_runtime(value)), None
        ):
            raise ValueError(
                f"row {number} of notifications holds a template, {template!r:.80}, and rows are not rendered. Write "
                'it in an argument of the operator: value="Sale ends {{ params.day }}, {name}" is rendered, and then '
                "filled from each row's columns. Or build the whole list in a task, and give its output."
            )
