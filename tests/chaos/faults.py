"""The faults. Each arms its traps, begins the round, waits until the task is caught at its point, and does its evil."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.gate import Point, Way
from tests.chaos.rounds import AT_MOST_ONCE, Fault, Round
from tests.chaos.watch import gone, send

FAULTS: list[Fault] = []
MEGABYTES_16 = 16 * 1024 * 1024
Act = Callable[[Round], Awaitable[None]]


def fault(name: str, **more: Any) -> Callable[[Act], Act]:
    """Register what follows as a fault."""

    def register(act: Act) -> Act:
        FAULTS.append(Fault(name, act, **more))
        return act

    return register


@fault("none", deliveries=1, writes=(("intent", "sent"),))
async def nothing(round_: Round) -> None:
    await round_.begin()


# SIGKILL of the task process, at each step.


@fault("SIGKILL before the journal was read", deliveries=1, writes=((), ("intent", "sent")))
async def kill_before_read(round_: Round) -> None:
    trap = round_.at_read(Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL before the intent", deliveries=1)
async def kill_before_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(Way.REFUSE)


@fault("SIGKILL after the intent", unknown=True)
async def kill_after_intent(round_: Round) -> None:
    trap = round_.at_write("intent", Point.AFTER)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go()


@fault("SIGKILL, request half written", unknown=True, size=MEGABYTES_16, kinds=("plain",))
async def kill_half_written(round_: Round) -> None:
    await _kill_at_post(round_, Point.HEADERS)


@fault("SIGKILL, request written", unknown=True)
async def kill_request_written(round_: Round) -> None:
    await _kill_at_post(round_, Point.BEFORE)


@fault("SIGKILL before the answer", unknown=True)
async def kill_before_answer(round_: Round) -> None:
    await _kill_at_post(round_, Point.AFTER)


@fault("SIGKILL after the answer, before the outcome", unknown=True)
async def kill_before_outcome(round_: Round) -> None:
    trap = round_.at_write("sent", Point.BEFORE)
    await round_.begin()
    caught = await trap.catch()
    await round_.process.kill()
    caught.go(Way.REFUSE)


@fault("SIGKILL after the outcome", deliveries=1, writes=(("intent", "sent"), ()))
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


# SIGTERM: the task's on_kill is called, and the task goes on.


@fault("SIGTERM before the intent")
async def term_before_intent(round_: Round) -> None:
    await _term(round_, round_.at_write("intent", Point.BEFORE))


@fault("SIGTERM after the intent")
async def term_after_intent(round_: Round) -> None:
    await _term(round_, round_.at_write("intent", Point.AFTER))


@fault("SIGTERM before the answer", deliveries=1)
async def term_before_answer(round_: Round) -> None:
    await _term(round_, round_.at_post(Point.AFTER))


async def _term(round_: Round, trap: Any) -> None:
    await round_.begin()
    caught = await trap.catch()
    send(round_.process.task, signal.SIGTERM)
    caught.go()


# People, by the REST API, while it runs and after.


@fault("marked failed before the intent", gives_up=True, unknown=True)
async def fail_before_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.BEFORE))


@fault("marked failed after the intent", gives_up=True, unknown=True)
async def fail_after_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.AFTER))


@fault("marked failed before the answer", gives_up=True, unknown=True)
async def fail_before_answer(round_: Round) -> None:
    await _mark_failed(round_, round_.at_post(Point.AFTER))


async def _mark_failed(round_: Round, trap: Any) -> None:
    await round_.begin()
    caught = await trap.catch()
    await round_.mark_failed()
    await round_.in_state("failed")
    caught.go()


@fault("marked failed before the answer, which never comes", gives_up=True, unknown=True)
async def fail_without_answer(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    await round_.mark_failed()
    await gone(round_.process.task)
    caught.go(Way.DROP)


@fault("cleared before the intent", unknown=True)
async def clear_before_intent(round_: Round) -> None:
    await _clear(round_, round_.at_write("intent", Point.BEFORE))


@fault("cleared after the intent", unknown=True)
async def clear_after_intent(round_: Round) -> None:
    await _clear(round_, round_.at_write("intent", Point.AFTER))


@fault("cleared before the answer", unknown=True)
async def clear_before_answer(round_: Round) -> None:
    await _clear(round_, round_.at_post(Point.AFTER))


async def _clear(round_: Round, trap: Any) -> None:
    await round_.begin()
    caught = await trap.catch()
    await round_.clear()
    caught.go()
    await round_.trail.tried(2)


@fault("cleared before the answer, which never comes", unknown=True)
async def clear_without_answer(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    await round_.clear()
    await gone(round_.process.task)
    caught.go()
    await round_.trail.tried(2)


@fault("cleared after success", deliveries=2)
async def clear_after_success(round_: Round) -> None:
    await round_.begin()
    await round_.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)


@fault("cleared after failure", unknown=True, connection="direct", modes=(AT_MOST_ONCE,))
async def clear_after_failure(round_: Round) -> None:
    await round_.stage.fault("close_after", path=_path(round_), times=1, deliver=True)
    await round_.begin()
    assert await round_.ended() == "failed"
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)


# execution_timeout.


TIMED = {"kinds": ("timed",), "unknown": True}
TIMEOUT_SECONDS = 6.0


@fault("execution_timeout in mid-request", **TIMED)
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


async def _timeout_in_write(round_: Round, trap: Any) -> None:
    await round_.begin()
    caught = await trap.catch()
    await asyncio.sleep(TIMEOUT_SECONDS + 1)  # nothing tells when it strikes: the supervisor is held with the request
    caught.go()


def _path(round_: Round) -> str:
    return f"/pass/{round_.pass_id}/notify$"
