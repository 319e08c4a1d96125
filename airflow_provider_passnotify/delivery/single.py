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
from airflow_provider_passnotify.delivery.journal import Delivery, Journal, Record, State
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    JournalError,
    NotSentError,
    PassNotifyApiError,
    RejectedError,
    SendRefusedError,
    error_from,
)

if TYPE_CHECKING:
    import pendulum

    from airflow_provider_passnotify.api.client import PassNotifyClient

log = logging.getLogger(__name__)

_WAYS_ON = "Ways on: Airflow 3.3, which keeps a journal between tries; delivery='at_least_once'; or clear the task."
_WAYS_ON_IN_DOUBT = (
    "It may have been sent, so it is not sent again by itself. Ways on: accept it (mark the task as success), or clear "
    "the task to send it again (with on_clear='resend')."
)


@dataclass(frozen=True)
class History:
    """What the records of earlier tries add up to."""

    sent: Record | None = None
    doubt: Record | None = None

    @classmethod
    def of(cls, records: list[Record]) -> History:
        """Add up records, oldest first."""
        sent = doubt = None
        for record in records:
            if record.state is State.SENT and record.ticket_id is not None:
                sent, doubt = record, None
            elif record.state is State.TICKET_FAILED:
                sent = doubt = None
            elif record.state is not State.NOT_SENT:
                doubt = record
        return cls(sent, doubt)


class SinglePush:
    """Sends one notification of one task instance, once.

    :param request: the POST.
    :param journal: of this task instance.
    :param delivery: what to do in doubt.
    :param send_before: the moment after which it is not sent any more.
    :param first_try: whether this is the first try since the task was scheduled or cleared.
    :param waits: whether the task goes on to wait for the ticket; it calls :meth:`waiting_ended` then.
    """

    def __init__(
        self,
        request: Request,
        journal: Journal,
        *,
        delivery: Delivery,
        send_before: pendulum.DateTime | None,
        first_try: bool,
        waits: bool = False,
    ) -> None:
        self.request, self.journal, self.delivery, self.send_before = request, journal, delivery, send_before
        self.first_try, self.waits = first_try, waits
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
            history = History.of(self.journal.read())
        except JournalError as error:
            raise JournalError(f"{self._call}: nothing was sent by this try. {error}") from error
        if history.sent is not None and history.sent.ticket_id is not None:  # (for mypy; see History.of)
            self._log_adopted(history.sent)
            if self.waits or history.sent.waiting:
                adopted = self.journal.put(replace(history.sent, waiting=self.waits))
                self._sent = adopted if self.waits else None
            return history.sent.ticket_id
        if history.doubt is not None:
            self._settle(history.doubt)
        if self.retry_is_unsafe and not self.first_try:
            raise SendRefusedError(
                f"{self._call} is not sent: this is a retry, and before Airflow 3.3 nothing tells whether an earlier "
                f"try sent it. {_WAYS_ON}"
            )
        self._check_may_send()
        client = get_client()
        try:
            self._write(State.INTENT)
        except JournalError as error:
            raise JournalError(
                f"{self._call}: nothing was sent. {error} A try that was superseded, or has lost its supervisor, must "
                "not send; if the API server was down, a retry will."
            ) from error
        return self._post(client)

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
            return DeliveryUnknownError(self.request, verdict, _WAYS_ON_IN_DOUBT)
        if verdict.outcome is Outcome.NOT_SENT and self.retry_is_unsafe:
            return RejectedError(self.request, verdict, f"Nothing was sent, and this is final. {_WAYS_ON}")
        return error_from(self.request, verdict)

    def _settle(self, doubt: Record) -> None:
        """Decide about a try that may have sent: go on to send again, or raise."""
        why = doubt.reason or "it ended before it could record what came of it"
        reason = f"try {doubt.try_number} set out to send to {doubt.address} at {doubt.at}, and {why}"
        if self.delivery is Delivery.AT_MOST_ONCE:
            verdict = Verdict(Outcome.UNKNOWN, reason)
            if doubt.is_open:  # it is told now: cleared once more, the task sends
                with suppress(JournalError):
                    self.journal.put(replace(doubt, state=State.UNKNOWN, reason=why))
            raise DeliveryUnknownError(self.request, verdict, _WAYS_ON_IN_DOUBT)
        log.warning("Sending again, which may be a duplicate (delivery='at_least_once'): %s.", reason)

    def _log_adopted(self, sent: Record) -> None:
        log.info("Try %d has sent it already (ticketId %s); nothing is sent.", sent.try_number, sent.ticket_id)
        if (sent.address, sent.message) != (self.request.address, self._message):
            log.warning(
                "What is to be sent has changed since then (then to %s, now to %s, or another text); a task instance "
                "sends once until it is cleared.",
                sent.address,
                self.request.address,
            )

    def _check_may_send(self) -> None:
        if self.stopped:
            raise NotSentError(self.request, Verdict(Outcome.NOT_SENT, "the task was told to stop"))
        if self.send_before is not None and self.send_before.is_past():
            raise AirflowSkipException(f"Not sent: send_before={self.send_before.isoformat()} has passed.")

    def _write(self, state: State, **more: Any) -> Record:
        return self.journal.write(state, address=self.request.address, message=self._message, **more)
