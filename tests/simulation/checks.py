"""What must hold in every history."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.exceptions import DeliveryUnknownError, NotSentError, SendRefusedError
from tests.simulation.once import requests_of
from tests.simulation.rows import ROWS_TO

if TYPE_CHECKING:
    from tests.simulation.api import Push
    from tests.simulation.process import Process
    from tests.simulation.world import World


HARMLESS = {
    *("", "start", "end", "accepted", "not sent", "rejected", "no connection", "cleared", "own code fails"),
    "another task of the run is cleared",
}
"""What may happen to a task and leave no doubt of what was sent."""


class Violated(BaseException):  # no Exception: the code under test must not catch it
    """Something that is promised does not hold."""


class Checks:
    """Of one history. A process that a person's order made stands for that order, whenever it sends."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def is_excepted(self) -> bool:
        """Whether this is what is not covered, and the guide says so.

        ``retries`` were edited *and* the run was cleared in a way that was no order (another task; this one, while it
        ran). Together they look like a clear of the task. Where nothing remembers, any clear before will do.

        A local folder on another machine, and a run that was deleted and made anew under its id while a process of the
        deleted run went on: that process takes the start of the new run's try for one of its own run.
        """
        world = self._world
        if world.is_made_anew_beside and "another host" in world.happened:
            return True
        if "retries edited" not in world.happened:
            return False
        airflow = world.settings.airflow
        remembers = airflow.has_store and not (airflow.discards_on_clear or airflow.clear_on_success)
        return world.is_misleading or (world.clear_number > 0 and not remembers and not airflow.has_history)

    def on_push(self, push: Push) -> None:
        """Nobody is told twice of one order."""
        if self._world.settings.delivery != "at_most_once" or self.is_excepted:
            return
        earlier = [
            p
            for p in self._world.pushes
            if p.order == push.order and not p.ticket_failed and not self._is_forgotten(p, push.process)
        ]
        allowed = 1
        if self._world.settings.is_batch or self._world.settings.is_once:
            earlier = [p for p in earlier if p.address == push.address]
        if self._world.settings.is_batch:
            allowed = ROWS_TO[push.address]
        if len(earlier) >= allowed:
            raise Violated(f"twice: {push.process!r} sends to {push.address}, which {earlier[-1].process!r} did before")

    def _is_forgotten(self, push: Push, now: Process) -> bool:
        """Whether the memory of a push is not promised: its task was cleared while it ran, on Airflow 3.4, and more.

        It was discarded; or it is in a folder that the process ``now`` does not have; or Airflow had given the process
        of the push up, which then wrote after the restart. Or the two have no memory in common; then the process that
        was given up may also be the later one to send.
        """
        folders, hosts = self._world.folders_used, self._world.hosts
        before, after = push.process.number, now.number
        have_one = folders[before] and folders[after] and hosts[before] == hosts[after]
        has_none = not folders[before] and not folders[after]
        are_apart = not (self._world.settings.airflow.has_store or have_one)
        if are_apart and now.is_restarted and (has_none or now.is_given_up):
            return now.is_given_up
        has_moved = folders[before] and not have_one
        return push.is_forgotten or (push.process.is_restarted and (has_moved or push.process.is_given_up))

    def on_end(self, process: Process) -> None:
        """See whether what a process says is true."""
        if self._world.settings.is_batch:
            self._check_batch(process)
        elif process.error is None:
            self._check_tickets(process)
        elif isinstance(process.error, NotSentError) and any(
            push.process is process and push.address == process.error.request.address for push in self._world.pushes
        ):
            raise Violated(f"{process!r} says that nothing was sent, but it was: {process.error}")

    def at_the_end(self) -> None:
        """What is certainly not sent, and may be sent, is not refused: nothing else would ever send it."""
        world = self._world
        settings = world.settings
        remembers = settings.folder or settings.airflow.has_store
        is_harmless = world.happened <= HARMLESS and not world.was_cleared_while_running
        if not remembers or not is_harmless or settings.on_clear != "resend":
            return
        last = world.processes[-1]
        if isinstance(last.error, SendRefusedError | DeliveryUnknownError):
            raise Violated(f"refused without need: {last!r}: {last.error}")

    def _check_tickets(self, process: Process) -> None:
        variant = self._world.variants[process.number]
        if not self._world.settings.is_once:
            self._check_ticket(process, process.result, variant)
            return
        for ticket, number in zip(process.result, requests_of(variant), strict=True):
            self._check_ticket(process, ticket, number)

    def _check_ticket(self, process: Process, ticket: int, number: int) -> None:
        """See whether a ticket is that of a target, and did not fail.

        :param number: of the target.
        """
        world = self._world
        found = next((push for push in world.pushes if push.ticket_id == ticket), None)
        if found is None:
            raise Violated(f"lost: {process!r} succeeds with ticket {ticket}, which nobody gave")
        if found.ticket_failed and world.settings.waits:
            raise Violated(f"lost: {process!r} succeeds with ticket {ticket}, which failed")
        if found.address != world.addresses[number]:
            raise Violated(f"{process!r} returns the ticket of another target: {found.address}")

    def _check_batch(self, process: Process) -> None:
        if process.report is None:
            if process.error is None:
                raise Violated(f"lost: {process!r} succeeds without a report")
            return
        counts, report = process.counts, process.report
        told = Counter(line["status"] for line in report)
        if told != +Counter({status: count for status, count in vars(counts).items() if isinstance(count, int)}):
            raise Violated(f"the report does not add up: {told} is not {counts}")
        if process.error is None and told["sent"] + told["duplicate"] != len(report):
            raise Violated(f"lost: {process!r} succeeds with {told}")
        for line in report:
            self._check_line(process, line)
        if self._world.owns(process) and self._world.settings.delivery == "at_most_once" and not self.is_excepted:
            self._check_all_named(process, report)

    def _check_line(self, process: Process, line: dict[str, Any]) -> None:
        """A ticket is one that was given for this target."""
        if line["status"] != "sent":
            return
        push = next((push for push in self._world.pushes if push.ticket_id == line["ticket_id"]), None)
        if push is None or (line["target"] and push.address != _address(line)):
            raise Violated(f"{process!r} reports a ticket that is not this target's: {line}")

    def _check_all_named(self, process: Process, report: list[dict[str, Any]]) -> None:
        """Whoever was told, or may have been, is in the report as such; a row that is gone may stand for it."""
        world = self._world
        order = world.orders[process.number]
        pushes = Counter(
            push.address
            for push in world.pushes
            if push.order == order and not push.ticket_failed and not self._is_forgotten(push, process)
        )
        named = [line for line in report if line["status"] in {"sent", "unknown"}]
        missing = pushes - Counter(_address(line) for line in named if line["target"])
        if missing.total() > sum(not line["target"] for line in named):
            raise Violated(f"not named: {process!r} does not report {dict(missing)}")


def _address(line: dict[str, Any]) -> str:
    return f"/pass/{line['target']['pass_id']}/notify"
