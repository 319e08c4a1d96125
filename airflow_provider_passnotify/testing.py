"""For your own tests: a PassNotify service on this machine, and a pytest fixture that points Airflow at it.

In ``conftest.py``::

    pytest_plugins = ["airflow_provider_passnotify.testing"]

In a test::

    def test_gate_change(passnotify_sandbox):
        passnotify_sandbox.add_pass(9001, template_id=77, external_id="seat-1A")
        assert dag.test().state == "success"
        assert [push.value for push in passnotify_sandbox.deliveries(9001)] == ["Your gate is B7"]

It needs the extra ``sandbox`` of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_passnotify.sandbox.server import RunningSandbox

__all__ = ["Delivery", "Sandbox", "running_sandbox"]


@dataclass(frozen=True)
class Delivery:
    """One notification that one pass received.

    :param pass_id: the pass.
    :param value: the text.
    :param label: its header, ``None`` where none was sent.
    :param ticket_id: the ticketId that the sender received.
    :param at: when, in UTC.
    """

    pass_id: int
    value: str
    label: str | None
    ticket_id: int
    at: datetime


class Sandbox:
    """A PassNotify service for a test; :func:`running_sandbox` starts and stops it.

    :param running: the service.
    """

    def __init__(self, running: RunningSandbox) -> None:
        self._running = running

    @property
    def url(self) -> str:
        """The URL of the service, such as ``http://127.0.0.1:45678``. Its web page is there too."""
        return self._running.url

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as JSON: the value for an environment variable ``AIRFLOW_CONN_...``."""
        return self._running.connection

    def add_pass(
        self,
        pass_id: int | str,
        *,
        template_id: int | str | None = None,
        external_id: int | str | None = None,
        template_external_id: int | str | None = None,
        tags: Iterable[int | str] = (),
        segments: Iterable[tuple[int | str, int | str]] = (),
    ) -> None:
        """Create a pass. If there is one with the same id already, these names are added to it.

        :param pass_id: a whole number from 1, as in the API.
        :param template_id: the template that the pass is made from. The other names need it.
        :param external_id: your own id for the pass, unique in its template.
        :param template_external_id: your own id for the template.
        :param tags: the tags that the pass carries.
        :param segments: the segments that the pass is in, each one as ``(project_id, segment_id)``.
        :raises ValueError: it names what is wrong.
        """
        self._running.add_pass(
            pass_id=pass_id,
            template_id=template_id,
            external_id=external_id,
            template_external_id=template_external_id,
            tags=tuple(tags),
            segments=tuple(segments),
        )

    def deliveries(self, pass_id: int | str | None = None) -> list[Delivery]:
        """Return the notifications that were delivered, in the order of their tickets.

        :param pass_id: only those of this pass; ``None`` for all passes.
        """
        only = None if pass_id is None else int(pass_id)
        passes: dict[str, Any] = self._running.call(lambda state: state.deliveries.as_json(only))["passes"]
        found = [
            Delivery(int(number), push["value"], push["label"], push["ticketId"], datetime.fromisoformat(push["at"]))
            for number, entry in passes.items()
            for push in entry["received"]
        ]
        return sorted(found, key=lambda delivery: (delivery.ticket_id, delivery.pass_id))

    def shows(self, pass_id: int | str) -> str | None:
        """Return the message on the back of a pass. ``None`` if there was none, or if it was deleted."""
        number = int(pass_id)
        passes: dict[str, Any] = self._running.call(lambda state: state.deliveries.as_json(number))["passes"]
        shown = passes.get(str(number), {}).get("shows")
        return None if shown is None else str(shown["value"])

    def requests(self) -> list[tuple[str, str, int | None]]:
        """Return the last 100 requests to the API: method, path and status (``None`` if it was not answered)."""
        log = self._running.requests()["last"]
        return [(request["method"], request["path"], request["status"]) for request in log]

    def fail(self, how: int | str, *, times: int | None = 1, **fields: Any) -> None:
        """Let the next request fail.

        :param how: a status, such as ``404`` or ``503``: the API's own error, and nothing is delivered. Or an action of
            the sandbox, such as ``"close_after"``: it delivers, and then cuts the connection without an answer.
        :param times: how many requests fail; ``None`` for all of them. (The hook itself tries a 429 and a 503 again.)
        :param fields: fields of the fault: ``method="POST"``, ``path="/pass/124/"`` (a regular expression),
            ``retry_after=2`` and the like. See "The sandbox" in the guide.
        :raises ValueError: it names the field that is wrong.
        """
        if isinstance(how, int):
            how, fields = "status", {"status": how, **fields}
        if "nth" not in fields:
            fields["times"] = times
        self._running.add_fault(how, **fields)

    def clear_faults(self) -> None:
        """Let no more requests fail."""
        self._running.clear_faults()

    def set_tickets(self, ticket_id: int | None = None, **fields: Any) -> None:
        """Set how tickets continue and end.

        :param ticket_id: an existing ticket; ``None`` for all future tickets.
        :param fields: ``final="FAILED"``, ``seconds=2``, ``hang=True`` and the like. See "The sandbox" in the guide.
        """
        self._running.set_tickets(ticket_id, **fields)

    def reset(self) -> None:
        """Forget all deliveries, requests, tickets and faults. Passes that were added stay."""
        self._running.reset()


@contextmanager
def running_sandbox(*, passes: int = 0, ticket_seconds: float = 0, **options: Any) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of this process, on a free port, and stop it at the end.

    :param passes: how many more passes to create: ids from 1000001, in template 20000, with external ids from
        ``customer-1``.
    :param ticket_seconds: seconds until a ticket ends. By default it has already ended at the first look-up.
    :param options: see :class:`airflow_provider_passnotify.sandbox.state.Options`.
    :raises ImportError: if the extra ``sandbox`` is not installed.
    """
    try:
        from airflow_provider_passnotify.sandbox.server import running_sandbox as run
    except ImportError as problem:
        raise ImportError(f"{problem}. Install the extra 'sandbox': airflow-provider-passnotify[sandbox]") from None
    with run(passes=passes, ticket_seconds=ticket_seconds, **options) as running:
        yield Sandbox(running)


try:
    import pytest
except ImportError:
    pass  # running_sandbox() serves other test frameworks
else:

    @pytest.fixture
    def passnotify_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
        """A new :class:`Sandbox` for each test. The connection ``passnotify_default`` points to it."""
        with running_sandbox() as sandbox:
            monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
            yield sandbox
