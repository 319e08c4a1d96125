"""The arguments that name a target: of one notification, or the defaults for the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_passnotify.operators.waits import TicketOperator
from airflow_provider_passnotify.targets import ID_NAMES, Id, TargetType


class TargetArgumentsOperator(TicketOperator):
    """An operator with ``target_type`` and the ids of all target types.

    :param target_type: ``pass``, ``external_pass``, ``segment``, ``tag``, ``template`` or ``external_template``.
    :param pass_id: for ``pass``.
    :param template_id: for ``external_pass``, ``segment``, ``tag`` and ``template``.
    :param pass_external_id: for ``external_pass``.
    :param project_id: for ``segment``.
    :param segment_id: for ``segment``.
    :param tag: for ``tag``.
    :param template_external_id: for ``external_template``.
    :param kwargs: those of :class:`~airflow_provider_passnotify.operators.waits.TicketOperator`: the connection, and
        whether and how to wait for tickets.
    """

    template_fields: Sequence[str] = ("target_type", *ID_NAMES, "passnotify_conn_id")
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        target_type: str | TargetType | None = None,
        pass_id: Id | None = None,
        template_id: Id | None = None,
        pass_external_id: Id | None = None,
        project_id: Id | None = None,
        segment_id: Id | None = None,
        tag: Id | None = None,
        template_external_id: Id | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_type = target_type
        self.pass_id = pass_id
        self.template_id = template_id
        self.pass_external_id = pass_external_id
        self.project_id = project_id
        self.segment_id = segment_id
        self.tag = tag
        self.template_external_id = template_external_id
