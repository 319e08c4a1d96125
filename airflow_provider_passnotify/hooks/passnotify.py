"""The hooks: they call the API with the credential of an Airflow connection. The calls are in :mod:`.calls`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_passnotify import connection_form
from airflow_provider_passnotify.api.config import CONN_TYPE, Config, read_config
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket
from airflow_provider_passnotify.compat import mask_secret
from airflow_provider_passnotify.exceptions import PassNotifyConfigError
from airflow_provider_passnotify.hooks import calls
from airflow_provider_passnotify.targets import Target

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
    from airflow_provider_passnotify.api.client import PassNotifyClient

__all__ = ["PassNotifyAsyncHook", "PassNotifyHook"]

DEFAULT_CONN_ID = "passnotify_default"


class PassNotifyHook(BaseHook):
    """Call the PassNotify API with the credential of an Airflow connection.

    :param passnotify_conn_id: the connection's id.
    """

    conn_name_attr = "passnotify_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "PassNotify"

    def __init__(self, passnotify_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.passnotify_conn_id = passnotify_conn_id
        self._client: PassNotifyClient | None = None

    def get_conn(self) -> PassNotifyClient:
        """Return the client. It is made once, so that the task reuses its connections.

        :raises PassNotifyConfigError: naming what is wrong with the connection.
        """
        if self._client is None:
            from airflow_provider_passnotify.api.client import PassNotifyClient

            self._client = PassNotifyClient(self.get_config())
        return self._client

    def get_config(self) -> Config:
        """Read the Airflow connection, and mask its secrets.

        :raises PassNotifyConfigError: naming what is wrong with the connection.
        """
        return _read(self.get_connection(self.passnotify_conn_id), self.passnotify_conn_id)

    def send_notification(self, target: Target | Mapping[str, object], *, value: str, label: str | None = None) -> int:
        """Send a notification ("Send notification by ..." of the API reference).

        :param target: a target, or a mapping such as ``{"target_type": "pass", "pass_id": 123}``.
        :param value: the text of the message.
        :param label: its optional header.
        :return: the ticketId.
        :raises InvalidNotificationError: before any request.
        :raises NotSentError: if it was certainly not sent.
        :raises DeliveryUnknownError: if it may have been sent.
        """
        return self._do(calls.send_call(target, value=value, label=label))

    def send_once(
        self,
        target: Target | Mapping[str, object],
        *,
        value: str,
        label: str | None = None,
        dedupe_key: str | None = None,
        delivery: str = "at_most_once",
        on_clear: str = "resend",
        send_before: datetime | str | None = None,
        journal_path: str | os.PathLike[str] | None = None,
    ) -> int:
        """Send a notification once, even if the running task is retried. It is meant for a plain ``@task``.

        The promise is that of ``SendNotificationOperator``. What was sent is recorded in the task's journal. A retry
        returns the first ticketId and sends nothing.

        :param target: as for :meth:`send_notification`.
        :param value: the text of the message. If a later try has another text, the message is still not sent again.
        :param label: its optional header.
        :param dedupe_key: a name for this message, different from those of the task's other messages. The default is
            the target, so each target gets one message.
        :param delivery: ``at_most_once`` or ``at_least_once``, as for ``SendNotificationOperator``.
        :param on_clear: ``resend`` or ``resume``, as for ``SendNotificationOperator``.
        :param send_before: a datetime or ISO string. After this time, nothing is sent and the task is skipped.
        :param journal_path: a folder for the records. The default is the option ``journal_path`` in the section
            ``[passnotify]`` of Airflow's configuration, or else Airflow's own memory (3.3 and later).
        :return: the ticketId.
        :raises InvalidNotificationError: before any request. Also if this try has sent another message under this key.
        :raises SendRefusedError: if nobody can know what earlier tries sent, or outside of a task, or in a callback.
        :raises NotSentError: if it was certainly not sent.
        :raises DeliveryUnknownError: if it may have been sent.
        :raises JournalError: if the record could not be read or written. The message says what was sent.
        """
        from airflow_provider_passnotify.hooks.once import send_once

        return send_once(
            self.get_conn,
            target,
            value=value,
            label=label,
            dedupe_key=dedupe_key,
            delivery=delivery,
            on_clear=on_clear,
            send_before=send_before,
            journal_path=journal_path,
        )

    def delete_notification(self, target: Target | Mapping[str, object]) -> int:
        """Take the notification off the back of the passes ("Delete notification by ..." of the API reference).

        :param target: a target, or a mapping such as ``{"target_type": "pass", "pass_id": 123}``.
        :return: the ticketId.
        :raises PassNotifyApiError: if the API did not accept it.
        """
        return self._do(calls.delete_call(target))

    def get_ticket(self, ticket_id: int | str, *, words: StatusWords | None = None) -> Ticket:
        """Look up the ticket of a send or delete.

        :param ticket_id: what the send or delete returned.
        :param words: words beyond the defaults that mean success or failure.
        :raises RejectedError: if the API does not know the ticket.
        :raises PassNotifyApiError: if there is no answer, or it cannot be read.
        """
        return self._do(calls.ticket_call(ticket_id, words))

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the API can be reached and accepts the credential, and why not. Nothing is sent."""
        from airflow_provider_passnotify.api.client import PassNotifyClient

        try:
            client = PassNotifyClient(replace(self.get_config(), max_retries=0))
        except PassNotifyConfigError as error:
            # Airflow's Test button makes up an id, which would tell nobody anything.
            return False, str(error).replace(f"Connection {self.passnotify_conn_id!r}", "This connection", 1)
        try:
            return calls.test_connection(client.call)
        finally:
            client.close()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields (Airflow 2.11 to 3.1)."""
        return connection_form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the form's common fields (Airflow 2.11 to 3.1)."""
        return {
            "hidden_fields": [],
            "relabeling": connection_form.RELABELING,
            "placeholders": connection_form.PLACEHOLDERS,
        }

    def _do(self, call: calls.Call[calls.T]) -> calls.T:
        return call.read(self.get_conn().call(call.request))


