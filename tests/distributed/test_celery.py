"""Two Celery workers share the shards of a batch. One is killed, and the broker delivers running tasks again."""

from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest
from databases import UnavailableError, postgres, redis

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.airflow_cluster import COMPONENTS, Airflow, running_airflow

DAG_ID = "passnotify_shards"
WORKERS = ("worker-1", "worker-2")
SHARDS = 4
ROWS = int(os.environ.get("CELERY_ROWS", "20000"))
"""In each shard."""
FIRST_PASS = 1_000_001
VISIBILITY_SECONDS = 5
"""After this time, Redis delivers a task again if no worker has finished it."""


def worker(name: str) -> list[str]:
    return ["celery", "worker", "--concurrency", "2", "--celery-hostname", f"{name}@localhost", "--skip-serve-logs"]


def is_ready(airflow: Airflow, name: str) -> bool:
    return "ready." in airflow.output(name)


class CeleryAirflow(Airflow):
    """An Airflow with two workers."""

    components = MappingProxyType({**COMPONENTS, **{name: worker(name) for name in WORKERS}})


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(passes=SHARDS * ROWS) as running:
        running.add_fault("latency", latency=0.03)
        yield running


@pytest.fixture
def airflow(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Airflow]:
    if importlib.util.find_spec("airflow.providers.celery") is None:
        pytest.skip("apache-airflow-providers-celery is not installed (make celery installs it)")
    try:
        with redis() as broker, postgres() as (_, port):
            address = f"postgres@127.0.0.1:{port}/postgres"
            env = {
                "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": sandbox.connection,
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{address}",
                "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_SECONDS),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{address}",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            }
            components = ("api-server", "scheduler", "dag-processor")
            folder = Path(__file__).parent / "dags"
            with running_airflow(
                tmp_path, dags_folder=folder, env=env, components=components, kind=CeleryAirflow
            ) as cluster:
                for name in WORKERS:
                    cluster.start(name)
                for name in WORKERS:
                    cluster.wait(partial(is_ready, cluster, name), f"{name} to be ready")
                yield cluster
    except UnavailableError as error:
        pytest.skip(f"no broker or no database: {error}")


def write_shard(folder: Path, number: int) -> dict[str, str]:
    """Write the rows of a shard, and return the arguments of its batch."""
    path = folder / f"rows-{number}.jsonl"
    first = FIRST_PASS + number * ROWS
    path.write_text("".join(json.dumps({"pass_id": first + n, "points": n}) + "\n" for n in range(ROWS)))
    return {"notifications": str(path), "report_path": str(folder / f"report-{number}.jsonl")}


def test_a_worker_is_killed_and_nobody_gets_it_twice(airflow: Airflow, sandbox: RunningSandbox, tmp_path: Path) -> None:
    run_id = airflow.trigger(DAG_ID, conf={"shards": [write_shard(tmp_path, number) for number in range(SHARDS)]})
    sandbox.wait_for(SHARDS * ROWS // 4, method="POST", timeout=300)
    airflow.kill("worker-1")
    airflow.wait_for_run(DAG_ID, run_id, {"success", "failed"}, seconds=1800)

    lines = [json.loads(line) for path in tmp_path.glob("report-*.jsonl") for line in path.open()]
    status = {line["target"]["pass_id"]: line["status"] for line in lines}
    delivered = sandbox.counts()
    tries = [task["try_number"] for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == "send"]
    again = airflow.output("worker-2").count("already running") + airflow.output("worker-2").count("409")
    print(f"{SHARDS} x {ROWS} rows: {dict(Counter(status.values()))}, tries {sorted(tries)}, {again} lines on 409")

    assert max(tries) > 1, "nothing ran on the worker that was killed"
    assert max(delivered.values()) == 1, "somebody got it twice"
    assert len(lines) == len(status) == SHARDS * ROWS, "somebody is not in the reports exactly once"
    assert set(status.values()) <= {"sent", "unknown"}
    assert all(name in delivered for name, word in status.items() if word == "sent")
