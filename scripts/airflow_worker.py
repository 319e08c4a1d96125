"""The process that runs DAGs for ``local_airflow.py``: the one place that knows how the Airflow versions differ.

Reads one JSON question per line from its input and writes one JSON answer per line to the file descriptor it is given;
everything that Airflow logs goes to its output.
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

# As in pytest's settings: a warning that our own code causes fails the task.
warnings.filterwarnings("error", module=r"airflow_provider_passnotify|example_dags")

try:
    from airflow.dag_processing.dagbag import DagBag  # 3.2 and later
except ImportError:
    from airflow.models.dagbag import DagBag

try:
    from airflow.sdk.execution_time import supervisor  # Airflow 3
except ImportError:
    pass
else:
    # Before 3.3 Airflow builds its API server in the process anew for every task, at 2 s each; one serves them all.
    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def answer(question: dict, dags_folder: str) -> dict:
    """Carry out what was asked for."""
    if "parse" in question:
        return {"errors": DagBag(question["parse"]).import_errors}
    bag = DagBag(dags_folder)
    dag = bag.dags.get(question["run"])
    if dag is None:
        return {"dags": sorted(bag.dags), "errors": bag.import_errors}
    before = dict(os.environ)
    os.environ.update(question["env"])
    try:
        return {"run_id": dag.test(run_conf=question["conf"]).run_id}
    finally:
        os.environ.clear()
        os.environ.update(before)


def questions() -> Iterator[dict]:
    """Yield what is asked; end this process as soon as nobody can ask any more, be it in the middle of a run."""
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(asked.get())


def main() -> None:
    """Answer for ever."""
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for question in questions():
            print(json.dumps(answer(question, sys.argv[2])), file=answers, flush=True)


if __name__ == "__main__":
    main()
