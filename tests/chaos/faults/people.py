"""People click in the UI, while the task runs and after it has ended."""

from __future__ import annotations

from tests.chaos.faults.registry import fault
from tests.chaos.gate import Point, Trap, Way
from tests.chaos.rounds import AT_MOST_ONCE, Round
from tests.chaos.watch import gone


@fault("marked failed before the intent", gives_up=True, unknown=True)
async def fail_before_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.BEFORE))


@fault("marked failed after the intent", gives_up=True, unknown=True)
async def fail_after_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.AFTER))


@fault("marked failed before the answer", gives_up=True, unknown=True)
async def fail_before_answer(round_: Round) -> None:
    await _mark_failed(round_, round_.at_post(Point.AFTER))


async def _mark_failed(round_: Round, trap: Trap) -> None:
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


async def _clear(round_: Round, trap: Trap) -> None:
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


@fault("cleared after success", deliveries=2, kinds=("plain",))
async def clear_after_success(round_: Round) -> None:
    await round_.begin()
    await round_.ended()
    await round_.run.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)


@fault("cleared after failure", unknown=True, kinds=("plain",), connection="direct", modes=(AT_MOST_ONCE,))
async def clear_after_failure(round_: Round) -> None:
    await round_.stage.fault("close_after", path=round_.path, times=1, deliver=True)
    await round_.begin()
    assert await round_.ended() == "failed"
    await round_.run.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)
