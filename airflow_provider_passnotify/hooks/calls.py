"""The calls that both hooks make: how to build the request, and how to read its verdict. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Outcome, Request, TransportFailure, Verdict
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket, clean_ticket_id, read_ticket
from airflow_provider_passnotify.arguments import checked
from airflow_provider_passnotify.exceptions import PassNotifyApiError, error_from
from airflow_provider_passnotify.targets import Target, as_target

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how to read its verdict."""

    request: Request
    read: Callable[[Verdict], T]


def send_call(target: Target | Mapping[str, object], *, value: str, label: str | None) -> Call[int]:
    """Return the call that sends a notification. Its result is the ticketId."""
    request = checked(lambda: protocol.send_request(as_target(target), value=value, label=label))
    return Call(request, lambda verdict: _ticket_id(request, verdict))


def delete_call(target: Target | Mapping[str, object]) -> Call[int]:
    """Return the call that deletes a notification. Its result is the ticketId."""
    request = checked(lambda: protocol.delete_request(as_target(target)))
    return Call(request, lambda verdict: _ticket_id(request, verdict))


def ticket_call(ticket_id: int | str, words: StatusWords | None = None) -> Call[Ticket]:
    """Return the call that looks up a ticket."""
    number = checked(lambda: clean_ticket_id(ticket_id))
    request = protocol.ticket_request(number)

    def read(verdict: Verdict) -> Ticket:
        payload = _accepted(request, verdict).payload
        try:
            return read_ticket(number, payload, words)
        except ValueError as error:
            raise PassNotifyApiError(request, replace(verdict, outcome=Outcome.UNKNOWN, reason=str(error))) from None

    return Call(request, read)


def test_connection(call: Callable[[Request], Verdict]) -> tuple[bool, str]:
    """Return whether the API can be reached and accepts the credential, and a text that says so or why not.

    It looks up ticket 0. There is no such ticket, so the API answers 404 if the credential is right.

    :param call: makes a request and returns its verdict.
    """
    verdict = call(protocol.ticket_request(0))
    if verdict.failure is TransportFailure.LOST:
        return False, f"Unreachable: {verdict.reason}"
    if verdict.failure is not None:  # "unreachable: ..." or "TLS problem: ..."
        return False, verdict.reason[0].upper() + verdict.reason[1:]
    if verdict.credentials_refused or verdict.status_code == 403:
        return False, f"Reached, credentials refused: {verdict.reason}"
    if verdict.status_code == 429 or (verdict.status_code or 0) >= 500:
        whose = "" if verdict.code is not None else ", or this is not PassNotify's host"
        return False, f"Reached, but the API is busy or failing at the moment{whose}: {verdict.reason}"
    answered = verdict.outcome is Outcome.ACCEPTED or verdict.status_code == 404
    is_passnotify = verdict.code is not None or _is_ticket(verdict.payload)
    if answered and (is_passnotify or _says_hello(call(protocol.STATUS_REQUEST))):
        return True, "Works: the API was reached and takes the credential."
    return False, f"Reached, but it does not answer as PassNotify does (check the host): {verdict.reason}"


def _accepted(request: Request, verdict: Verdict) -> Verdict:
    if verdict.outcome is not Outcome.ACCEPTED:
        raise error_from(request, verdict)
    return verdict


def _ticket_id(request: Request, verdict: Verdict) -> int:
    ticket_id = _accepted(request, verdict).ticket_id
    assert ticket_id is not None  # noqa: S101 (the protocol accepts no send or delete without one)
    return ticket_id


def _is_ticket(payload: object) -> bool:
    try:
        return bool(read_ticket(0, payload))
    except ValueError:
        return False


def _says_hello(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.ACCEPTED and isinstance(verdict.payload, dict) and "Hello" in verdict.payload
