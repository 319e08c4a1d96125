"""Everything that the sandbox knows, in one place that can be put back to the start."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_passnotify.sandbox.deliveries import Deliveries
from airflow_provider_passnotify.sandbox.faults import AnyFault
from airflow_provider_passnotify.sandbox.request_log import RequestLog
from airflow_provider_passnotify.sandbox.tickets import Tickets
from airflow_provider_passnotify.sandbox.trouble import RateLimit, Trouble
from airflow_provider_passnotify.sandbox.world import World


@dataclass(frozen=True)
class Options:
    """How a sandbox starts.

    :param login: of the one credential that it accepts.
    :param password: of the same.
    :param passes: beyond the starting data.
    :param ticket_seconds: until a ticket ends.
    :param rate_limit: requests a second; ``None`` for no limit.
    :param faults: that are set from the start.
    :param api_key_error: whether a refused credential is answered by 500 "Error reading the api key" instead of 401.
    :param allowed_hosts: names that ``Host`` may hold beside ``localhost``, the sandbox's host and every address.
    :param keep_alive: seconds after which an idle connection is closed.
    """

    login: str = "sandbox"
    password: str = "sandbox"  # noqa: S105  # not a secret: it is printed at the start
    passes: int = 0
    ticket_seconds: float = 2
    rate_limit: float | None = None
    faults: tuple[AnyFault, ...] = ()
    api_key_error: bool = False
    allowed_hosts: tuple[str, ...] = ()
    keep_alive: int = 5


class SandboxState:
    """What the sandbox knows; only its own thread changes it.

    :param options: how it starts.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world = World(options.passes)
        #: How often everything began anew; whoever shows it forgets the old then.
        self.generation = 0
        self._start()

    def _start(self) -> None:
        self.deliveries = Deliveries()
        self.tickets = Tickets(self.options.ticket_seconds)
        self.requests = RequestLog()
        self.trouble = Trouble(self.options.faults)
        self.rate_limit = RateLimit(self.options.rate_limit)

    def limit_rate(self, per_second: float | None) -> None:
        """Serve so many requests a second from now on; ``None`` for no limit."""
        self.rate_limit = RateLimit(per_second)

    def reset(self) -> None:
        """Go back to the start; requests that are held are dropped, so that they cannot turn up after it."""
        self.trouble.drop()
        self.generation += 1
        self._start()
