"""Each rule of the journal is needed: the simulation finds what happens without it; and it is the same each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from airflow_provider_passnotify.delivery import account, journal
from airflow_provider_passnotify.delivery.batch import chunks
from airflow_provider_passnotify.delivery.folder import Folder
from airflow_provider_passnotify.delivery.journal import State
from airflow_provider_passnotify.delivery.single import History, SinglePush
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import Begin, TaskTry
from airflow_provider_passnotify.exceptions import JournalError
from tests.simulation import batch
from tests.simulation.choices import Deviations, RandomChoices
from tests.simulation.explore import explore
from tests.simulation.history import from_seed, play
from tests.simulation.settings import Settings
from tests.simulation.world import World

TRIED = 30_000
"""Histories in which a broken rule must show."""

Break = Callable[[pytest.MonkeyPatch], None]


def test_a_seed_is_a_history() -> None:
    for seed in range(60):
        first, second = play(*from_seed(seed)), play(*from_seed(seed))
        assert first.trace == second.trace
        assert first.pushes == second.pushes


def test_a_history_is_found_again_by_its_deviations() -> None:
    settings = Settings.parse("2.11/folder/resume/at_most_once/no-waiting/single/1/3")
    assert str(settings) == "2.11/folder/resume/at_most_once/no-waiting/single/1/3"
    assert play(settings, Deviations({3: 1})).trace != play(settings, Deviations({})).trace


def test_what_is_promised_holds() -> None:
    """A few histories; ``make simulation`` plays many."""
    found = explore(first_seed=1_000_000, seeds=3000, depth=0, processes=1)
    assert found.violations == []
    assert found.histories == 3000


def _an_empty_memory_is_nothing_sent(patch: pytest.MonkeyPatch) -> None:
    """What was discarded is not noticed."""
    patch.setattr(TaskStore, "why_unaccounted", lambda *_: None)


def _what_counts_is_decided_by_each_try(patch: pytest.MonkeyPatch) -> None:
    """The plain retry after a clear takes what was sent since for what was before."""

    def decide(this_try: TaskTry, _: Begin, *, ended: bool, resume: bool) -> int:
        return this_try.try_number if ended and not resume and this_try.max_tries != this_try.retries else 1

    patch.setattr(journal, "decide_counts_from", decide)
    patch.setattr(chunks, "decide_counts_from", decide)


def _max_tries_alone_prove_a_clear(patch: pytest.MonkeyPatch) -> None:
    """``retries`` that were lowered look like a clear."""
    patch.setattr(TaskTry, "surely_cleared", lambda t, _: t.max_tries - t.retries == t.try_number - 1)


def _airflow_history_proves_nothing(patch: pytest.MonkeyPatch) -> None:
    """Airflow 2 can tell a clear from edited ``retries``."""
    before = TaskTry.surely_cleared
    forget = {"max_tries_before": None}
    patch.setattr(TaskTry, "surely_cleared", lambda t, newest: before(replace(t, **forget), newest))


def _clear_number_alone_proves_a_clear(patch: pytest.MonkeyPatch) -> None:
    """It rises for other tasks of the run, and for this one while it runs."""
    patch.setattr(
        TaskTry,
        "was_cleared_since",
        lambda t, e: (t.max_tries, t.clear_number) != (e.max_tries, e.clear_number),
    )


def _an_intent_is_nothing(patch: pytest.MonkeyPatch) -> None:
    of = History.of
    patch.setattr(History, "of", lambda records: of([r for r in records if r.state is not State.INTENT]))


def _any_target_will_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SinglePush, "_check_target", lambda *_: None)


def _it_sends_although_the_intent_was_refused(patch: pytest.MonkeyPatch) -> None:
    write = TaskStore.set

    def swallow(self: TaskStore, part: str, value: Any) -> None:
        with suppress(JournalError):
            write(self, part, value)

    patch.setattr(TaskStore, "set", swallow)


def _nobody_looks_before_sending(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Folder, "look", lambda _: None)


def _nobody_is_told_that_it_is_superseded(patch: pytest.MonkeyPatch) -> None:
    write = Folder._write

    def leave_out(self: Folder, name: str, value: Any) -> None:
        if not name.startswith("superseded"):
            write(self, name, value)

    patch.setattr(Folder, "_write", leave_out)


def _a_strangers_start_is_ones_own(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Folder, "_is_own", lambda *_: True)


def _what_came_after_the_newest_record_does_not_count(patch: pytest.MonkeyPatch) -> None:
    """It may have been written elsewhere."""
    before = TaskStore.why_unaccounted
    patch.setattr(TaskStore, "why_unaccounted", lambda tasks, counts_from, _=None: before(tasks, counts_from))


def _airflow_is_read_without_a_write(patch: pytest.MonkeyPatch) -> None:
    """To a process that was given up Airflow's store answers "nothing"."""
    patch.setattr(TaskStore, "_tell_airflow", lambda _: None)


def _nobody_asks_whether_it_is_being_cleared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(World, "is_being_cleared", lambda *_: False)


