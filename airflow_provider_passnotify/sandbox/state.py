"""Everything that the sandbox stores, in one place, so that it can be reset."""

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

    :param login: the login of the only credential that it accepts.
    :param password: the password of the same credential.
    :param passes: how many more passes there are than those of the starting data.
    :param ticket_seconds: seconds until a ticket ends.
    :param rate_limit: requests a second; ``None`` for no limit.
    :param faults: the faults that are set from the start.
    :param api_key_error: whether a wrong credential is answered with 500 "Error reading the api key" instead of 401.
    :param allowed_hosts: more names that ``Host`` may hold. ``localhost``, the sandbox's own host and IP addresses are
        always allowed.
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
    """The state of the sandbox. Only its own thread changes it.

    :param options: how it starts.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world = World(options.passes)
        #: How often the sandbox was reset. A page that shows it then drops what it showed before.
        self.generation = 0
        self._start()

    def _start(self) -> None:
        self.deliveries = Deliveries()
        self.tickets = Tickets(self.options.ticket_seconds)
        self.requests = RequestLog()
        self.trouble = Trouble(self.options.faults)
        self.rate_limit = RateLimit(self.options.rate_limit)

    def limit_rate(self, per_second: float | None) -> None:
        """Set how many requests a second are served from now on; ``None`` for no limit."""
        self.rate_limit = RateLimit(per_second)

    def reset(self) -> None:
        """Go back to the start. Requests that are held are dropped, so that they do not appear after the reset."""
        self.trouble.drop()
        self.generation += 1
        self._start()
