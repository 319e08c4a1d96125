"""Plays rounds, several at once, and compares each with what the sandbox delivered."""

from __future__ import annotations

import asyncio
import random
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from tests.airflow_cluster import HANGS_SECONDS
from tests.chaos.rounds import AT_LEAST_ONCE, Fault, Round, Run
from tests.chaos.stage import Stage

FIRST_PASS = 1_000_001
AT_ONCE, AT_ONCE_WITH_SQLITE = 10, 2
MAPPED_TOGETHER = 4
WAITED_ON = ("sent, waiting", "sent")
"""What a try writes that waits for the ticket of an earlier one."""
Writes = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Plan:
    """One round to be played."""

    fault: Fault
    kind: str
    mode: str


@dataclass(frozen=True)
class Result:
    """The result of a round.

    :param named: whether the task failed and its log names the target.
    :param hit: whether the fault came at the right moment.
    :param ordered: how often it should be sent: once, and once more for each clear and each ticket that failed.
    :param problems: what is wrong.
    """

    plan: Plan
    pass_id: str
    delivered: int
    state: str
    named: bool
    hit: bool
    ordered: int
    duplicates: int
    problems: tuple[str, ...]


def short_plan(faults: Sequence[Fault]) -> list[Plan]:
    """Return all but the rare ones, in turn plain and mapped.

    The delivery mode makes a difference for some. Of these, every third is played in both modes, and one for each line
    of the guide.
    """
    faults = [fault for fault in faults if fault.short and not fault.alone]
    told_apart = [fault for fault in faults if fault.told_apart]
    firsts = {fault.line: fault for fault in reversed(told_apart)}.values()
    both = [fault for number, fault in enumerate(told_apart) if number % 3 == 0 or fault in firsts]
    plans = [Plan(fault, fault.kinds[number % len(fault.kinds)], fault.modes[0]) for number, fault in enumerate(faults)]
    return plans + [Plan(fault, fault.kinds[0], AT_LEAST_ONCE) for fault in both]


def long_plan(faults: Sequence[Fault], rounds: int, chance: random.Random) -> list[Plan]:
    """Return so many rounds, in random order. Every fault comes in each of its kinds and modes in turn."""
    every = [Plan(fault, kind, mode) for fault in faults for kind in fault.kinds for mode in fault.modes]
    chosen: list[Plan] = []
    while len(chosen) < rounds:
        chosen += chance.sample(every, min(len(every), rounds - len(chosen)))
    return chosen


class Driver:
    """Plays a plan on a stage.

    :param chance: the random choices that the faults make.
    """

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage, self._chance = stage, chance
        self._next_pass = FIRST_PASS
        self._slots = asyncio.Semaphore(AT_ONCE if stage.is_sturdy else AT_ONCE_WITH_SQLITE)

    async def play(self, plans: Sequence[Plan]) -> list[Result]:
        """Play every round. A fault that hits everything that runs comes at the end, alone."""
        together = [plan for plan in plans if not plan.fault.alone]
        results = await self._play_at_once(together)
        for plan in plans:
            if plan.fault.alone:
                results += await self._play_at_once([plan])
        return results

    async def _play_at_once(self, plans: list[Plan]) -> list[Result]:
        rounds = [round_ for run in self._runs(plans) for round_ in run.rounds]
        return list(await asyncio.gather(*map(self._play, rounds)))

    def _runs(self, plans: list[Plan]) -> list[Run]:
        """Make the DAG runs: one for each round, or one for several mapped rounds."""
        groups: dict[object, list[Plan]] = {}
        for number, plan in enumerate(plans):
            mapped = plan.kind == "mapped"
            key = (plan.mode, plan.fault.connection, plan.fault.size) if mapped else number
            if len(groups.get(key, ())) == MAPPED_TOGETHER:
                groups[number] = groups.pop(key)
            groups.setdefault(key, []).append(plan)
        return [self._run(group) for group in groups.values()]

    def _run(self, plans: list[Plan]) -> Run:
        first = plans[0]
        run = Run(self.stage, first.kind, first.mode, first.fault.connection, first.fault.size)
        for index, plan in enumerate(plans):
            map_index = index if plan.kind == "mapped" else -1
            chance = random.Random(self._chance.random())
            run.rounds.append(Round(plan.fault, plan.kind, plan.mode, str(self._next_pass), run, map_index, chance))
            self._next_pass += 1
        return run

    async def _play(self, round_: Round) -> Result:
        trouble = ""
        async with round_.run.slot(self._slots):
            try:
                await asyncio.wait_for(round_.fault.act(round_), HANGS_SECONDS)
            except (TimeoutError, asyncio.TimeoutError, AssertionError) as error:
                trouble = f"the fault did not strike: {error!r}"
            except Exception:  # noqa: BLE001 (the round counts as wrong, the others go on)
                trouble = traceback.format_exc()
            round_.disarm()
            try:
                await asyncio.wait_for(round_.settled(), HANGS_SECONDS)
            except asyncio.TimeoutError:
                trouble += " the task did not end"
            result = await judge(round_, trouble)
        print(_line(round_, result), file=sys.stderr, flush=True)
        return result


