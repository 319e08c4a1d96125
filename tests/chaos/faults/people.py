"""People click in the UI, while the task runs and after it has ended."""

from __future__ import annotations

from tests.chaos import lines
from tests.chaos.faults.registry import fault
from tests.chaos.gate import Point, Trap, Way
from tests.chaos.rounds import AT_MOST_ONCE, Round
from tests.chaos.stage import IS_AIRFLOW_2
from tests.chaos.watch import gone

MARKED_FAILED = {"gives_up": True, "unknown": True, "line": lines.MARKED_FAILED}
CLEARED = {"unknown": True, "line": lines.CLEARED_IN_REQUEST}


@fault("marked failed before the intent", **MARKED_FAILED)
async def fail_before_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.BEFORE))


@fault("marked failed after the intent", **MARKED_FAILED)
async def fail_after_intent(round_: Round) -> None:
    await _mark_failed(round_, round_.at_write("intent", Point.AFTER))


@fault("marked failed before the answer", **MARKED_FAILED)
async def fail_before_answer(round_: Round) -> None:
    await _mark_failed(round_, round_.at_post(Point.AFTER))


async def _mark_failed(round_: Round, trap: Trap) -> None:
    await round_.begin()
    caught = await trap.catch()
    await round_.mark_failed()
    await round_.in_state("failed")
    caught.go()


@fault("marked failed before the answer, which never comes", **MARKED_FAILED)
async def fail_without_answer(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    await round_.mark_failed()
    await gone(round_.process.task)
    caught.go(Way.DROP)


@fault("cleared before the intent", **CLEARED)
async def clear_before_intent(round_: Round) -> None:
    await _clear(round_, round_.at_write("intent", Point.BEFORE))


@fault("cleared after the intent", **CLEARED)
async def clear_after_intent(round_: Round) -> None:
    await _clear(round_, round_.at_write("intent", Point.AFTER))


@fault("cleared before the answer", **CLEARED)
async def clear_before_answer(round_: Round) -> None:
    await _clear(round_, round_.at_post(Point.AFTER))


async def _clear(round_: Round, trap: Trap) -> None:
    await round_.begin()
    caught = await trap.catch()
    await round_.clear()
    caught.go()
    if not IS_AIRFLOW_2:  # there it may end well before Airflow stops it; then the clear is forgotten
        await round_.trail.tried(2)


@fault("cleared before the answer, which never comes", **CLEARED, surely_unknown=True)
async def clear_without_answer(round_: Round) -> None:
    trap = round_.at_post(round_.chance.choice([Point.BEFORE, Point.AFTER]))
    await round_.begin()
    caught = await trap.catch()
    await round_.clear()
    await gone(round_.process.task)
    caught.go()
    await round_.trail.tried(2)


@fault("cleared after success", line=lines.CLEARED_AFTER_END, deliveries=2, kinds=("plain",))
async def clear_after_success(round_: Round) -> None:
    await round_.begin()
    await round_.ended()
    await round_.run.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)


@fault(
    "cleared after failure",
    line=lines.CLEARED_AFTER_END,
    unknown=True,
    deliveries=2,
    kinds=("plain",),
    connection="direct",
    modes=(AT_MOST_ONCE,),
)
async def clear_after_failure(round_: Round) -> None:
    await round_.stage.fault("close_after", path=round_.path, times=1, deliver=True)
    await round_.begin()
    assert await round_.ended() == "failed"
    await round_.run.ended()
    round_.ordered += 1
    await round_.clear()
    await round_.ended(after_try=1)
