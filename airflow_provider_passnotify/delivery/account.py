"""Whether a try may send although it cannot know everything that earlier tries did."""

from __future__ import annotations

import logging

from airflow_provider_passnotify.delivery.journal import Delivery
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import Begin
from airflow_provider_passnotify.exceptions import SendRefusedError

log = logging.getLogger(__name__)

SINGLE = (
    "Check whether it arrived, and then mark the task as success, or clear it with on_clear='resend'. For the next "
    "time: journal_path keeps the records on every Airflow version; where Airflow 3.4 asks when you clear, keep the "
    "task state; delivery='at_least_once' sends again."
)
BATCH = (
    "Send the rows that the report does not name as sent or unknown in a run of their own; or clear the task with "
    "on_clear='resend', which sends all of them again. For the next time: journal_path keeps the records on every "
    "Airflow version; where Airflow 3.4 asks when you clear, keep the task state; delivery='at_least_once' sends again."
)


def check_accounted(
    tasks: TaskStore,
    counts_from: int | None,
    newest: Begin | None,
    *,
    resume: bool,
    delivery: Delivery,
    what: str,
    ways: str,
    whole: bool = True,
    while_running: bool = False,
) -> int:
    """Return the oldest try whose records count, if this try may send.

    :param counts_from: as far as earlier tries have decided it.
    :param newest: what the newest earlier try wrote down.
    :param whole: whether what earlier tries wrote is there as a whole, as far as it shows.
    :param while_running: whether the clear that discarded the others came while an earlier try ran.
    :param resume: whether a clear goes on where the journal stands.
    :param what: is to be sent, for errors.
    :param ways: what the user can do, for errors.
    :raises SendRefusedError: when nobody can know what earlier tries sent, and no person has surely ordered to send.
        Nothing must be written then: a later try would take it for a record.
    """
    last = newest.try_number if newest else None
    why = tasks.why_unaccounted(counts_from or 1, last) if whole else "some of their records were discarded"
    if why is None:
        return counts_from or 1
    number = tasks.try_number
    if delivery is Delivery.AT_LEAST_ONCE:
        log.warning("%s: sending, which may be a duplicate (delivery='at_least_once'): %s.", what, why)
        return counts_from or 1
    # A clear since an older try may have been before the one that nobody knows of.
    cleared = tasks.this_try.surely_cleared(newest if last == number - 1 else None)
    if cleared and not resume and not while_running:
        log.warning(
            "%s: the task was cleared, so it is sent. What earlier tries sent is not known (%s); should one of them be "
            "sending at this moment, that is not noticed.",
            what,
            why,
        )
        return number if counts_from is None else counts_from
    how = "the task was cleared with on_clear='resume'" if cleared else "this may be a retry"
    if while_running:
        how = "the task was cleared while it ran"
    raise SendRefusedError(
        f"{what}: nothing is sent. This is try {number}, {how}, and nothing tells what earlier tries sent: {why}. "
        f"What you can do: {ways}"
    )
