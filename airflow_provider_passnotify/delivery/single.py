"""The only way to send a single push: journal, POST, journal. :mod:`.journal` explains what each step protects."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.delivery.account import MUST_NOT_SEND, SINGLE, THEN_CLEAR, check_accounted
from airflow_provider_passnotify.delivery.journal import Delivery, Journal, Record, State
from airflow_provider_passnotify.exceptions import (
    ARRIVED,
    LOOK,
    DeliveryUnknownError,
    JournalError,
    NotSentError,
    PassNotifyApiError,
    RejectedError,
    SendRefusedError,
    error_from,
    explain,
    first_line,
    journal_errors,
)
from airflow_provider_passnotify.targets import name_address

if TYPE_CHECKING:
    from airflow_provider_passnotify.api.client import PassNotifyClient

log = logging.getLogger(__name__)

_NO_MEMORY = (
    "Mend the cause, then clear the task.",
    "For the next time: with journal_path, or on Airflow 3.3, a retry can send, as it knows what was sent.",
    "Or set delivery='at_least_once', if a duplicate does no harm.",
)
_CLEAR_TWICE = ("To send it again, clear the task twice: the first clear may send nothing.",)
_AT_LEAST_ONCE = (
    "Nothing, if Airflow retries the task: the retry sends it again (delivery='at_least_once').",
    ARRIVED,
)
_TIME = "YYYY-MM-DD HH:mm:ss [UTC]"
_CHANGED_TARGET = (
    "The task is mapped, and its inputs have changed: start a new run of the DAG.",
    "The new target is right: clear the task with on_clear='resend'. That sends to it.",
)


@dataclass(frozen=True)
class History:
    """The result of the records of earlier tries: what was sent, and what is unknown."""

    sent: Record | None = None
    unknown: Record | None = None

    @classmethod
    def of(cls, records: list[Record]) -> History:
        """Combine records. They must be in order, oldest first."""
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
    :param journal: the journal of this sender.
    :param delivery: what to do if nobody knows whether it was sent.
    :param send_before: the moment after which it is not sent any more.
    :param waits: whether the task waits for the ticket afterwards. If so, it calls :meth:`waiting_ended` at the end.
    :param changed_target: what the user can do if an earlier try sent to another target.
    """

    def __init__(
        self,
        request: Request,
        journal: Journal,
        *,
        delivery: Delivery,
        send_before: pendulum.DateTime | None,
        waits: bool = False,
        changed_target: Sequence[str] = _CHANGED_TARGET,
    ) -> None:
        self.request, self.journal, self.delivery, self.send_before = request, journal, delivery, send_before
        self.waits = waits
        self._changed_target = changed_target
        self.stopped = False
        self._sent: Record | None = None  # while the task waits for its ticket
        self._whom = request.whom
        self._message = hashlib.sha256(request.body or b"").hexdigest()[:16]

    def send(self, get_client: Callable[[], PassNotifyClient]) -> int:
        """Send, unless an earlier try has sent. Return the ticketId of this send, or of the earlier one.

        :param get_client: returns the client. It is called only if something is to be sent.
        :raises PassNotifyError: see :mod:`~airflow_provider_passnotify.exceptions`. If the journal did not accept the
            intent, nothing is sent.
        """
        # Logged first, so that the log names the target, whatever ends this process.
        log.info(
            "Notification to %s: try %d, %s (%s %s).",
            self._whom,
            self.journal.try_number,
            self.delivery.value,
            self.request.method,
            self.request.url_path,
        )
        with journal_errors(
            f"Not sent to {self._whom} by this try: the journal cannot be read.",
            known=self._now(),
            ways=["Nothing, if Airflow retries the task: the retry sends it, if no earlier try did.", THEN_CLEAR],
        ):
            history = History.of(self.journal.read(self.request.address))
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
            whom=self._whom,
            ways=SINGLE,
        )
        with journal_errors(
            f"Not sent to {self._whom}: the journal did not accept that it is about to be sent.",
            known=self._now(),
            ways=[
                "The API server or the folder was away: a retry sends it.",
                MUST_NOT_SEND,
            ],
        ):
            self._write(State.INTENT)
        return self._post(self._client(get_client))

    def ticket_failed(self, reason: str) -> None:
        """Record that the ticket ended as failed, so that a retry may send again.

        :raises JournalError: if the record was not accepted.
        """
        self._sent = None
        self._write(State.TICKET_FAILED, reason=reason)

    def waiting_ended(self) -> None:
        """Record that the task has stopped waiting, for whatever reason.

        After that, a clear no longer counts as a clear of a running task. If the record is not accepted, the next clear
        still counts as one, and nothing is sent then.
        """
        if self._sent is None:
            return
        try:
            self.journal.put(replace(self._sent, waiting=False))
        except JournalError as error:
            log.warning("%s", explain("The end of the waiting is not recorded.", known=[str(error)], ways=_CLEAR_TWICE))

    @property
    def retry_is_unsafe(self) -> bool:
        """Whether a retry must not send, because it could not know what this try did."""
        return self.delivery is Delivery.AT_MOST_ONCE and not self.journal.is_durable

    def _client(self, get_client: Callable[[], PassNotifyClient]) -> PassNotifyClient:
        """Do everything between intent and POST that may go wrong. If it goes wrong, "not sent" is recorded."""
        try:
            self._check_may_send()
            client = get_client()
        except BaseException as error:
            with suppress(JournalError):  # the error already says what it means
                # Look first. If this process must not send, its "not sent" would hide the intent of another process.
                self.journal.tasks.look()
                self._write(State.NOT_SENT, reason=f"{type(error).__name__}: {first_line(error)}"[:500])
            raise
        with journal_errors(
            f"Not sent to {self._whom} by this try, and that is not recorded.",
            known=[*self._now(), "A retry cannot know that. It takes it as unknown, and fails."],
            ways=_CLEAR_TWICE,
        ):
            self.journal.tasks.look()
        return client

    def _post(self, client: PassNotifyClient) -> int:
        started = time.monotonic()
        try:
            verdict = client.call(self.request, before_attempt=self._check_may_send)
        except (AirflowSkipException, NotSentError) as error:
            with suppress(JournalError):  # the error already says what it means
                self._write(State.NOT_SENT, reason=first_line(error))
            raise
        except BaseException as error:
            # A time-out or a signal. Record how far the request has come, and pass the exception on.
            state = State.UNKNOWN if client.in_flight else State.NOT_SENT
            with suppress(JournalError):
                self._write(state, reason=f"interrupted by {type(error).__name__}")
            raise
        if verdict.outcome is not Outcome.ACCEPTED or verdict.ticket_id is None:
            failure = self._error(verdict)
            try:
                self._write(State.UNKNOWN if verdict.may_have_been_sent else State.NOT_SENT, reason=verdict.reason)
            except JournalError as error:
                log.error(
                    "%s",
                    explain(
                        f"The outcome for {self._whom} is not recorded.",
                        known=[str(error), "A retry cannot know it. It takes it as unknown."],
                    ),
                )
                raise failure from error
            raise failure
        milliseconds = round((time.monotonic() - started) * 1000)
        # Logged at once, so that the ticketId is known even if the journal does not accept it.
        log.info("Sent to %s: ticketId %d, %d ms.", self._whom, verdict.ticket_id, milliseconds)
        with journal_errors(
            f"Sent to {self._whom} (ticketId {verdict.ticket_id}), but that is not recorded.",
            known=self._now(),
            ways=[
                "It was sent: mark the task as success.",
                "A retry does not send it again automatically: it cannot know, and fails.",
            ]
            if self.delivery is Delivery.AT_MOST_ONCE
            else ["It was sent: mark the task as success, before a retry sends it again."],
        ):
            sent = self._write(State.SENT, ticket_id=verdict.ticket_id, waiting=self.waits)
        self._sent = sent if self.waits else None
        return verdict.ticket_id

    def _error(self, verdict: Verdict) -> PassNotifyApiError:
        known = self._now()
        if verdict.outcome is Outcome.UNKNOWN and self.delivery is Delivery.AT_LEAST_ONCE:
            return PassNotifyApiError(self.request, verdict, known, _AT_LEAST_ONCE)
        if verdict.outcome is Outcome.UNKNOWN:
            return DeliveryUnknownError(self.request, verdict, known, self._unknown_ways())
        if verdict.outcome is Outcome.NOT_SENT and self.retry_is_unsafe:
            return RejectedError(self.request, verdict, [*known, "This is final: Airflow does not retry."], _NO_MEMORY)
        return error_from(self.request, verdict, known)

    def _now(self) -> list[str]:
        return [f"Try {self.journal.try_number}, {pendulum.now('UTC').format(_TIME)}."]

    def _unknown_ways(self) -> list[str]:
        clear = "clear the task" if not self.journal.resume else "set on_clear='resend', then clear the task"
        return [LOOK, ARRIVED, f"It did not arrive: {clear}. That sends it again."]

    def _settle(self, unknown: Record) -> None:
        """Decide what to do about a try that may have sent. Return to send again, or raise an error."""
        why = unknown.reason or "it ended before it could record what came of it"
        whom = name_address(unknown.address) if unknown.address else "somebody (the record cannot be read)"
        if self.delivery is Delivery.AT_MOST_ONCE:
            if unknown.is_open:  # the user is told now. So after one more clear, the task sends
                with suppress(JournalError):
                    self.journal.put(replace(unknown, state=State.UNKNOWN, reason=why, waiting=False))
            known = [f"Try {unknown.try_number} set out to send to {whom} at {unknown.at}."]
            raise DeliveryUnknownError(self.request, Verdict(Outcome.UNKNOWN, why), known, self._unknown_ways())
        log.warning(
            "Sending again to %s, which may be a duplicate (delivery='at_least_once'). Try %d set out to send to %s at "
            "%s: %s.",
            self._whom,
            unknown.try_number,
            whom,
            unknown.at,
            why,
        )

    def _check_target(self, earlier: Record | None) -> None:
        """Refuse to send if an earlier try has sent, or may have sent, to another target."""
        if earlier is None or not earlier.address or earlier.address == self.request.address:
            return
        did = "sent" if earlier.state is State.SENT else "may have sent"
        whom = name_address(earlier.address)
        ticket = "." if earlier.ticket_id is None else f", ticketId {earlier.ticket_id}."
        raise SendRefusedError(
            explain(
                f"Not sent to {self._whom}: an earlier try {did} to another target.",
                known=[
                    f"Try {earlier.try_number} {did} to {whom} at {earlier.at}{ticket}",
                    "A task instance sends to one target only.",
                ],
                ways=self._changed_target,
                section="Another target",
            )
        )

    def _log_adopted(self, sent: Record) -> None:
        log.info(
            "Sent already to %s, by try %d: ticketId %s. Nothing is sent now.",
            self._whom,
            sent.try_number,
            sent.ticket_id,
        )
        if sent.message != self._message:
            log.warning(
                "The message for %s has changed since then. The first one stands: a task instance sends once, until it "
                "is cleared.",
                self._whom,
            )

    def _check_may_send(self) -> None:
        if self.stopped:
            raise NotSentError(self.request, Verdict(Outcome.NOT_SENT, "the task was told to stop"))
        if self.send_before is not None and self.send_before.is_past():
            until = self.send_before.format(_TIME)
            log.warning("Not sent to %s: send_before has passed (%s). The task is skipped.", self._whom, until)
            raise AirflowSkipException(f"Not sent: send_before={self.send_before.isoformat()} has passed.")

    def _write(self, state: State, **more: Any) -> Record:
        return self.journal.write(state, address=self.request.address, message=self._message, **more)