async def judge(round_: Round, trouble: str) -> Result:
    """Compare what the sandbox delivered and what Airflow says with what was promised."""
    fault, mode = round_.fault, round_.mode
    delivered = await round_.stage.deliveries(round_.pass_id)
    state = str(round_.stage.board.get(round_.run.run_id, round_.map_index)["state"])
    named = state == "failed" and await round_.names_it()
    duplicates = max(0, delivered - round_.ordered)
    problems = [trouble] if trouble else []
    if duplicates and mode != AT_LEAST_ONCE:
        problems.append("delivered twice")
    if duplicates and mode == AT_LEAST_ONCE and not fault.unknown:
        problems.append("delivered twice, although nothing was unknown")
    if state == "failed" and not named:
        problems.append("failed without naming it")
    if fault.sends and delivered == 0 and not named:
        problems.append("lost silently")
    if fault.sends and delivered == 0 and mode == AT_LEAST_ONCE and not fault.gives_up:
        problems.append("lost")
    if fault.deliveries is not None and delivered != fault.deliveries:
        problems.append(f"delivered {delivered} times, not {fault.deliveries}")
    writes = tuple(filter(None, (tuple(round_.trail.writes[ti_id]) for ti_id in round_.trail.tries)))
    intents = sum("intent" in states for states in writes)
    if fault.surely_unknown and mode != AT_LEAST_ONCE and (state, intents) != ("failed", 1):
        problems.append("nobody can know whether it was sent, but the task did not fail, or set out again")
    if fault.surely_unknown and mode == AT_LEAST_ONCE and not fault.gives_up and (state != "success" or intents < 2):
        problems.append("nobody can know whether it was sent, but it was not sent again")
    if fault.writes is not None and not _as_promised(writes, fault.writes):
        problems.append(f"wrote {writes} into the journal, not {fault.writes}")
    plan = Plan(fault, round_.kind, mode)
    return Result(
        plan, round_.pass_id, delivered, state, named, not trouble, round_.ordered, duplicates, tuple(problems)
    )


def _as_promised(writes: Writes, promised: Writes) -> bool:
    """Whether the tries wrote what they must.

    On a busy machine, Airflow may end a try by itself: it believes that one is dead, and hits the next one. So tries
    that only wait for the ticket of an earlier one may be cut off, or come once more. No other try may set out.
    """

    def set_out(tries: Writes) -> list[tuple[str, ...]]:
        return [states for states in tries if "intent" in states]

    waited, must_wait = set(writes) - set(set_out(writes)), set(promised) - set(set_out(promised))
    return set_out(writes) == set_out(promised) and must_wait <= waited <= {WAITED_ON, WAITED_ON[:1]}


def _line(round_: Round, result: Result) -> str:
    writes = [round_.trail.writes[ti_id] for ti_id in round_.trail.tries]
    text = f"{round_.pass_id} {round_.kind} {round_.mode} [{round_.fault.name}]: delivered {result.delivered}, "
    text += f"{result.state}, journal {writes}"
    return text + (f"  WRONG: {'; '.join(result.problems)}" if result.problems else "")
