"""The notifier: it tells people on their phones that a task or a DAG failed, or that a deadline was missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseNotifier

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.arguments import check_conn_id, is_resolved_at_runtime, seconds_of
from airflow_provider_passnotify.delivery.at_most_every import AlertLimit
from airflow_provider_passnotify.delivery.folder import check_journal_path
from airflow_provider_passnotify.delivery.session import configured_path
from airflow_provider_passnotify.exceptions import (
    InvalidNotificationError,
    PassNotifyApiError,
    PassNotifyError,
    explain,
)
from airflow_provider_passnotify.hooks.passnotify import DEFAULT_CONN_ID, PassNotifyAsyncHook, PassNotifyHook
from airflow_provider_passnotify.targets import ID_NAMES, Id, Target, TargetType, clean_id, make_target

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

__all__ = ["PassNotifyNotifier"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Alert:
    """The notification that one callback asks for, rendered and checked."""

    target: Target
    value: str
    label: str | None
    conn_id: str
    limit: AlertLimit | None


class PassNotifyNotifier(BaseNotifier):
    """Send a notification from a callback: ``on_failure_callback`` and the like, or a deadline alert.

    It never raises when it is called, because that would disturb Airflow's scheduler. The outcome of the alert is in
    the log. It keeps no journal. If somebody must not be notified twice, send the notification from a task.

    All arguments except ``at_most_every`` are templates. They are rendered with the context of the callback, and always
    as text. For a missed deadline, the triggerer knows only little: ``dag_run`` (a dictionary) and ``deadline``.

    :param target_type: ``pass``, ``external_pass``, ``segment``, ``tag``, ``template`` or ``external_template``.
    :param pass_id: for ``pass``.
    :param template_id: for ``external_pass``, ``segment``, ``tag`` and ``template``.
    :param pass_external_id: for ``external_pass``.
    :param project_id: for ``segment``.
    :param segment_id: for ``segment``.
    :param tag: for ``tag``.
    :param template_external_id: for ``external_template``.
    :param value: the text of the message.
    :param label: its optional header.
    :param passnotify_conn_id: the Airflow connection.
    :param at_most_every: seconds or a timedelta. In this time, at most one alert with the same ``dedupe_key`` is sent
        to the same target, even if many tasks fail. It needs ``journal_path``.
    :param dedupe_key: alerts with the same text here count as the same alert. Example: ``"{{ dag_run.dag_id }}"``.
    :param journal_path: the folder that remembers which alerts were sent, local or in an object storage. The default is
        the option ``journal_path`` in the section ``[passnotify]`` of Airflow's configuration.
    :param context: given by Airflow for a deadline alert.
    :raises InvalidNotificationError: while the DAG is parsed, if an argument is known to be wrong then.
    """

    template_fields: Sequence[str] = (
        "target_type",
        *ID_NAMES,
        "value",
        "label",
        "passnotify_conn_id",
        "dedupe_key",
        "journal_path",
    )

    def __init__(
        self,
        *,
        target_type: str | TargetType,
        value: str,
        label: str | None = None,
        pass_id: Id | None = None,
        template_id: Id | None = None,
        pass_external_id: Id | None = None,
        project_id: Id | None = None,
        segment_id: Id | None = None,
        tag: Id | None = None,
        template_external_id: Id | None = None,
        passnotify_conn_id: str = DEFAULT_CONN_ID,
        at_most_every: float | timedelta | None = None,
        dedupe_key: str | None = None,
        journal_path: str | None = None,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        self.context: Any = context or {}
        self.target_type = target_type
        self.value = value
        self.label = label
        self.pass_id = pass_id
        self.template_id = template_id
        self.pass_external_id = pass_external_id
        self.project_id = project_id
        self.segment_id = segment_id
        self.tag = tag
        self.template_external_id = template_external_id
        self.passnotify_conn_id = passnotify_conn_id
        self.at_most_every = at_most_every
        self.dedupe_key = dedupe_key
        self.journal_path = journal_path
        try:
            self._check_what_is_known()
        except ValueError as error:
            raise InvalidNotificationError(f"PassNotifyNotifier: {error}") from None

    def __call__(self, *args: Any) -> None:
        """Send, like :meth:`notify`.

        :param args: the context; or the arguments that Airflow 2 gives to a callback for a missed SLA (the first one is
            the DAG).
        """
        context: Any = args[0] if len(args) == 1 else {"dag": args[0]} if args else self.context
        self.notify(context)

    def __await__(self) -> Generator[Any, Any, None]:
        """Send, like :meth:`async_notify`, with the context that was given to the constructor."""
        return self.async_notify(self.context).__await__()

    def notify(self, context: Context) -> None:
        """Send, and log the outcome.

        :param context: the context of the callback.
        """
        alert = started = None
        try:
            alert = self._alert(context)
            hook = PassNotifyHook(alert.conn_id)
            with closing(hook.get_conn()):  # first: with a wrong connection this alert must not hold back the others
                if not self._may_send(alert, context):
                    return
                started = time.monotonic()
                ticket_id = hook.send_notification(alert.target, value=alert.value, label=alert.label)
        except Exception as error:  # noqa: BLE001  # a callback must not disturb the scheduler
            self._failed(alert, error, began=started is not None)
        else:
            self._sent(alert, ticket_id, started)

    async def async_notify(self, context: Context) -> None:
        """Send from the triggerer (for deadline alerts), and log the outcome.

        :param context: the context of the callback.
        """
        alert = started = None
        try:
            alert = self._alert(context)
            async with PassNotifyAsyncHook(alert.conn_id) as hook:
                await hook.get_conn()
                if not await asyncio.to_thread(self._may_send, alert, context):
                    return
                started = time.monotonic()
                ticket_id = await hook.send_notification(alert.target, value=alert.value, label=alert.label)
        except asyncio.CancelledError:
            log.error(
                "%s",
                explain(
                    f"Alert{_to(alert)}: unknown, it may have been sent.",
                    known=["The triggerer was stopped meanwhile."],
                    section="Alerts",
                ),
            )
            raise
        except Exception as error:  # noqa: BLE001
            await asyncio.to_thread(self._failed, alert, error, began=started is not None)
        else:
            self._sent(alert, ticket_id, started)

    def _alert(self, context: Context) -> _Alert:
        rendered = self._rendered(context)
        target = make_target(rendered["target_type"], {name: rendered[name] for name in ID_NAMES})
        protocol.send_request(target, value=rendered["value"], label=rendered["label"])
        limit = None
        if self.at_most_every is not None:
            path = self._journal_path(rendered["journal_path"])
            every = seconds_of("at_most_every", self.at_most_every)
            limit = AlertLimit(path, (rendered["dedupe_key"], target.address), every)
        return _Alert(target, rendered["value"], rendered["label"], rendered["passnotify_conn_id"], limit)

    def _may_send(self, alert: _Alert, context: Context) -> bool:
        if alert.limit is None:
            return True
        taken = alert.limit.claim(_about(context))
        if taken is not None:
            log.info(
                "Alert to %s: not sent, because one was sent at %s (at most one every %s).",
                alert.target,
                taken.format("YYYY-MM-DD HH:mm:ss [UTC]"),
                timedelta(seconds=alert.limit.every),
            )
        return taken is None

    def _sent(self, alert: _Alert, ticket_id: int, started: float) -> None:
        milliseconds = round((time.monotonic() - started) * 1000)
        log.info("Alert to %s: sent, ticketId %d, %d ms.", alert.target, ticket_id, milliseconds)

    def _failed(self, alert: _Alert | None, error: Exception, *, began: bool) -> None:
        is_ours = isinstance(error, PassNotifyError | ValueError | AirflowNotFoundException)
        may_be_out = isinstance(error, PassNotifyApiError) and error.may_have_been_sent
        outcome = "unknown, it may have been sent" if may_be_out else "not sent"
        if not is_ours and began:  # nobody has thought of it
            outcome += ", as far as is known"
        facts = error.facts if isinstance(error, PassNotifyApiError) else [str(error)]
        message = explain(f"Alert{_to(alert)}: {outcome}.", known=[*facts, _NOT_AGAIN], section="Alerts")
        log.error("%s", message, exc_info=None if is_ours else error)
        if alert is not None and alert.limit is not None and isinstance(error, PassNotifyError) and not may_be_out:
            try:
                alert.limit.release()  # the next alert may try
            except Exception as problem:  # noqa: BLE001
                log.error("The next alerts are held back, although this one was not sent: %s", problem)

    def _rendered(self, context: Context) -> dict[str, Any]:
        environment: jinja2.Environment | None = None
        rendered = {}
        for name in self.template_fields:
            value = getattr(self, name)
            if is_resolved_at_runtime(value):
                environment = environment or self._environment(context)
                value = self._render_field(name, value, context, environment)
            rendered[name] = value
        return rendered

    def _environment(self, context: Context) -> jinja2.Environment:
        from jinja2 import StrictUndefined

        environment: jinja2.Environment
        dag: Any = context.get("dag")
        if hasattr(dag, "get_template_env"):
            # The sandboxed environment: the native one, which a DAG may ask for, turns text into numbers and lists.
            environment = dag.get_template_env(force_sandboxed=True)
        else:  # no DAG in the triggerer; only its serialized form for a DAG's callback in dag.test()
            environment = self.get_template_env()
            environment.undefined = StrictUndefined  # as in a DAG: a message with a gap could be wrong
        return environment

    def _render_field(self, name: str, value: Any, context: Context, environment: jinja2.Environment) -> str | None:
        from jinja2 import TemplateError

        try:
            if callable(value):  # as in the template fields of an operator
                made = value(context=context, jinja_env=environment)
                text = "" if made is None else str(made)
            else:
                text = str(self.render_template(value, context, environment))
        except TemplateError as error:
            known = ", ".join(sorted(map(str, context)))
            raise ValueError(
                f"The template of {name} cannot be rendered: {error}. (What this callback knows: {known or 'nothing'}.)"
            ) from None
        if name == "label" and not text.strip():
            return None  # no label
        if text.strip() in ("", "None"):
            raise ValueError(f"The template of {name} came to {text!r}.")
        return text

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:  # noqa: ARG002
        return super(BaseNotifier, self)._render(template, context)  # without the DAG, so it is always text

    def _check_what_is_known(self) -> None:
        known = {
            name: "later" if is_resolved_at_runtime(getattr(self, name)) else getattr(self, name)
            for name in self.template_fields
        }
        for name in self.template_fields:
            if hasattr(getattr(self, name), "iter_references"):
                raise ValueError(f"{name} cannot be another task's output; a template can fetch it.")
        check_conn_id(self.passnotify_conn_id)
        protocol.check_message(known["value"], known["label"])
        ids = {name: known[name] for name in ID_NAMES}
        if is_resolved_at_runtime(self.target_type):
            for name, value in ids.items():
                if value is not None:
                    clean_id(name, value)
        else:
            protocol.send_request(make_target(self.target_type, ids), value="x", label=None)
        self._check_limit()

    def _check_limit(self) -> None:
        if self.at_most_every is None:
            if self.dedupe_key is not None or self.journal_path is not None:
                raise ValueError("dedupe_key and journal_path belong to at_most_every, which is missing.")
            return
        seconds_of("at_most_every", self.at_most_every, minimum=1)
        if not isinstance(self.dedupe_key, str) or not self.dedupe_key.strip():
            raise ValueError(
                "at_most_every needs a dedupe_key: which alerts count as the same, such as '{{ dag_run.dag_id }}'."
            )
        if not is_resolved_at_runtime(self.journal_path):
            self._journal_path(self.journal_path)

    @staticmethod
    def _journal_path(given: object) -> str:
        path = configured_path() if given is None else given
        if path is None:
            raise ValueError(
                "at_most_every needs journal_path, the folder in which all workers remember what was sent; give it, or "
                "set journal_path in the section [passnotify] of Airflow's configuration."
            )
        check_journal_path(path)
        return str(path)


_NOT_AGAIN = "Nothing sends this alert again: a callback has no retries."


def _to(alert: _Alert | None) -> str:
    return "" if alert is None else f" to {alert.target}"


def _about(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies the task of the callback, for people who look into the folder."""
    run, instance = context.get("dag_run"), context.get("ti")
    dag_id, run_id = (
        (run.get("dag_id"), run.get("dag_run_id") or run.get("run_id"))
        if isinstance(run, Mapping)
        else (getattr(run, "dag_id", None), getattr(run, "run_id", None))
    )
    found = {"dag_id": dag_id, "run_id": run_id, "task_id": getattr(instance, "task_id", None)}
    return {name: value for name, value in found.items() if isinstance(value, str)}
