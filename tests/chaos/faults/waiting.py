"""What goes wrong while a task waits for its ticket, in the worker or in the triggerer. It was sent once already."""

from __future__ import annotations

import signal

from tests.chaos import lines
from tests.chaos.faults.registry import fault
from tests.chaos.gate import Exchange, Point, Trap, Way
from tests.chaos.rounds import FOLDER, STORE, Round
from tests.chaos.watch import gone, send

# What a try writes: if it sends and waits; if it waits for an earlier try's ticket; if it dies while it waits.
WAITED, WAITED_ON = ("intent", "sent, waiting", "sent"), ("sent, waiting", "sent")
CUT_OFF = ("intent", "sent, waiting")
WAITING = {"kinds": ("waiting",), "deliveries": 1}
DEFERRED = {"kinds": ("deferred",), "deliveries": 1}
# A folder takes what a process writes that was cleared, or that has no supervisor any more.
NOT_CERTAIN = {"in_folder": {"writes": None}}


@fault("none, waiting", kinds=("waiting", "deferred"), deliveries=1, writes=(WAITED,))
async def nothing(round_: Round) -> None:
    if round_.kind == "deferred":
        (await _deferred(round_)).release()
    else:
        await round_.begin()


@fault("SIGKILL while waiting", line=lines.AFTER_OUTCOME, **WAITING, writes=(CUT_OFF, WAITED_ON))
async def kill_while_waiting(round_: Round) -> None:
    trap = round_.at_ticket(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL of the supervisor while waiting", **WAITING, writes=(CUT_OFF, WAITED_ON), **NOT_CERTAIN)
async def supervisor_killed_while_waiting(round_: Round) -> None:
    trap = round_.at_ticket(Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    send(round_.process.supervisor, signal.SIGKILL)
    await gone(round_.process.supervisor)
    caught.go()


@fault(
    "cleared while waiting, in a poll",
    line=lines.CLEARED_WAITING,
    **WAITING,
    writes=(CUT_OFF, WAITED_ON),
    **NOT_CERTAIN,
)
async def cleared_in_look(round_: Round) -> None:
    trap = round_.at_ticket(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.clear()
    await gone(round_.process.task)
    caught.go()
    await round_.trail.tried(2)


@fault(
    "cleared while waiting, between polls",
    line=lines.CLEARED_WAITING,
    **WAITING,
    writes=(CUT_OFF, WAITED_ON),
    **NOT_CERTAIN,
)
async def cleared_between_polls(round_: Round) -> None:
    await _hang_after_look(round_)
    await round_.clear()
    await round_.trail.tried(2)
    await round_.stage.end_ticket(round_.trail.ticket_id)


@fault("marked failed while waiting, then cleared", kinds=("waiting",), deliveries=2, writes=(WAITED, WAITED))
async def failed_and_cleared(round_: Round) -> None:
    await _hang_after_look(round_)
    process = round_.process
    await round_.mark_failed()
    await gone(process.task)
    await round_.run.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)


async def _hang_after_look(round_: Round) -> None:
    """Begin, let the ticket never end, and wait until the task has polled it."""
    polled = round_.at_ticket(Point.AFTER)
    await _begin_with_hanging_ticket(round_)
    (await polled.catch()).go()


async def _begin_with_hanging_ticket(round_: Round) -> None:
    """Begin, and let the ticket not end, however long the task needs until it polls."""
    posted = round_.at_post(Point.AFTER)
    await round_.begin()
    caught = await posted.catch()
    await round_.stage.hang_ticket(round_.trail.ticket_id)
    caught.go()


@fault("marked failed while waiting, in a poll", **WAITING)
async def failed_while_waiting(round_: Round) -> None:
    trap = round_.at_ticket(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.mark_failed()
    await gone(round_.process.task)
    caught.go()


@fault("the ticket fails", line=lines.TICKET_FAILS, kinds=("waiting", "deferred"), deliveries=2)
async def ticket_fails(round_: Round) -> None:
    trap = round_.at_post(Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await round_.stage.fail_ticket(round_.trail.ticket_id)
    round_.ordered += 1
    caught.go()


@fault("SIGKILL after the outcome, before it defers", **DEFERRED, writes=(CUT_OFF, WAITED_ON), stores=(FOLDER,))
async def kill_before_deferring(round_: Round) -> None:
    trap = round_.at_write("sent, waiting", Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL when it defers", line=lines.AFTER_OUTCOME, **DEFERRED, writes=(WAITED,), stores=(STORE,))
async def kill_when_deferring(round_: Round) -> None:
    caught = await _caught_deferring(round_)
    await round_.process.kill()
    caught.go()
    await round_.stage.end_ticket(round_.trail.ticket_id)


@fault("SIGKILL of the supervisor when it defers", **DEFERRED, writes=(WAITED, WAITED_ON), stores=(STORE,))
async def supervisor_killed_when_deferring(round_: Round) -> None:
    caught = await _caught_deferring(round_)
    send(round_.process.supervisor, signal.SIGKILL)
    await gone(round_.process.supervisor)
    caught.go(Way.DROP)
    await round_.stage.end_ticket(round_.trail.ticket_id)


@fault(
    "SIGKILL when it comes back from the triggerer", line=lines.AFTER_OUTCOME, **DEFERRED, writes=(WAITED, WAITED_ON)
)
async def kill_when_resuming(round_: Round) -> None:
    trap = round_.at_resume(Point.BEFORE)
    await _begin_with_hanging_ticket(round_)
    await round_.deferred()
    await round_.stage.end_ticket(round_.trail.ticket_id)
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL of the triggerer while deferred", line=lines.SCHEDULER, **DEFERRED, writes=(WAITED,))
async def triggerer_killed(round_: Round) -> None:
    trap = await _deferred(round_)
    async with round_.stage.without("triggerer"):
        trap.release()


@fault("marked failed while deferred", **DEFERRED, writes=(WAITED,))
async def failed_while_deferred(round_: Round) -> None:
    trap = await _deferred(round_)
    await round_.mark_failed()
    trap.release()


@fault("cleared while deferred", line=lines.CLEARED_DEFERRED, kinds=("deferred",), deliveries=2)
async def cleared_while_deferred(round_: Round) -> None:
    trap = await _deferred(round_)
    round_.ordered += 1
    await round_.clear()
    trap.release()
    await round_.trail.tried(2)


async def _deferred(round_: Round) -> Trap:
    """Begin, and hold all polls of the ticket but the first, so that the task stays deferred until the release."""
    first = round_.at_ticket(Point.AFTER)
    await _begin_with_hanging_ticket(round_)
    caught = await first.catch()
    held = round_.at_ticket(Point.BEFORE, times=100)
    caught.go()
    await round_.deferred()
    await round_.stage.end_ticket(round_.trail.ticket_id)
    return held


async def _caught_deferring(round_: Round) -> Exchange:
    trap = round_.at_journal_gate(lambda seen: round_.is_state(seen, "deferred"), Point.BEFORE)
    await _begin_with_hanging_ticket(round_)
    return await trap.catch()
