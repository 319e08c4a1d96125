"""A PostgreSQL server for one stage. With SQLite, several tasks at once are already too much for the scheduler."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port

USER = "postgres"
PATIENCE = "600"
"""Seconds to start or stop. By itself, pg_ctl gives up after 60, which a busy machine may need."""


def has_server() -> bool:
    """Whether PostgreSQL is on this machine, and a driver for it."""
    return _programs() is not None and importlib.util.find_spec("psycopg2") is not None


@contextmanager
def a_database() -> Iterator[dict[str, str]]:
    """Yield Airflow's settings for a database that lasts as long as the block: none (SQLite) without PostgreSQL."""
    programs = _programs()
    if programs is None or not has_server():
        yield {}
        return
    with tempfile.TemporaryDirectory() as home:
        data = Path(home) / "data"
        if os.geteuid() == 0:
            shutil.chown(home, USER)
        _run([programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync"])
        pg_ctl: list[str | Path] = [programs / "pg_ctl", "-D", data, "-t", PATIENCE, "-w"]
        port = free_port()
        options = f"-h 127.0.0.1 -p {port} -k '' -F -c max_connections=300"
        _run([*pg_ctl, "-l", Path(home) / "log", "-o", options, "start"])
        try:
            address = f"{USER}@127.0.0.1:{port}/{USER}"
            yield {
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{address}",
            }
        finally:
            _run([*pg_ctl, "-m", "immediate", "stop"])


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs. On Debian they are not on the PATH."""
    found = shutil.which("initdb")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if found:
        places.insert(0, Path(found).parent)
    return next((place for place in places if (place / "initdb").exists()), None)


def _run(command: Sequence[str | Path]) -> None:
    """Run one of these programs. PostgreSQL does not run as root."""
    user = USER if os.geteuid() == 0 else None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
