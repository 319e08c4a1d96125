"""The errors that Airflow's users meet.

::

    PassNotifyError                      the root: catch this to catch them all
    ├── PassNotifyConfigError            the connection is wrong             Airflow does not retry
    ├── InvalidNotificationError         target, value or id is wrong        Airflow does not retry; also a ValueError
    ├── JournalError                     no record could be read or written  Airflow may retry
    │   └── SupersededError              another process runs the task now   Airflow does not retry
    ├── SendRefusedError                 a try that must not send            Airflow does not retry
    ├── PassNotifyApiError               the API said no, or nothing         Airflow may retry
    │   ├── NotSentError                 surely not done                     Airflow may retry
    │   │   └── RejectedError            ... and trying again cannot help    Airflow does not retry
    │   └── DeliveryUnknownError         a push may have gone out            Airflow does not retry
    ├── BatchIncompleteError             rows of a batch were not sent       Airflow may retry
    │   └── BatchFailedError             ... and trying again cannot help    Airflow does not retry
    └── TicketError                      accepted, and then:
        ├── TicketFailedError            the ticket ended as failed          Airflow may retry
        │   └── FinalTicketFailedError   ... and a retry would not help      Airflow does not retry
        └── TicketTimeoutError           the ticket did not end in time      Airflow may retry
            └── FinalTicketTimeoutError  ... and that is final               Airflow does not retry

An error that Airflow does not retry is an :class:`AirflowFailException` (or, for a time-out, an
:class:`AirflowSensorTimeout`, which ``soft_fail`` knows). So it is not retried in a plain ``@task`` either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.api.tickets import Ticket

__all__ = [
    "BatchFailedError",
    "BatchIncompleteError",
    "DeliveryUnknownError",
    "FinalTicketFailedError",
    "FinalTicketTimeoutError",
    "InvalidNotificationError",
    "JournalError",
    "NotSentError",
    "PassNotifyApiError",
    "PassNotifyConfigError",
    "PassNotifyError",
    "RejectedError",
    "SendRefusedError",
    "SupersededError",
    "TicketError",
    "TicketFailedError",
    "TicketTimeoutError",
]


class PassNotifyError(AirflowException):
    """The root of all errors of this provider."""


class PassNotifyConfigError(PassNotifyError, AirflowFailException):
    """The connection cannot be used as it is."""


class InvalidNotificationError(PassNotifyError, AirflowFailException, ValueError):
    """The target, an id or the message is not valid; nothing was sent."""


class JournalError(PassNotifyError):
    """The record of what was sent could not be read or written; the message says what was sent."""


class SupersededError(JournalError, AirflowFailException):
    """This process must not send any more: a later try, or another process, runs the task now."""


class SendRefusedError(PassNotifyError, AirflowFailException):
    """This try must not send: nobody knows what earlier tries sent, or the task has already notified somebody else."""


class PassNotifyApiError(PassNotifyError):
    """A call of the API did not succeed.

    :param request: the request.
    :param verdict: what became of it.
    :param advice: what to do, where the text of the class does not say it.

    The attributes ``status_code``, ``code``, ``description`` and ``details`` are the answer's, ``None`` where there was
    none; ``retry_after`` is in seconds; ``may_have_been_sent`` says whether the call may have been carried out.
    """

    advice = "The call is safe to repeat."

    def __init__(self, request: Request, verdict: Verdict, advice: str | None = None) -> None:
        self.request, self.verdict = request, verdict
        self.advice = advice or self.advice
        self.method, self.path = request.method, request.url_path
        self.status_code: int | None = verdict.status_code  # type: ignore[assignment]  # Airflow's own holds a 500
        self.code, self.description, self.details = verdict.code, verdict.description, verdict.details
        self.retry_after = verdict.retry_after
        self.may_have_been_sent = verdict.may_have_been_sent
        super().__init__(f"{self.method} {self.path}: {verdict.reason}. {self.advice}")

    def __reduce__(self) -> tuple[type[PassNotifyApiError], tuple[Request, Verdict, str]]:
        return type(self), (self.request, self.verdict, self.advice)


class NotSentError(PassNotifyApiError):
    """Surely not done; trying again later may help (not connected, 429, a 503 that says when to come back)."""

    advice = "Nothing was done; it is safe to try again."


class RejectedError(NotSentError, AirflowFailException):
    """Surely not done, and trying again cannot help (400, 401, 403, 404, 406 and the like)."""

    advice = "Nothing was done, and a retry cannot help."


class DeliveryUnknownError(PassNotifyApiError, AirflowFailException):
    """The notification may have been sent, or not: nobody can tell, so it is not sent again automatically."""

    advice = "The notification may have been sent. It is not sent again automatically."


class BatchIncompleteError(PassNotifyError):
    """More rows than ``max_failures`` failed or are unknown; a retry sends the rows that were surely not sent.

    :param message: how many, and the first of them.
    :param summary: what the task pushed as its XCom.
    :param retry_after: seconds that the API asked to wait; ``None`` where it did not.
    """

    def __init__(self, message: str, summary: dict[str, Any], retry_after: float | None = None) -> None:
        self.summary, self.retry_after = summary, retry_after
        super().__init__(message)

    def __reduce__(self) -> tuple[type[BatchIncompleteError], tuple[str, dict[str, Any], float | None]]:
        return type(self), (str(self), self.summary, self.retry_after)


class BatchFailedError(BatchIncompleteError, AirflowFailException):
    """The same, but a retry cannot help, or must not send."""


class TicketError(PassNotifyError):
    """A send or delete was accepted, and its ticket did not succeed, or the task was told to stop while it waited.

    :param message: what happened.
    :param tickets: the last state of each ticket concerned.
    """

    def __init__(self, message: str, tickets: Iterable[Ticket] = ()) -> None:
        self.tickets = tuple(tickets)
        super().__init__(message)

    def __reduce__(self) -> tuple[type[TicketError], tuple[str, tuple[Ticket, ...]]]:
        return type(self), (str(self), self.tickets)


class TicketFailedError(TicketError):
    """A ticket ended as failed; ``tickets`` holds those that failed, with their children."""


class FinalTicketFailedError(TicketFailedError, AirflowFailException):
    """A ticket ended as failed, and a retry must neither ask nor send again."""


class TicketTimeoutError(TicketError):
    """A ticket did not end in time; ``tickets`` holds those that are left, with their last status."""


class FinalTicketTimeoutError(TicketTimeoutError, AirflowSensorTimeout):
    """A ticket did not end in time, and that is final."""


def error_from(request: Request, verdict: Verdict) -> PassNotifyApiError:
    """Return the error that tells what a verdict other than "accepted" means."""
    if verdict.outcome is Outcome.NOT_SENT:
        return NotSentError(request, verdict)
    if verdict.outcome is Outcome.REJECTED:
        return RejectedError(request, verdict)
    return PassNotifyApiError(request, verdict) if request.idempotent else DeliveryUnknownError(request, verdict)
