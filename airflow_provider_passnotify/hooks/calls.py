"""The calls that both hooks make: what is asked, and what the verdict means to the caller. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.api.tickets import StatusWords, Ticket, clean_ticket_id, read_ticket
from airflow_provider_passnotify.arguments import checked
from airflow_provider_passnotify.exceptions import PassNotifyApiError, error_from
from airflow_provider_passnotify.targets import Target, as_target

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how to read what came of it."""

    request: Request
    read: Callable[[Verdict], T]


def send_call(target: Target | Mapping[str, object], *, value: str, label: str | None) -> Call[int]:
    """Return the call that sends a notification and results in its ticketId."""
    request = checked(lambda: protocol.send_request(as_target(target), value=value, label=label))
    return Call(request, lambda verdict: _ticket_id(request, verdict))


def delete_call(target: Target | Mapping[str, object]) -> Call[int]:
    """Return the call that takes a notification away and results in its ticketId."""
    request = checked(lambda: protocol.delete_request(as_target(target)))
    return Call(request, lambda verdict: _ticket_id(request, verdict))


def ticket_call(ticket_id: int | str, words: StatusWords | None = None) -> Call[Ticket]:
    """Return the call that looks a ticket up."""
    number = checked(lambda: clean_ticket_id(ticket_id))
    request = protocol.ticket_request(number)

    def read(verdict: Verdict) -> Ticket:
        payload = _accepted(request, verdict).payload
        try:
            return read_ticket(number, payload, words)
        except ValueError as error:
            raise PassNotifyApiError(request, replace(verdict, outcome=Outcome.UNKNOWN, reason=str(error))) from None

    return Call(request, read)


def _accepted(request: Request, verdict: Verdict) -> Verdict:
    if verdict.outcome is not Outcome.ACCEPTED:
        raise error_from(request, verdict)
    return verdict


def _ticket_id(request: Request, verdict: Verdict) -> int:
    ticket_id = _accepted(request, verdict).ticket_id
    assert ticket_id is not None  # noqa: S101 (the protocol accepts no send or delete without one)
    return ticket_id
