"""The one path of a single push: journal, POST, journal. What each step protects stands in :mod:`.journal`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.delivery.account import SINGLE, check_accounted
from airflow_provider_passnotify.delivery.journal import Delivery, Journal, Record, State
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    JournalError,
    NotSentError,
    PassNotifyApiError,
    RejectedError,
    SendRefusedError,
    SupersededError,
    error_from,
)

if TYPE_CHECKING:
    import pendulum

    from airflow_provider_passnotify.api.client import PassNotifyClient

log = logging.getLogger(__name__)

_NO_MEMORY = (
    "What you can do: journal_path, or Airflow 3.3, which remember between tries what was sent; "
    "delivery='at_least_once'; or clear the task."
)
_NOT_AGAIN = (
    "It may have been sent, so it is not sent again automatically. What you can do: accept it (mark the task as "
    "success), or clear the task to send it again (with on_clear='resend')."
)
_CHANGED_TARGET = (
    "A task instance sends to one target. If it is mapped, its inputs have changed since then. What you can do: run "
    "the DAG anew, or clear the task with on_clear='resend' to send to the new target."
)


@dataclass(frozen=True)
class History:
    """What the records of earlier tries add up to."""

    sent: Record | None = None
    unknown: Record | None = None

    @classmethod
    def of(cls, records: list[Record]) -> History:
        """Add up records, oldest first."""
        sent = unknown = None
        for record in records:
            if record.state is State.SENT and record.ticket_id is not None:
                sent, unknown = record, None
            elif record.state is State.TICKET_FAILED:
                sent = unknown = None
            elif record.state is not State.NOT_SENT:
                unknown = record
        return cls(sent, unknown)


class SinglePush:
    """Sends one notification of one task instance, once.

    :param request: the POST.
    :param journal: of this sender.
    :param delivery: what to do where nobody knows whether it was sent.
    :param send_before: the moment after which it is not sent any more.
    :param waits: whether the task goes on to wait for the ticket; it calls :meth:`waiting_ended` then.
    :param changed_target: what to tell whoever would send to another target than before.
    """

    def __init__(
        self,
        request: Request,
        journal: Journal,
        *,
        delivery: Delivery,
        send_before: pendulum.DateTime | None,
        waits: bool = False,
        changed_target: str = _CHANGED_TARGET,
    ) -> None:
        self.request, self.journal, self.delivery, self.send_before = request, journal, delivery, send_before
        self.waits = waits
        self._changed_target = changed_target
        self.stopped = False
        self._sent: Record | None = None  # while the task waits for its ticket
        self._call = f"{request.method} {request.url_path}"
        self._message = hashlib.sha256(request.body or b"").hexdigest()[:16]

    def send(self, get_client: Callable[[], PassNotifyClient]) -> int:
        """Return the ticketId: of this send, or of an earlier try's.

        :param get_client: gives the client when something is sent at last.
        :raises PassNotifyError: as the error table has it; nothing is sent where the intent was not accepted.
        """
        # Whatever ends this process, its log names whom it was for.
        log.info("%s: try %d, %s.", self._call, self.journal.try_number, self.delivery.value)
        try:
            history = History.of(self.journal.read(self.request.address))
        except SupersededError:
            raise
        except JournalError as error:
            raise JournalError(f"{self._call}: nothing was sent by this try. {error}") from error
        for record in (history.sent, history.unknown):
            self._check_target(record)
        if history.sent is not None and history.sent.ticket_id is not None:  # (for mypy; see History.of)
            self._log_adopted(history.sent)
            if self.waits or history.sent.waiting:
                adopted = self.journal.put(replace(history.sent, waiting=self.waits))
                self._sent = adopted if self.waits else None
            return history.sent.ticket_id
        if history.unknown is not None:
            self._settle(history.unknown)
        self.journal.counts_from = check_accounted(
            self.journal.tasks,
            self.journal.counts_from,
            self.journal.newest,
            resume=self.journal.resume,
            delivery=self.delivery,
            what=self._call,
            ways=SINGLE,
        )
        try:
            self._write(State.INTENT)
        except SupersededError:
            raise
        except JournalError as error:
            raise JournalError(
                f"{self._call}: nothing was sent. {error} A try that was superseded, or has lost its supervisor, must "
                "not send; if the API server was down, a retry will."
            ) from error
        return self._post(self._client(get_client))

    def ticket_failed(self, reason: str) -> None:
        """Record that what was sent ended as failed, so that a retry may send it again.

        :raises JournalError: when it was not accepted.
        """
        self._sent = None
        self._write(State.TICKET_FAILED, reason=reason)

    def waiting_ended(self) -> None:
        """Record that the task waits no more, whatever ended it: a clear from now on is not that of a task that runs.

        Where that is not accepted, the next clear is taken for one, and sends nothing.
        """
        if self._sent is None:
            return
        try:
            self.journal.put(replace(self._sent, waiting=False))
        except JournalError as error:
            log.warning("That the waiting has ended is not recorded. %s", error)

    @property
    def retry_is_unsafe(self) -> bool:
        """Whether a retry could not know what this try did, and so must not send."""
        return self.delivery is Delivery.AT_MOST_ONCE and not self.journal.is_durable

    def _client(self, get_client: Callable[[], PassNotifyClient]) -> PassNotifyClient:
        """Do all that may go wrong between intent and POST; what does is recorded as not sent."""
        try:
            self._check_may_send()
            client = get_client()
        except BaseException as error:
            with suppress(JournalError):  # what it means stands in the error already
                # Looked at first: where this process may not send, its "not sent" would hide another one's intent.
                self.journal.tasks.look()
                self._write(State.NOT_SENT, reason=f"{type(error).__name__}: {error}"[:500])
            raise
        try:
            self.journal.tasks.look()
        except SupersededError:
            raise
        except JournalError as error:
            raise JournalError(
                f"{self._call}: nothing was sent by this try, but that is not recorded: {error} A retry finds the "
                "intent alone, and takes it that it may have been sent."
            ) from error
        return client

    def _post(self, client: PassNotifyClient) -> int:
        try:
            verdict = client.call(self.request, before_attempt=self._check_may_send)
        except (AirflowSkipException, NotSentError) as error:
            with suppress(JournalError):  # what it means stands in the error already
                self._write(State.NOT_SENT, reason=str(error))
            raise
        except BaseException as error:
            # A time-out or a signal: recorded as far as it got, and passed on.
            state = State.UNKNOWN if client.in_flight else State.NOT_SENT
            with suppress(JournalError):
                self._write(state, reason=f"interrupted by {type(error).__name__}")
            raise
        if verdict.outcome is not Outcome.ACCEPTED or verdict.ticket_id is None:
            failure = self._error(verdict)
            try:
                self._write(State.UNKNOWN if verdict.may_have_been_sent else State.NOT_SENT, reason=verdict.reason)
            except JournalError as error:
                log.error("%s A retry will find the intent alone, and take it that it may have been sent.", error)
                raise failure from error
            raise failure
        log.info("%s: accepted, ticketId %d.", self._call, verdict.ticket_id)  # whatever becomes of the journal
        try:
            sent = self._write(State.SENT, ticket_id=verdict.ticket_id, waiting=self.waits)
        except JournalError as error:
            raise JournalError(
                f"{self._call} was sent (ticketId {verdict.ticket_id}), but that is not recorded. {error}"
            ) from error
        self._sent = sent if self.waits else None
        return verdict.ticket_id

    def _error(self, verdict: Verdict) -> PassNotifyApiError:
        if verdict.outcome is Outcome.UNKNOWN and self.delivery is Delivery.AT_LEAST_ONCE:
            advice = "It may have been sent; delivery='at_least_once' lets a retry send it again."
            return PassNotifyApiError(self.request, verdict, advice)
        if verdict.outcome is Outcome.UNKNOWN:
            return DeliveryUnknownError(self.request, verdict, _NOT_AGAIN)
        if verdict.outcome is Outcome.NOT_SENT and self.retry_is_unsafe:
            return RejectedError(self.request, verdict, f"Nothing was sent, and this is final. {_NO_MEMORY}")
        return error_from(self.request, verdict)

    def _settle(self, unknown: Record) -> None:
        """Decide about a try that may have sent: go on to send again, or raise."""
        why = unknown.reason or "it ended before it could record what came of it"
        whom = unknown.address or "somebody (the record cannot be read)"
        reason = f"try {unknown.try_number} set out to send to {whom} at {unknown.at}, and {why}"
        if self.delivery is Delivery.AT_MOST_ONCE:
            verdict = Verdict(Outcome.UNKNOWN, reason)
            if unknown.is_open:  # it is told now: cleared once more, the task sends
                with suppress(JournalError):
                    self.journal.put(replace(unknown, state=State.UNKNOWN, reason=why, waiting=False))
            raise DeliveryUnknownError(self.request, verdict, _NOT_AGAIN)
        log.warning("Sending again, which may be a duplicate (delivery='at_least_once'): %s.", reason)

    def _check_target(self, earlier: Record | None) -> None:
        """Refuse where the task instance has sent, or may have sent, to somebody else."""
        if earlier is None or not earlier.address or earlier.address == self.request.address:
            return
        did = "sent" if earlier.state is State.SENT else "may have sent"
        ticket = "" if earlier.ticket_id is None else f" (ticketId {earlier.ticket_id})"
        raise SendRefusedError(
            f"{self._call}: nothing is sent. Try {earlier.try_number} {did} to {earlier.address}{ticket}, and now the "
            f"target is {self.request.address}. {self._changed_target}"
        )

    def _log_adopted(self, sent: Record) -> None:
        log.info("Try %d has sent it already (ticketId %s); nothing is sent.", sent.try_number, sent.ticket_id)
        if sent.message != self._message:
            log.warning(
                "What it is to say has changed since then. The first message stands: a task instance sends once until "
                "it is cleared."
            )

    def _check_may_send(self) -> None:
        if self.stopped:
            raise NotSentError(self.request, Verdict(Outcome.NOT_SENT, "the task was told to stop"))
        if self.send_before is not None and self.send_before.is_past():
            raise AirflowSkipException(f"Not sent: send_before={self.send_before.isoformat()} has passed.")

    def _write(self, state: State, **more: Any) -> Record:
        return self.journal.write(state, address=self.request.address, message=self._message, **more)
