"""The errors that Airflow's users meet.

::

    PassNotifyError                      the root: catch this to catch all of them
    ├── PassNotifyConfigError            the connection is wrong             Airflow does not retry
    ├── InvalidNotificationError         target, value or id is wrong        Airflow does not retry; also a ValueError
    ├── JournalError                     a record cannot be read or written  Airflow may retry
    │   └── SupersededError              a later try runs the task now       Airflow may retry
    │       └── StartedTwiceError        another process runs this try, too  Airflow does not retry
    ├── SendRefusedError                 this try must not send              Airflow does not retry
    ├── PassNotifyApiError               a call of the API did not succeed   Airflow may retry
    │   ├── NotSentError                 certainly not done                  Airflow may retry
    │   │   └── RejectedError            ... and trying again cannot help    Airflow does not retry
    │   └── DeliveryUnknownError         a push may have been sent           Airflow does not retry
    ├── BatchIncompleteError             batch rows failed or are unknown    Airflow may retry
    │   └── BatchFailedError             ... and trying again cannot help    Airflow does not retry
    └── TicketError                      it was accepted, but then:
        ├── TicketFailedError            the ticket ended as failed          Airflow may retry
        │   └── FinalTicketFailedError   ... and a retry would not help      Airflow does not retry
        └── TicketTimeoutError           the ticket did not end in time      Airflow may retry
            └── FinalTicketTimeoutError  ... and this is final               Airflow does not retry

An error that Airflow does not retry is an :class:`AirflowFailException`. (For a time-out, it is an
:class:`AirflowSensorTimeout`, which ``soft_fail`` understands.) So it is not retried in a plain ``@task`` either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    "StartedTwiceError",
    "SupersededError",
    "TicketError",
    "TicketFailedError",
    "TicketTimeoutError",
]


LOOK = "Look whether it arrived. (It is not sent again automatically.)"
ARRIVED = "It arrived: mark the task as success."


def explain(headline: str, *, known: Iterable[str] = (), ways: Iterable[str] = (), section: str = "") -> str:
    """Return the text of an error or a warning: a short first line, then one line for each fact and each thing to do.

    Airflow's log cuts off lines at the right edge. So no line may be long.

    :param headline: what happened, and to which target.
    :param known: the facts. Empty ones are left out.
    :param ways: what the user can do.
    :param section: the section of the page "At night" in the guide.
    """
    lines = [headline]
    for title, parts in (("What is known:", known), ("What you can do:", ways)):
        given = [part.replace("\n", "\n  ") for part in parts if part]
        lines += [title, *(f"- {part}" for part in given)] if given else []
    return "\n".join([*lines, *([f'Where to read: the guide, "At night", "{section}".'] if section else [])])


def first_line(error: BaseException) -> str:
    """Return the headline of an error, for records and for lists of errors."""
    return str(error).partition("\n")[0]


class PassNotifyError(AirflowException):
    """The root of all errors of this provider."""


class PassNotifyConfigError(PassNotifyError, AirflowFailException):
    """The connection cannot be used as it is."""


class InvalidNotificationError(PassNotifyError, AirflowFailException, ValueError):
    """The target, an id or the message is not valid. Nothing was sent."""


class JournalError(PassNotifyError):
    """The record of what was sent could not be read or written. The message says what was sent.

    :param ways: what the user can do, if it is not what is usual.
    """

    def __init__(self, message: str = "", ways: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.ways = tuple(ways)


class SupersededError(JournalError):
    """This process must not send any more: a later try runs the task now.

    It is no final failure. Airflow 2.11 would otherwise mark the task as failed, even if the later try was a success.
    """


class StartedTwiceError(SupersededError, AirflowFailException):
    """This process must not send any more: another process runs the same try, or the start of this one is gone."""


class SendRefusedError(PassNotifyError, AirflowFailException):
    """This try must not send: nobody knows what earlier tries sent, or the task has already notified another target."""


class PassNotifyApiError(PassNotifyError):
    """A call of the API did not succeed.

    :param request: the request.
    :param verdict: the outcome of the request.
    :param known: more facts for the message, such as the number of the try.
    :param ways: what the user can do. The default is for a call without a journal.

    The attributes ``status_code``, ``code``, ``description`` and ``details`` come from the answer, and are ``None`` if
    there was no answer. ``retry_after`` is in seconds. ``may_have_been_sent`` says whether the call may have been done.
    """

    ways: tuple[str, ...] = ("Do it again: that is safe. (Airflow's own retries do, or clear the task.)",)

    def __init__(
        self, request: Request, verdict: Verdict, known: Iterable[str] = (), ways: Iterable[str] | None = None
    ) -> None:
        self.request, self.verdict = request, verdict
        self.known = tuple(known)
        self.ways = self._default_ways(verdict) if ways is None else tuple(ways)
        self.method, self.path = request.method, request.url_path
        self.status_code: int | None = verdict.status_code  # type: ignore[assignment]  # Airflow's own holds a 500
        self.code, self.description, self.details = verdict.code, verdict.description, verdict.details
        self.retry_after = verdict.retry_after
        self.may_have_been_sent = verdict.may_have_been_sent
        super().__init__(explain(self._headline(), known=self.facts, ways=self.ways, section=self._section()))

    def __reduce__(self) -> tuple[type[PassNotifyApiError], tuple[Request, Verdict, tuple[str, ...], tuple[str, ...]]]:
        return type(self), (self.request, self.verdict, self.known, self.ways)

    @property
    def facts(self) -> list[str]:
        """What is known, one line for each fact."""
        verdict = self.verdict
        if verdict.status_code is not None or verdict.failure is not None:
            answer = f"{self.method} {self.path}: {verdict.reason}"
        else:  # the verdict is not about a request. If the call was certainly not done, the first line says why
            answer = f"{verdict.reason[:1].upper()}{verdict.reason[1:]}." if self.may_have_been_sent else ""
        wait = "" if self.retry_after is None else f"The API asks to wait {self.retry_after:.0f} s (Retry-After)."
        return [*self.known, answer, wait]

    def _default_ways(self, verdict: Verdict) -> tuple[str, ...]:
        return (_MEND_CREDENTIALS,) if verdict.credentials_refused else self.ways

    def _section(self) -> str:
        if self.method == "GET":  # what was sent before stays sent: "Not sent" and the like would be wrong
            return "Tickets"
        if self.verdict.credentials_refused:
            return "Credentials refused"
        if self.verdict.outcome is Outcome.REJECTED:
            return "Rejected"
        return "Unknown" if self.may_have_been_sent and self.method == "POST" else "Not sent"

    def _headline(self) -> str:
        done = {"POST": "sent to", "DELETE": "deleted from"}.get(self.method, "looked up:")
        if self.verdict.outcome is not Outcome.UNKNOWN:
            return f"Not {done} {self.request.whom}: {_cause(self.verdict)}."
        if self.method == "GET":
            return f"No usable answer about {self.request.whom}."
        return f"Unknown: it may have been {done} {self.request.whom}."


class NotSentError(PassNotifyApiError):
    """The call was certainly not done. Trying again later may help (no connection, 429, a 503 of the API itself)."""

    ways: tuple[str, ...] = (
        "Nothing, if Airflow retries the task: a retry is safe.",
        "Else mend the cause, then clear the task.",
    )


class RejectedError(NotSentError, AirflowFailException):
    """The call was certainly not done, and trying again cannot help (400, 401, 403, 404, 406 and similar)."""

    ways = ("Mend the cause, then clear the task. A retry alone cannot help.",)


class DeliveryUnknownError(PassNotifyApiError, AirflowFailException):
    """The notification may have been sent, or not. Nobody knows, so it is not sent again automatically."""

    ways = (
        LOOK,
        ARRIVED,
        "It did not arrive: clear the task, which sends it again.",
    )


class BatchIncompleteError(PassNotifyError):
    """More rows than ``max_failures`` failed or are unknown. A retry sends the rows that were certainly not sent.

    :param message: how many rows, and the first of them.
    :param summary: the summary that the task pushed as its XCom.
    :param retry_after: the seconds that the API asked to wait. ``None`` if it did not ask.
    """

    def __init__(self, message: str, summary: dict[str, Any], retry_after: float | None = None) -> None:
        self.summary, self.retry_after = summary, retry_after
        super().__init__(message)

    def __reduce__(self) -> tuple[type[BatchIncompleteError], tuple[str, dict[str, Any], float | None]]:
        return type(self), (str(self), self.summary, self.retry_after)


class BatchFailedError(BatchIncompleteError, AirflowFailException):
    """Like ``BatchIncompleteError``, but a retry cannot help, or must not send."""


class TicketError(PassNotifyError):
    """A send or delete was accepted, but its ticket did not succeed, or the task was told to stop while it waited.

    :param message: what happened.
    :param tickets: the last state of each of these tickets.
    """

    def __init__(self, message: str, tickets: Iterable[Ticket] = ()) -> None:
        self.tickets = tuple(tickets)
        super().__init__(message)

    def __reduce__(self) -> tuple[type[TicketError], tuple[str, tuple[Ticket, ...]]]:
        return type(self), (str(self), self.tickets)


class TicketFailedError(TicketError):
    """A ticket ended as failed. ``tickets`` has those that failed, with their children."""


class FinalTicketFailedError(TicketFailedError, AirflowFailException):
    """A ticket ended as failed, and a retry must neither poll it nor send again."""


class TicketTimeoutError(TicketError):
    """A ticket did not end in time. ``tickets`` has those that have not ended, with their last status."""


class FinalTicketTimeoutError(TicketTimeoutError, AirflowSensorTimeout):
    """A ticket did not end in time, and this is final."""


@contextmanager
def journal_errors(headline: str, *, known: Iterable[str] = (), ways: Iterable[str] = ()) -> Iterator[None]:
    """Explain what a :class:`JournalError` means for the notification. (A :class:`SupersededError` explains itself.)

    :param headline: what was sent, or not sent, and to which target.
    :param known: more facts.
    :param ways: what the user can do.
    """
    try:
        yield
    except SupersededError:
        raise
    except JournalError as error:
        raise JournalError(
            explain(headline, known=[*known, str(error)], ways=error.ways or ways, section="Journal")
        ) from error


_MEND_CREDENTIALS = "Correct login and password of the Airflow connection (Test tries them), then clear the task."


def _cause(verdict: Verdict) -> str:
    """Return, in a few words, why something was certainly not done."""
    if verdict.failure is not None:
        return verdict.failure.value
    if verdict.credentials_refused:
        return f"credentials refused (HTTP {verdict.status_code})"
    if verdict.status_code is None:
        return verdict.reason
    return f"{'throttled' if verdict.is_throttled else 'rejected'} (HTTP {verdict.status_code})"


def error_from(request: Request, verdict: Verdict, known: Iterable[str] = ()) -> PassNotifyApiError:
    """Return the error for a verdict. The verdict must not be "accepted".

    :param known: more facts for the message.
    """
    if verdict.outcome is Outcome.NOT_SENT:
        return NotSentError(request, verdict, known)
    if verdict.outcome is Outcome.REJECTED:
        return RejectedError(request, verdict, known)
    return (PassNotifyApiError if request.idempotent else DeliveryUnknownError)(request, verdict, known)
