"""Decides whether a try may send although it cannot know everything that earlier tries did."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from airflow_provider_passnotify.delivery.journal import Delivery
from airflow_provider_passnotify.delivery.session import clears_on_success, discards_on_clear
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import Begin
from airflow_provider_passnotify.exceptions import SendRefusedError, explain

log = logging.getLogger(__name__)

THEN_CLEAR = "Else clear the task when the journal can be reached again."
MUST_NOT_SEND = "The task was marked, cleared or started again meanwhile: nothing. This process must not send."
SINGLE = (
    "Look whether it arrived. It arrived: mark the task as success.",
    "It did not arrive: clear the task with on_clear='resend'. That sends it.",
)
BATCH = (
    "The earlier tries wrote a report: clear with resume_from= this report and on_clear='resend'. It sends the others.",
    "Or clear the task with on_clear='resend'. That sends all rows again.",
)


def check_accounted(
    tasks: TaskStore,
    counts_from: int | None,
    newest: Begin | None,
    *,
    resume: bool,
    delivery: Delivery,
    whom: str,
    ways: Iterable[str],
    whole: bool = True,
    while_running: bool = False,
) -> int:
    """Return the oldest try whose records count, if this try may send.

    :param counts_from: what earlier tries have decided about it. ``None`` if they have not.
    :param newest: what the newest earlier try wrote when it began.
    :param whole: whether the records that were found look complete.
    :param while_running: whether records were discarded by a clear that came while an earlier try was running.
    :param resume: whether the task goes on from the journal after a clear.
    :param whom: the target, for errors and logs. Empty for a batch.
    :param ways: what the user can do.
    :raises SendRefusedError: under at-most-once, if nobody can know what earlier tries sent, and it is not certain that
        a person ordered this send. After that, nothing must be written, because a later try would count it as a record.
    """
    to = f" to {whom}" if whom else ""
    last = newest.try_number if newest else None
    why = tasks.why_unaccounted(counts_from or 1, last) if whole else "some of their records were discarded"
    if why is None:
        if newest is None and tasks.may_be_discarded:
            tasks.remember(counts_from or 1)
        return counts_from or 1
    number = tasks.try_number
    if newest is None and whole and (memory := tasks.memory()) is not None:
        # Another sender of the task has written since when no record is missing. If that is since a clear, the task has
        # not gone on from what was before it.
        stands = not tasks.this_try.was_cleared_since(memory) and (memory.counts_from == 1 or not resume)
        if stands and tasks.why_unaccounted(memory.counts_from, memory.try_number) is None:
            return memory.counts_from
    if delivery is Delivery.AT_LEAST_ONCE:
        log.warning("Sending%s, which may be a duplicate (delivery='at_least_once'): %s.", to, why)
        return counts_from or 1
    # If the newest record is older than the last try, the clear may have come before the tries that nobody knows of.
    cleared = tasks.this_try.surely_cleared(newest if last == number - 1 else None)
    if cleared and not resume and not while_running:
        log.warning(
            "%s",
            explain(
                f"Sending{to}, because the task was cleared.",
                known=[
                    f"What earlier tries sent is unknown: {why}.",
                    "If one of them is still sending at this moment, nobody notices.",
                ],
            ),
        )
        tasks.remember(number)
        return number if counts_from is None else counts_from
    how = "the task was cleared with on_clear='resume'" if cleared else "it may be a retry"
    if while_running:
        how = "the task was cleared while it ran"
    raise refused(tasks, f"This is try {number}, and {how}.", f"{why[0].upper()}{why[1:]}.", to=to, ways=ways)


def refused(tasks: TaskStore, *known: str, to: str = "", ways: Iterable[str]) -> SendRefusedError:
    """Return the error of a try that must not send.

    :param tasks: the records of this try.
    :param known: the facts.
    :param to: the words " to " and the target. Empty for a batch.
    :param ways: what the user can do now.
    """
    return SendRefusedError(
        explain(
            f"Not sent{to}: nobody knows what earlier tries sent.",
            known=known,
            ways=[*ways, *_next_time(tasks)],
            section="Nobody knows what earlier tries sent",
        )
    )


def _next_time(tasks: TaskStore) -> list[str]:
    """Return what keeps the records of the next task, where there are several ways on this Airflow."""
    if tasks.folder is not None:
        ways = [
            "For the next time: all workers must share the folder of journal_path, and nobody may change what is in it."
        ]
    else:
        ways = ["For the next time: journal_path keeps the records on every Airflow version."]
        if discards_on_clear():
            ways.append("For the next time: when Airflow asks as you clear a task, keep the task state.")
        if clears_on_success():
            ways.append("For the next time: turn [state_store] clear_on_success off.")
    return [*ways, "If a duplicate does no harm: delivery='at_least_once' sends again."]
