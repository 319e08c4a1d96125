"""``make demo``: runs the example campaign in Airflow against the sandbox, and shows the result."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local_airflow import LocalAirflow, RunResult

from airflow_provider_passnotify.sandbox.page import picture
from airflow_provider_passnotify.sandbox.server import running_sandbox

DAG_ID = "passnotify_campaign"
PICTURE = Path(__file__).resolve().parents[1] / "build" / "demo.html"
EXAMPLES = Path(__file__).resolve().parents[1] / "example_dags"


def main() -> None:
    """Run the demo. If it fails, exit with the reason and keep the log."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="passnotify-demo-"))
    log = folder / "home" / "airflow.log"
    try:
        failure = demo(folder / "home")
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        sys.exit("\nInterrupted; everything that was started is stopped.")
    except Exception as error:  # noqa: BLE001 (whatever it was, the reader gets the reason and the log)
        failure = str(error)
    if failure:
        sys.exit(f"\nThe demo failed: {failure}\nAirflow's log is kept in {log}")
    shutil.rmtree(folder)


def demo(home: Path) -> str | None:
    """Run the campaign and print the result. Return why it failed, or ``None``."""
    with running_sandbox() as sandbox:
        say(f"The sandbox listens on {sandbox.url}.")
        say(f"Airflow {version('apache-airflow')} makes its database (SQLite, in a temporary folder) ...")
        connection = {"AIRFLOW_CONN_PASSNOTIFY_DEFAULT": sandbox.connection}
        with LocalAirflow(home, dag_folders=[EXAMPLES], env=connection) as airflow:
            say(f"Airflow runs example_dags/{DAG_ID}.py ...\n")
            run = airflow.run_dag(DAG_ID)
        print_table(("task", "map index", "state", "ticketId"), task_rows(run))
        passes = sandbox.deliveries()["passes"]
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(sandbox.call(picture))
    say("\nWhat each pass received, and shows now:\n")
    print_table(("pass", "received", "shows now"), [pass_row(pass_id, passes[pass_id]) for pass_id in sorted(passes)])
    failed = sorted({task.task_id for task, result in run.tasks.items() if result.state == "failed"})
    if run.state != "success" or failed:
        errors = [line for line in run.log_text.splitlines() if line.startswith("airflow_provider_passnotify.")]
        return "\n".join([f"task {', '.join(failed)} failed and the run is {run.state}.", *errors])
    say(f"\nDone: {len(run.tasks)} tasks, all successful. The sandbox and Airflow are stopped.")
    say(f"How that looked on the phones (open it in a browser): {PICTURE.as_uri()}")
    return None


def task_rows(run: RunResult) -> list[tuple[Any, ...]]:
    """Return a row for each task instance, in the order in which they ran."""
    ordered = sorted(run.tasks, key=lambda task: (run.tasks[task].started or "9", task))
    return [
        (
            task.task_id,
            task.map_index if task.map_index >= 0 else "",
            run.tasks[task].state,
            run.xcom(task.task_id, map_index=task.map_index),
        )
        for task in ordered
    ]


def pass_row(pass_id: str, entry: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of one pass."""
    shown = entry["shows"]
    if shown is None:
        return pass_id, entry["count"], "(nothing: deleted)"
    return pass_id, entry["count"], f"{shown['label']}: {shown['value']}" if shown["label"] else shown["value"]


def print_table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print a table whose columns are as wide as their longest text."""
    lines = [header, *[tuple("" if cell is None else str(cell) for cell in row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say(text: str) -> None:
    """Print without buffering, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
