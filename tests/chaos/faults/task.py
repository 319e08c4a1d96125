"""The task process dies, is told to stop or runs out of time."""

from __future__ import annotations

import asyncio
import signal

from tests.chaos import lines
from tests.chaos.faults.registry import fault
from tests.chaos.gate import Point, Trap, Way
from tests.chaos.rounds import AT_LEAST_ONCE, AT_MOST_ONCE, FOLDER, Round
from tests.chaos.watch import gone, send

MEGABYTES_16 = 16 * 1024 * 1024
TIMED = {"kinds": ("timed",), "unknown": True, "line": lines.TIMEOUT}
NOBODY_KNOWS = {"unknown": True, "surely_unknown": True, "line": lines.BEFORE_OUTCOME}
# Airflow 2 raises an exception in the task, wherever it is.
INTERRUPTED = {"in_airflow_2": {"unknown": True, "deliveries": None}}
TIMEOUT_SECONDS = 10.0


@fault("none", deliveries=1, writes=(("intent", "sent"),))
async def nothing(round_: Round) -> None:
    await round_.begin()


@fault("none, delete", sends=False, deliveries=0, writes=(), kinds=("delete",), modes=(AT_MOST_ONCE,))
async def delete(round_: Round) -> None:
    await round_.begin()


# SIGKILL of the task process, at each step.


# 3.3 has its own store, too, which accounts for such a try
NO_START = {"line": lines.BEFORE_INTENT, "stores": (FOLDER,)}


@fault("SIGKILL before the start", **NO_START, modes=(AT_MOST_ONCE,), deliveries=1, in_airflow_2={"deliveries": 0})
@fault("SIGKILL before the start", **NO_START, modes=(AT_LEAST_ONCE,), deliveries=1)
async def kill_before_start(round_: Round) -> None:
    trap = round_.at_folder_start(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(Way.REFUSE)


@fault("SIGKILL before the journal was read", line=lines.BEFORE_INTENT, deliveries=1, writes=(("intent", "sent"),))
async def kill_before_read(round_: Round) -> None:
    trap = round_.at_read(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL before the intent", line=lines.BEFORE_INTENT, deliveries=1)
async def kill_before_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(Way.REFUSE)


@fault("SIGKILL after the intent", **NOBODY_KNOWS)
async def kill_after_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL, request half written", **NOBODY_KNOWS, size=MEGABYTES_16, kinds=("plain",))
async def kill_half_written(round_: Round) -> None:
    await _kill_at_post(round_, Point.HEADERS)


@fault("SIGKILL, request written", **NOBODY_KNOWS)
async def kill_request_written(round_: Round) -> None:
    await _kill_at_post(round_, Point.BEFORE)


@fault("SIGKILL before the answer", **NOBODY_KNOWS)
async def kill_before_answer(round_: Round) -> None:
    await _kill_at_post(round_, Point.AFTER)


@fault(
    "SIGKILL before the answer, no retry left", line=lines.NO_RETRY_LEFT, kinds=("once",), unknown=True, gives_up=True
)
async def kill_last_try(round_: Round) -> None:
    await _kill_at_post(round_, Point.BEFORE)


@fault("SIGKILL after the answer, before the outcome", **NOBODY_KNOWS)
async def kill_before_outcome(round_: Round) -> None:
    trap = round_.at_write("sent", Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(Way.REFUSE)


@fault("SIGKILL after the outcome", line=lines.AFTER_OUTCOME, deliveries=1, writes=(("intent", "sent"),))
async def kill_after_outcome(round_: Round) -> None:
    trap = round_.at_write("sent", Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


async def _kill_at_post(round_: Round, point: Point) -> None:
    trap = round_.at_post(point)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(round_.chance.choice([Way.ON, Way.DROP]))


# SIGTERM: the task's on_kill is called, and the task goes on. (In Airflow 2, an exception is raised after that.)


@fault("SIGTERM before the intent", line=lines.SIGTERM_BEFORE_REQUEST, **INTERRUPTED)
async def term_before_intent(round_: Round) -> None:
    await _term(round_, round_.at_write("intent", Point.BEFORE))


@fault("SIGTERM after the intent", line=lines.SIGTERM_BEFORE_REQUEST, **INTERRUPTED)
async def term_after_intent(round_: Round) -> None:
    await _term(round_, round_.at_write("intent", Point.AFTER))


@fault("SIGTERM before the answer", line=lines.SIGTERM_IN_REQUEST, deliveries=1, **INTERRUPTED)
async def term_before_answer(round_: Round) -> None:
    await _term(round_, round_.at_post(Point.AFTER))


async def _term(round_: Round, trap: Trap) -> None:
    await round_.begin()
    caught = await trap.catch()
    send(round_.process.task, signal.SIGTERM)
    caught.go()


# execution_timeout.


@fault("execution_timeout in mid-request", **TIMED, surely_unknown=True)
async def timeout_in_request(round_: Round) -> None:
    trap = round_.at_post(Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await gone(round_.process.task)
    caught.go()


@fault("execution_timeout in the intent", **TIMED)
async def timeout_in_intent(round_: Round) -> None:
    await _timeout_in_write(round_, round_.at_write("intent", Point.AFTER))


@fault("execution_timeout in the outcome", **TIMED)
async def timeout_in_outcome(round_: Round) -> None:
    await _timeout_in_write(round_, round_.at_write("sent", Point.BEFORE))


async def _timeout_in_write(round_: Round, trap: Trap) -> None:
    await round_.begin()
    caught = await trap.catch()
    await asyncio.sleep(TIMEOUT_SECONDS + 1)  # nobody can see when it comes: the supervisor is held with the request
    caught.go()
