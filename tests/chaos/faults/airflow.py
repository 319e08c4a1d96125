"""Airflow itself fails: supervisors die or are frozen, its API server is down, its scheduler dies."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from tests.chaos import lines
from tests.chaos.faults.registry import fault
from tests.chaos.gate import Exchange, Point, Trap, Way
from tests.chaos.rounds import AT_LEAST_ONCE, AT_MOST_ONCE, FOLDER, STORE, Act, Round
from tests.chaos.watch import gone, send

ORPHAN = {"unknown": True, "line": lines.SUPERVISOR_AFTER_INTENT}

# SIGKILL of the supervisor: the task process is left alone.


@fault("SIGKILL of the supervisor before the intent", line=lines.SUPERVISOR_BEFORE_INTENT, deliveries=1)
async def supervisor_killed_before_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await _kill_supervisor(round_)
    if round_.stage.has_folder:  # nothing refuses the orphan's intent: it looks whether a later try has begun
        await round_.ended()
        caught.go()
    else:
        caught.go(Way.DROP)


@fault("SIGKILL of the supervisor after the intent", **ORPHAN)
async def supervisor_killed_after_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await _kill_supervisor(round_)
    caught.go()


@fault("SIGKILL of the supervisor in mid-request, the orphan goes on", **ORPHAN)
async def supervisor_killed_in_request(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    await _kill_supervisor(round_)
    await round_.ended()
    caught.go()


async def _kill_supervisor(round_: Round) -> None:
    send(round_.process.supervisor, signal.SIGKILL)
    await gone(round_.process.supervisor)


# SIGSTOP: a machine that is frozen, and continues after the next try has ended.


@fault("SIGSTOP of the supervisor before the intent", line=lines.SUPERVISOR_BEFORE_INTENT, deliveries=1)
async def supervisor_stopped_before_intent(round_: Round) -> None:
    await _stop_supervisor(round_, round_.at_write("intent", Point.BEFORE))
    if round_.stage.has_folder:  # Airflow 2 believes what the orphan says of the task
        await gone(round_.trail.processes[0].task)
        assert await round_.state_now() != "failed"


@fault("SIGSTOP of the supervisor after the intent", **ORPHAN)
async def supervisor_stopped_after_intent(round_: Round) -> None:
    await _stop_supervisor(round_, round_.at_write("intent", Point.AFTER))


@fault("SIGSTOP of the supervisor in mid-request, the orphan goes on", **ORPHAN)
async def supervisor_stopped_in_request(round_: Round) -> None:
    await _stop_supervisor(round_, round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER])))


@fault("SIGSTOP of task and supervisor after the intent", **ORPHAN)
async def both_stopped_after_intent(round_: Round) -> None:
    await _stop_supervisor(round_, round_.at_write("intent", Point.AFTER), task=True)


async def _stop_supervisor(round_: Round, trap: Trap, *, task: bool = False) -> None:
    await round_.begin()
    caught = await trap.catch()
    process = round_.process
    stopped = [process.supervisor, process.task] if task else [process.supervisor]
    for each in stopped:
        send(each, signal.SIGSTOP)
    try:
        await round_.ended()
        caught.go()
    finally:
        for each in reversed(stopped):
            send(each, signal.SIGCONT)


# The API server of Airflow, or the folder, is away while the journal is read or written.


def away(name: str, line: str, **more: Any) -> Callable[[Act], Act]:
    """Register a fault of Airflow's API server, which with a folder is one of the folder."""
    return fault(f"API server {name}", line=line, in_folder={"name": f"folder {name}"}, **more)


# 3.3 has its own store, too, which accounts for such a try
NO_START = {"line": lines.AWAY_BEFORE_INTENT, "stores": (FOLDER,)}


