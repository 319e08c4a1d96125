"""``make airflow``: a whole Airflow with this provider, the sandbox, its page and the example DAGs, ready to click.

It runs until Ctrl-C, which stops all of it. The database, the logs and what the sandbox remembers are thrown away then.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_passnotify.sandbox.server import running_sandbox
from tests.airflow_cluster import Airflow, running_airflow

EXAMPLES = Path(__file__).resolve().parents[1] / "example_dags"
CUSTOMERS = 200
"""How many customers are in the database of the examples. Each one has a pass in the sandbox, from id 1000001."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, ``kill``, and the closing of the terminal."""
READY = """
Ready.

  Airflow {version}    {airflow}    log in as admin, password admin
  The phones       {sandbox}    the sandbox's page: what each pass received

Begin with the DAG "passnotify_first" and its Trigger button: three phones ring.
Then switch on a fault on the sandbox's page and trigger it again, to see a red task.
The connections are under Admin, Connections; their form has a Test button.
What Airflow prints is in {logs}

Ctrl-C stops all of it.
"""


def main() -> None:
    """Run until it is stopped. If Airflow does not start, exit with the reason and keep its logs."""
    for number in STOPPING:
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="passnotify-airflow-"))
    try:
        run(folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        say("All of it is stopped.")
    except AssertionError as error:
        sys.exit(f"\nAirflow stopped: {error}\nWhat its processes printed is kept in {folder}")


def run(folder: Path) -> None:
    """Start everything, print the addresses, and watch the processes."""
    say(f"Starting the sandbox and Airflow {version('apache-airflow')}. This takes about a minute ...")
    settings = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "TMPDIR": str(folder),  # where the examples leave their reports
    }
    with (
        running_sandbox(passes=CUSTOMERS) as sandbox,
        running_airflow(folder, dags_folder=EXAMPLES, env=settings) as airflow,
    ):
        add_connection(airflow, "passnotify_default", json.loads(sandbox.connection))
        add_connection(airflow, "points_db", {"conn_type": "sqlite", "host": str(make_database(folder))})
        files = len([*EXAMPLES.glob("*.py")])
        airflow.wait(lambda: len(airflow.api("GET", "/dags", limit=100)["dags"]) >= files, "the example DAGs")
        logs = folder / "logs-of-processes"
        say(READY.format(version=version("apache-airflow"), airflow=airflow.url, sandbox=sandbox.url, logs=logs))
        airflow.wait(lambda: None, "Ctrl-C", seconds=float("inf"))  # it raises when a process ends by itself


def add_connection(airflow: Airflow, conn_id: str, fields: dict[str, Any]) -> None:
    """Store a connection in Airflow's database, so that it can be seen, tested and changed in the form."""
    url = urlsplit(fields["host"])
    if url.scheme:  # the Test button of Airflow 3.3 needs the port in its own field
        fields = {**fields, "host": url.hostname, "schema": url.scheme, "port": url.port}
    airflow.api("POST", "/connections", {"connection_id": conn_id, **fields})


def make_database(folder: Path) -> Path:
    """Return a SQLite file with customers, for the examples that run a query."""
    path = folder / "points.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (pass_id INTEGER, points INTEGER, changed INTEGER)")
        rows = [(1_000_001 + number, 10 * number, number % 2) for number in range(CUSTOMERS)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    return path


def interrupt(*_: object) -> None:
    """Stop. Ignore a second Ctrl-C, so that everything is stopped."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    say("\nStopping ...")
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Print without buffering, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
