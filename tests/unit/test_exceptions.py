"""The error tree: what Airflow retries, what an error carries, and that it survives a process boundary."""

from __future__ import annotations

import copy
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_passnotify import exceptions
from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.api.tickets import Ticket, TicketState
from airflow_provider_passnotify.exceptions import (
    DeliveryUnknownError,
    InvalidNotificationError,
    JournalError,
    NotSentError,
    PassNotifyApiError,
    PassNotifyConfigError,
    PassNotifyError,
    RejectedError,
    SendRefusedError,
    TicketFailedError,
    TicketTimeoutError,
    error_from,
)
from tests.clients import DELETE, SEND

VERDICT = Verdict(
    Outcome.NOT_SENT, "HTTP 429: slow down", None, None, 429, 42, "Slow down.", "ten per second", retry_after=7.0
)
TICKETS = (Ticket(1, "FAILED", TicketState.FAILED, None, {"a": 1}),)
FINAL = {
    PassNotifyConfigError,
    InvalidNotificationError,
    SendRefusedError,
    RejectedError,
    DeliveryUnknownError,
}
ERRORS = [
    *(kind("text") for kind in (PassNotifyError, PassNotifyConfigError, InvalidNotificationError)),
    *(kind("text") for kind in (JournalError, SendRefusedError)),
    *(kind(SEND, VERDICT) for kind in (PassNotifyApiError, NotSentError, RejectedError, DeliveryUnknownError)),
    NotSentError(SEND, VERDICT, ["A fact."], ["Another way."]),
    TicketFailedError("failed", TICKETS),
    TicketTimeoutError("late", TICKETS),
]


def test_which_errors_airflow_does_not_retry() -> None:
    kinds = {
        value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, BaseException)
    }
    ours = {kind for kind in kinds if kind.__module__ == exceptions.__name__}
    assert all(issubclass(kind, PassNotifyError) for kind in ours)
    assert issubclass(PassNotifyError, AirflowException)
    assert {kind for kind in ours if issubclass(kind, AirflowFailException)} >= FINAL
    assert not any(
        issubclass(kind, AirflowFailException)
        for kind in (JournalError, PassNotifyApiError, NotSentError, TicketFailedError, TicketTimeoutError)
    )
    assert issubclass(InvalidNotificationError, ValueError)
    assert issubclass(RejectedError, NotSentError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives(error, again) -> None:
    twin = again(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_what_an_api_error_carries() -> None:
    error = RejectedError(SEND, VERDICT)
    assert (error.method, error.path) == ("POST", "/v1/pass/123/notify")
    assert (error.status_code, error.code) == (429, 42)
    assert (error.description, error.details) == ("Slow down.", "ten per second")
    assert (error.retry_after, error.may_have_been_sent) == (7.0, False)
    assert str(error).splitlines() == [
        "Not sent to pass 123: throttled (HTTP 429).",
        "What is known:",
        "- POST /v1/pass/123/notify: HTTP 429: slow down",
        "- The API asks to wait 7 s (Retry-After).",
        "What you can do:",
        "- Mend the cause, then clear the task. A retry alone cannot help.",
        'Where to read: the guide, "At night", "Not sent".',
    ]


def test_without_an_answer_there_is_no_status() -> None:
    assert NotSentError(SEND, Verdict(Outcome.NOT_SENT, "not connected")).status_code is None


@pytest.mark.parametrize(
    ("request_", "outcome", "kind", "may_be_out"),
    [
        (SEND, Outcome.NOT_SENT, NotSentError, False),
        (SEND, Outcome.REJECTED, RejectedError, False),
        (SEND, Outcome.UNKNOWN, DeliveryUnknownError, True),
        (DELETE, Outcome.NOT_SENT, NotSentError, False),
        (DELETE, Outcome.REJECTED, RejectedError, False),
        (DELETE, Outcome.UNKNOWN, PassNotifyApiError, True),
    ],
)
def test_error_from_a_verdict(request_, outcome: Outcome, kind: type, may_be_out: bool) -> None:
    error = error_from(request_, Verdict(outcome, "because"))
    assert type(error) is kind
    assert error.may_have_been_sent is may_be_out
    assert "because" in str(error).lower()