@fault(
    "folder away when the start is written",
    **NO_START,
    modes=(AT_MOST_ONCE,),
    deliveries=1,
    in_airflow_2={"deliveries": 0},
)
@fault("folder away when the start is written", **NO_START, modes=(AT_LEAST_ONCE,), deliveries=1)
async def away_at_start(round_: Round) -> None:
    round_.at_folder_start(Point.BEFORE, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@away("away when the journal is read", lines.AWAY_BEFORE_INTENT, deliveries=1)
async def away_at_read(round_: Round) -> None:
    round_.at_read(Point.BEFORE, times=round_.stage.tries_of_a_request, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@away("away at the intent", lines.AWAY_BEFORE_INTENT, deliveries=1)
async def away_at_intent(round_: Round) -> None:
    round_.at_write("intent", Point.BEFORE, times=round_.stage.tries_of_a_request, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@fault("API server takes the intent, its answer is lost once", deliveries=1, stores=(STORE,))
async def answer_to_intent_lost(round_: Round) -> None:
    trap = round_.at_write("intent", Point.AFTER, then=Way.DROP)
    await round_.begin()
    await trap.catch()


@fault("API server takes the intent twice, the first time after the outcome", deliveries=1, stores=(STORE,))
async def intent_late(round_: Round) -> None:
    first, outcome = round_.at_write("intent", Point.BEFORE), round_.at_write("sent", Point.AFTER)
    await round_.begin()
    slow = await first.catch()
    slow.go(Way.DROP)
    caught = await outcome.catch()
    await round_.stage.journal.forward(slow)
    await round_.process.kill()
    caught.go()


@away("takes the intent, and is away then", lines.AWAY_AFTER_INTENT, unknown=True, surely_unknown=True)
async def away_after_intent(round_: Round) -> None:
    round_.at_write("intent", Point.AFTER, times=round_.stage.tries_of_a_request, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@away("away at the outcome", lines.AWAY_AT_OUTCOME, unknown=True, surely_unknown=True)
async def away_at_outcome(round_: Round) -> None:
    round_.at_write("sent", Point.BEFORE, times=round_.stage.tries_of_a_request, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@fault(
    "API server away when success is told",
    line=lines.AWAY_AT_SUCCESS,
    deliveries=1,
    writes=(("intent", "sent"),),
    stores=(STORE,),
)
async def away_at_success(round_: Round) -> None:
    def matches(seen: Exchange) -> bool:
        return round_.is_state(seen, "success")

    round_.at_journal_gate(matches, Point.BEFORE, times=2 * round_.stage.tries_of_a_request, then=Way.DROP)
    await round_.begin()
    await round_.trail.tried(2)


@fault("SIGKILL of the API server at the intent", deliveries=1, alone=True, kinds=("plain",), stores=(STORE,))
async def api_server_killed_at_intent(round_: Round) -> None:
    await _kill_api_server(round_, round_.at_write("intent", Point.BEFORE))


@fault("SIGKILL of the API server at the outcome", unknown=True, alone=True, kinds=("plain",), stores=(STORE,))
async def api_server_killed_at_outcome(round_: Round) -> None:
    await _kill_api_server(round_, round_.at_write("sent", Point.BEFORE))


async def _kill_api_server(round_: Round, trap: Trap) -> None:
    await round_.begin()
    caught = await trap.catch()
    async with round_.stage.without("api-server"):
        caught.go()
    await gone(round_.process.task)


# The scheduler, which is the parent of every supervisor.


DIES = {"unknown": True, "alone": True, "kinds": ("plain",), "line": lines.SCHEDULER}


@fault("SIGKILL of the scheduler in mid-request, the workers go on", **DIES)
async def scheduler_killed(round_: Round) -> None:
    trap = round_.at_post(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    async with round_.stage.without("scheduler"):
        pass
    await round_.ended()
    caught.go()


@fault("SIGKILL of the whole worker in mid-request", **DIES)
async def machine_killed(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    async with round_.stage.without("scheduler", workers=True):
        caught.go()