class PassNotifyAsyncHook(BaseHook):
    """The same as :class:`PassNotifyHook`, for asyncio. Use it with ``async with``.

    :param passnotify_conn_id: the connection's id.
    """

    def __init__(self, passnotify_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.passnotify_conn_id = passnotify_conn_id
        self._client: PassNotifyAsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    async def get_conn(self) -> PassNotifyAsyncClient:
        """Return the client, made once for each event loop.

        :raises PassNotifyConfigError: naming what is wrong with the connection.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections of another event loop (an earlier asyncio.run) cannot be used here
            self._loop, self._client, self._opening = loop, None, asyncio.Lock()
        async with self._opening:
            if self._client is None:
                self._client = await new_async_client(await self.get_config())
            return self._client

    async def get_config(self) -> Config:
        """Read the Airflow connection and mask its secrets, without blocking the event loop."""
        compat = await asyncio.to_thread(import_module, "airflow.providers.common.compat.connection")
        connection = await compat.get_async_connection(self.passnotify_conn_id)
        # In a thread, because masking may ask Airflow's supervisor, and that would block the event loop forever.
        return await asyncio.to_thread(_read, connection, self.passnotify_conn_id)

    async def send_notification(
        self, target: Target | Mapping[str, object], *, value: str, label: str | None = None
    ) -> int:
        """Like :meth:`PassNotifyHook.send_notification`."""
        return await self._do(calls.send_call(target, value=value, label=label))

    async def send_once(
        self,
        target: Target | Mapping[str, object],
        *,
        value: str,
        label: str | None = None,
        dedupe_key: str | None = None,
        delivery: str = "at_most_once",
        on_clear: str = "resend",
        send_before: datetime | str | None = None,
        journal_path: str | os.PathLike[str] | None = None,
    ) -> int:
        """Like :meth:`PassNotifyHook.send_once`, in a thread. Calls at the same time wait for each other."""
        return await asyncio.to_thread(
            PassNotifyHook(self.passnotify_conn_id).send_once,
            target,
            value=value,
            label=label,
            dedupe_key=dedupe_key,
            delivery=delivery,
            on_clear=on_clear,
            send_before=send_before,
            journal_path=journal_path,
        )

    async def delete_notification(self, target: Target | Mapping[str, object]) -> int:
        """Like :meth:`PassNotifyHook.delete_notification`."""
        return await self._do(calls.delete_call(target))

    async def get_ticket(self, ticket_id: int | str, *, words: StatusWords | None = None) -> Ticket:
        """Like :meth:`PassNotifyHook.get_ticket`."""
        return await self._do(calls.ticket_call(ticket_id, words))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def __aenter__(self) -> PassNotifyAsyncHook:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, call: calls.Call[calls.T]) -> calls.T:
        return call.read(await (await self.get_conn()).call(call.request))


async def new_async_client(config: Config) -> PassNotifyAsyncClient:
    """Make a client in a thread, because importing aiohttp and reading the CA bundle would block the event loop."""

    def make() -> PassNotifyAsyncClient:
        from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient

        return PassNotifyAsyncClient(config)

    return await asyncio.to_thread(make)


def _read(connection: Connection, conn_id: str) -> Config:
    try:
        config = read_config(
            conn_type=connection.conn_type,
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            login=connection.login,
            password=connection.password,
            extra=connection.extra,
        )
    except ValueError as error:
        raise PassNotifyConfigError(f"Connection {conn_id!r}: {error}") from None
    for secret in config.secrets:
        mask_secret(secret)
    return config
