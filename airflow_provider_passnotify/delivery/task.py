"""Which try of which task this is, and what Airflow says about clears.

Everything here is about the *running task*. If an operator is called inside a ``@task``, this is the task around it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

log = logging.getLogger(__name__)


class Begin(NamedTuple):
    """What a try found when it began, and which records it decided to count.

    :param try_number: the number of that try.
    :param max_tries: of the task instance. A clear may change it, a retry does not.
    :param clear_number: how often tasks of the run were cleared, as Airflow counts: this task or any other.
    :param counts_from: the number of the oldest try whose records count.
    """

    try_number: int
    max_tries: int
    clear_number: int
    counts_from: int


@dataclass(frozen=True)
class TaskTry:
    """One try of one task instance.

    :param try_number: from 1.
    :param max_tries: of the task instance.
    :param retries: of the task, as the DAG file says now.
    :param clear_number: how often tasks of the run were cleared. Airflow 2.11 to 3.1 count only clears of a finished
        run.
    :param max_tries_before: ``max_tries`` in the try before this one, if Airflow has kept it (2.11).
    :param iteration: of the loop that the task is in (3.4). The task instances of all iterations have the same names.
    """

    try_number: int
    max_tries: int
    retries: int = 0
    clear_number: int = 0
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    max_tries_before: int | None = None
    iteration: int | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any], retries: int | None = None) -> TaskTry:
        """Return the try that is running.

        :param context: Airflow's context.
        :param retries: used if the context has no task, as in unit tests.
        """
        ti, task = context.get("ti"), context.get("task")
        try_number = max(1, getattr(ti, "try_number", 1) or 1)
        return cls(
            try_number=try_number,
            max_tries=getattr(ti, "max_tries", 0) or 0,
            retries=getattr(task, "retries", retries) or 0,
            clear_number=getattr(context.get("dag_run"), "clear_number", 0) or 0,
            dag_id=getattr(ti, "dag_id", ""),
            run_id=getattr(ti, "run_id", ""),
            task_id=getattr(ti, "task_id", ""),
            map_index=-1 if (index := getattr(ti, "map_index", None)) is None else index,
            max_tries_before=_max_tries_before(ti) if try_number > 1 else None,
            iteration=getattr(context.get("loop"), "index", None),
        )

    def surely_cleared(self, newest: Begin | None) -> bool:
        """Whether it is certain that a clear, and not a retry, led to this try.

        :param newest: what the newest earlier try wrote when it began. ``None`` if there are no records.
        """
        if newest is not None:
            return self.was_cleared_since(newest)
        if self.max_tries_before is not None:  # a clear with edited retries may leave it equal: then nothing is certain
            return self.max_tries != self.max_tries_before
        # A clear sets max_tries to the number of tries so far plus retries. That alone proves nothing: if retries were
        # edited between two tries, the numbers can be the same.
        return self.max_tries - self.retries == self.try_number - 1 and self.clear_number > 0

    @property
    def may_have_been_cleared(self) -> bool:
        """Whether the task may have been cleared before this try, according to Airflow's numbers.

        A clear through the REST API with ``reset_dag_runs: false`` raises only ``max_tries``.
        """
        return self.clear_number > 0 or self.max_tries != self.retries

    def was_cleared_since(self, earlier: Begin) -> bool:
        """Whether the task was cleared after an earlier try.

        A clear of another task of the run raises ``clear_number``, too. But a clear of this task, after the earlier
        try, also sets ``max_tries`` to the number of tries at that time plus ``retries``. (If ``retries`` were lowered
        *and* another task was cleared, both since the earlier try, this looks the same.)
        """
        if self.max_tries != earlier.max_tries:
            return True
        return self.clear_number > earlier.clear_number and self.max_tries - self.retries >= earlier.try_number


def decide_counts_from(this_try: TaskTry, newest: Begin, *, ended: bool, resume: bool) -> int:
    """Return the oldest try whose records count.

    :param newest: what the newest earlier try decided.
    :param ended: whether that try, or a later one, has recorded that it ended.
    :param resume: whether the task goes on from the journal after a clear.
    """
    # A try that has not ended may still be running. So what it wrote counts even after a clear.
    starts_afresh = ended and not resume and this_try.was_cleared_since(newest)
    return this_try.try_number if starts_afresh else newest.counts_from


def is_being_cleared(ti: Any) -> bool:
    """Ask Airflow whether the task instance was cleared while its process is running. ``False`` if it cannot be asked.

    :raises Exception: any error of Airflow's API.
    """
    if not hasattr(ti, "get_task_states"):
        return False
    states = ti.get_task_states(ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    return "restarting" in {str(getattr(state, "value", state)) for state in states.get(ti.run_id, {}).values()}


def _max_tries_before(ti: Any) -> int | None:
    """Return ``max_tries`` of the try before this one. Airflow 2 keeps it in a table that a task may read."""
    if ti is None or hasattr(ti, "get_task_states"):  # Airflow 3: a task cannot read the database
        return None
    try:
        from airflow.models.taskinstancehistory import TaskInstanceHistory
        from airflow.utils.session import create_session
    except ImportError:
        return None
    columns = {name: getattr(ti, name, None) for name in ("dag_id", "run_id", "task_id", "map_index")}
    if None in columns.values():
        return None
    try:
        with create_session() as session:
            query = session.query(TaskInstanceHistory.max_tries)
            found: int | None = query.filter_by(**columns, try_number=ti.try_number - 1).scalar()
            return found
    except Exception as error:  # noqa: BLE001 (without it, fewer clears are recognized, and nothing is sent then)
        log.debug("Airflow's history of the task cannot be read: %s", error)
        return None