def _each_clear_raises_clear_number(patch: pytest.MonkeyPatch) -> None:
    """One by the REST API with ``reset_dag_runs: false`` does not."""
    patch.setattr(TaskTry, "may_have_been_cleared", property(lambda t: t.clear_number > 0))


def _a_task_that_is_being_cleared_has_ended(patch: pytest.MonkeyPatch) -> None:
    """Airflow 3.4 gives a task that was cleared while it ran the numbers of any other clear."""
    patch.setattr(TaskStore, "is_being_cleared", lambda _: False)


def _what_a_discard_has_left_is_all(patch: pytest.MonkeyPatch) -> None:
    """Chunks or an end without a begin: the clear came while the batch ran."""
    before = account.check_accounted
    patch.setattr(chunks, "check_accounted", lambda *a, **more: before(*a, **{**more, "while_running": False}))


def _what_was_found_is_not_looked_for_again(patch: pytest.MonkeyPatch) -> None:
    """A clear while a batch reads its records discards them."""
    patch.setattr(TaskStore, "still_has", lambda *_: True)


def _no_send_remembers_for_the_others(patch: pytest.MonkeyPatch) -> None:
    """A try that ended before it reached a send has no record of it."""
    patch.setattr(TaskStore, "memory", lambda _: None)


def _batches_do_not_resume(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batch, "resume", lambda *_, **__: None)


class Case(NamedTuple):
    """A rule that is broken, and the histories in which that shows.

    :param trouble: how much trouble there is (see :class:`RandomChoices`).
    :param more: what must happen for it more often than other trouble.
    """

    broken: Break
    settings: Settings
    shows: str = "twice"
    trouble: float = 1.0
    more: Mapping[str, float] = MappingProxyType({})


RETRY = Settings(retries=2, max_tries=4)
FOLDER, BATCH = Settings(version="2.11", folder=True, max_tries=4), Settings(is_batch=True, max_tries=4)
RESUMED_BATCH = Settings(version="3.4", is_batch=True, on_clear="resume", retries=2, max_tries=4)
ONCE = Settings(version="3.4", is_once=True, retries=2, max_tries=4)
EDITED = {"retries edited": 10, "killed": 3}
BROKEN = [
    Case(_an_empty_memory_is_nothing_sent, Settings(version="3.4", on_clear="resume")),
    Case(_an_empty_memory_is_nothing_sent, Settings(version="3.4", on_clear="resume", is_batch=True)),
    Case(_an_empty_memory_is_nothing_sent, Settings(version="3.3-clear-on-success", on_clear="resume")),
    Case(_an_empty_memory_is_nothing_sent, FOLDER),
    Case(_what_counts_is_decided_by_each_try, BATCH),
    Case(_max_tries_alone_prove_a_clear, Settings(version="3.1", retries=2, max_tries=4), trouble=2.0, more=EDITED),
    Case(_airflow_history_proves_nothing, Settings(version="2.11", retries=2, max_tries=5), trouble=2.0, more=EDITED),
    Case(_clear_number_alone_proves_a_clear, Settings(waits=True, retries=2, max_tries=4)),
    Case(_an_intent_is_nothing, RETRY),
    Case(_any_target_will_do, Settings(waits=True, retries=2, max_tries=4), "another target"),
    Case(_it_sends_although_the_intent_was_refused, RETRY),
    Case(_nobody_looks_before_sending, FOLDER, more={"given up": 5}),
    Case(_nobody_is_told_that_it_is_superseded, FOLDER, more={"given up": 5}),
    Case(_a_strangers_start_is_ones_own, FOLDER, more={"started twice": 5}),
    Case(
        _what_came_after_the_newest_record_does_not_count,
        Settings(folder=True, retries=2, max_tries=4),
        more={"another host": 8, "killed": 2},
    ),
    Case(_airflow_is_read_without_a_write, Settings(folder=True, retries=2, max_tries=4)),
    Case(_nobody_asks_whether_it_is_being_cleared, Settings(version="3.4", retries=2, max_tries=4)),
    Case(_each_clear_raises_clear_number, Settings(version="3.4", on_clear="resume", max_tries=3)),
    Case(_each_clear_raises_clear_number, Settings(version="3.3-clear-on-success", on_clear="resume")),
    Case(_a_task_that_is_being_cleared_has_ended, Settings(version="3.4", max_tries=3)),
    Case(_what_a_discard_has_left_is_all, Settings(version="3.4", is_batch=True)),
    Case(_what_was_found_is_not_looked_for_again, RESUMED_BATCH, more={"cleared": 6}),
    Case(_an_intent_is_nothing, replace(RETRY, is_once=True)),
    Case(_no_send_remembers_for_the_others, ONCE, "refused without need", trouble=0.5, more={"own code fails": 20}),
    Case(_batches_do_not_resume, BATCH),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case.broken.__name__}-{case.settings}")
def test_a_broken_rule_is_found(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    case.broken(monkeypatch)
    for seed in range(TRIED):
        violation = play(case.settings, RandomChoices(random.Random(seed), case.trouble, case.more)).violation
        if violation is not None and case.shows in violation:
            print(f"found by history {seed}: {violation}")
            return
    pytest.fail(f"{TRIED:,} histories did not show it")
