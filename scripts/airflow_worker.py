"""The process that runs DAGs for ``local_airflow.py``. Only this file knows how the Airflow versions differ.

It reads JSON requests from its input, one on each line. It writes the JSON answers to the file descriptor that it is
given. Everything that Airflow logs goes to its output.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.utils.session import create_session

try:
    from airflow.dag_processing.dagbag import DagBag  # 3.2 and later
except ImportError:
    from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

try:
    from airflow.models.xcom import XComModel  # Airflow 3
except ImportError:
    from airflow.models.xcom import BaseXCom as XComModel  # type: ignore[no-redef]

try:
    from airflow.sdk.execution_time import supervisor  # Airflow 3
except ImportError:
    pass
else:
    # Before 3.3, Airflow makes an in-process API server for every task, which takes 2 s. One is enough for all.
    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)

# As in pytest's settings: if our own code causes a warning, the task fails.
warnings.filterwarnings("error", module=r"airflow_provider_passnotify|example_dags")


def answer(question: dict[str, Any], dags_folder: str) -> dict[str, Any]:
    """Carry out one request."""
    if "parse" in question:
        return {"errors": DagBag(question["parse"]).import_errors}
    bag = DagBag(dags_folder)
    dag = bag.dags.get(question["run"])
    if dag is None:
        return {"dags": sorted(bag.dags), "errors": bag.import_errors}
    before = dict(os.environ)
    os.environ.update(question["env"])
    try:
        options: dict[str, Any] = {"logical_date": None} if question["dateless"] else {}
        return read_run(dag.dag_id, dag.test(run_conf=question["conf"], **options).run_id)
    finally:
        os.environ.clear()
        os.environ.update(before)


def read_run(dag_id: str, run_id: str) -> dict[str, Any]:
    """Return the results of a run. They are read by Airflow's own models, because its tables differ by version."""
    with create_session() as session:
        (run,) = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
        return {
            "run_id": run_id,
            "state": run.state,
            "tasks": [read_task(ti, session) for ti in run.get_task_instances(session=session)],
        }


def read_task(ti: Any, session: Any) -> dict[str, Any]:
    """Return how a task instance ended, and what it pushed."""
    found = XComModel.get_many(dag_ids=ti.dag_id, run_id=ti.run_id, task_ids=ti.task_id, map_indexes=ti.map_index)
    xcoms = session.scalars(getattr(found, "statement", found))  # before 3.1 a query, which has a statement
    return {
        "key": [ti.task_id, ti.map_index],
        "result": {
            "state": ti.state,
            "try_number": ti.try_number,
            "max_tries": ti.max_tries,
            "started": ti.start_date and ti.start_date.isoformat(),
            "rendered_fields": RenderedTaskInstanceFields.get_templated_fields(ti, session=session) or {},
        },
        "xcoms": {xcom.key: xcom.value for xcom in xcoms},
    }


def questions() -> Iterator[dict[str, Any]]:
    """Yield the requests. End this process as soon as the input is closed, even in the middle of a run."""
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(asked.get())


def main() -> None:
    """Answer requests until the input is closed."""
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for question in questions():
            print(json.dumps(answer(question, sys.argv[2])), file=answers, flush=True)


if __name__ == "__main__":
    main()
