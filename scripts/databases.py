"""Servers that tests need: databases and a broker. They are the machine's own, or Debian's packages in build/debian.

Neither needs root: the packages are only unpacked.

``python scripts/databases.py UV PYTHON CONSTRAINTS`` installs the drivers that tests/sql needs into an environment.
mysqlclient has no wheel, so it is built with the unpacked library. If a driver cannot be installed, this is printed,
and the tests that need it say so.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "build" / "debian"
NOBODY = 65534
"""The user for PostgreSQL if the tests run as root, because PostgreSQL does not run as root."""
PATIENCE = "600"
"""Seconds for PostgreSQL to start or stop. By itself, pg_ctl gives up after 60, which a busy machine may need."""
PORTS_TRIED = 5


class UnavailableError(Exception):
    """A server that this machine does not have and cannot get; the message says why."""


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    :raises UnavailableError: when it is neither installed nor to be had.
    """
    if (initdb := shutil.which("initdb")) and shutil.which("pg_ctl"):
        return Path(initdb).parent
    for root in (Path("/"), _unpacked("postgresql")):
        if found := sorted(root.glob("usr/lib/postgresql/*/bin/initdb")):
            return found[-1].parent
    raise UnavailableError("initdb is in none of Debian's packages")


def mariadb_root() -> Path:
    """Return the folder under which MariaDB is installed.

    :raises UnavailableError: when it is neither installed nor to be had.
    """
    for root in (
        Path("/"),
        _unpacked("mariadb-server-core", "mariadb-client-core", "libmariadb-dev", "libssl-dev", "zlib1g-dev"),
    ):
        if (root / "usr/sbin/mariadbd").exists() and (root / "usr/bin/mariadb-install-db").exists():
            return root
    raise UnavailableError("mariadbd is in none of Debian's packages")


@contextmanager
def postgres(*options: str) -> Iterator[tuple[Path, int]]:
    """Run a new PostgreSQL server, and yield the folder of its socket and its port. Its user is ``postgres``.

    :param options: more options for ``initdb``.
    """
    programs = postgres_programs()
    with _folder() as folder:
        data = folder / "data"
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
        _run([*become, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", *options])
        pg_ctl: list[str | Path] = [*become, programs / "pg_ctl", "-D", data, "-t", PATIENCE, "-w"]

        def start(port: int) -> None:
            settings = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
            _run([*pg_ctl, "-o", settings, "-l", folder / "log", "start"])

        port = _on_a_free_port(start, folder / "log")
        try:
            yield folder, port
        finally:
            _run([*pg_ctl, "-m", "immediate", "stop"])


@contextmanager
def mariadb() -> Iterator[Path]:
    """Run a new MariaDB server, and yield the path of its Unix socket. Its user is ``root``, without a password."""
    root = mariadb_root()
    with _folder() as folder:
        data, where_to_listen, log = folder / "data", folder / "socket", folder / "log"
        libraries = {"LD_LIBRARY_PATH": str(_libraries(root))}
        where = ["--no-defaults", f"--basedir={root / 'usr'}", f"--datadir={data}"]
        where += ["--user=root"] if os.geteuid() == 0 else []
        install = ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
        _run([root / "usr/bin/mariadb-install-db", *where, *install], libraries)
        command = [
            root / "usr/sbin/mariadbd",
            *where,
            f"--socket={where_to_listen}",
            "--skip-networking",
            f"--pid-file={folder / 'pid'}",
        ]
        with log.open("wb") as output:
            server = subprocess.Popen(
                list(map(str, command)), env={**os.environ, **libraries}, stdout=output, stderr=output
            )
        try:
            _wait(lambda: "ready for connections" in log.read_text(errors="replace"), server, log)
            yield where_to_listen
        finally:
            server.kill()
            server.wait()


@contextmanager
def redis() -> Iterator[int]:
    """Run a new Redis server, and yield its port.

    :raises UnavailableError: when it is neither installed nor to be had.
    """
    program = shutil.which("redis-server")
    root = Path("/") if program else _unpacked("redis-server")
    with _folder() as folder:
        log = folder / "log"
        libraries = ":".join(map(str, [*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")]))
        where = ["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", log]
        servers = []

        def start(port: int) -> None:
            server = subprocess.Popen(
                list(map(str, [program or root / "usr/bin/redis-server", "--port", port, *where])),
                env={**os.environ, **({} if program else {"LD_LIBRARY_PATH": libraries})},
            )
            servers.append(server)
            _wait(lambda: log.exists() and "Ready to accept" in log.read_text(), server, log)

        try:
            yield _on_a_free_port(start, log)
        finally:
            for server in servers:
                server.kill()
                server.wait()


def install_drivers(uv: str, python: str, constraints: str) -> None:
    """Install what tests/sql needs in addition to the extra ``dev``, and print what cannot be installed."""
    install = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", constraints]
    _try([*install, "--editable", ".[dev-sql]"], "duckdb, mysql-connector-python and psycopg")
    try:
        root = mariadb_root()
    except UnavailableError as error:
        print(f"NOT TESTED: MariaDB: {error}")
        return
    include, libraries = root / "usr/include/mariadb", _libraries(root)
    flags = {
        "MYSQLCLIENT_CFLAGS": f"-I{include} -I{include / 'mysql'}",
        "MYSQLCLIENT_LDFLAGS": f"-L{libraries} -lmariadb -Wl,-rpath,{libraries}",
    }
    _try([*install, "--editable", ".[dev-mysql]"], "mysqlclient", flags)


def _try(command: list[str], what: str, more: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env={**os.environ, **(more or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"NOT TESTED: {what} cannot be installed: {done.stderr.strip()[-500:]}")


def _unpacked(*packages: str) -> Path:
    """Unpack Debian packages, and the packages that they need, and return the folder.

    :raises UnavailableError: if this is no Debian, or its packages cannot be downloaded.
    """
    done = ROOT / f".{'-'.join(packages)}"
    if done.exists():
        return ROOT
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise UnavailableError("it is not installed, and this is no Debian whose packages could be unpacked")
    simulate = ["apt-get", "install", "--simulate", "--no-install-recommends", "-o", "Debug::NoLocking=1", *packages]
    try:
        plan = _run(simulate)
        needed = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
        ROOT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            if needed:
                _run(["apt-get", "download", "-o", "Acquire::Retries=3", *needed], where=Path(folder))
            for package in sorted(Path(folder).glob("*.deb")):
                _run(["dpkg-deb", "--extract", package, ROOT])
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"it is not installed, and {error.cmd[0]} says: {error.stderr.strip()[-300:]}") from None
    done.touch()
    return ROOT


def _libraries(root: Path) -> Path:
    found = next(root.glob("usr/lib/*/libmariadb.so.3"), None)
    return found.parent if found else root / "usr/lib"


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="passnotify-sql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY, NOBODY)
        yield folder


def _on_a_free_port(start: Callable[[int], None], log: Path) -> int:
    """Start a server on a free port, and return the port. If another program takes it in between, take another one."""
    for _ in range(PORTS_TRIED):
        port = _free_port()
        try:
            start(port)
        except (subprocess.CalledProcessError, RuntimeError):
            if not log.exists() or "Address already in use" not in log.read_text(errors="replace"):
                raise
            log.unlink()
        else:
            return port
    raise RuntimeError(f"no port stayed free, {PORTS_TRIED} times")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _run(command: Sequence[str | Path], more: dict[str, str] | None = None, where: Path | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **(more or {})},
        cwd=where or "/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _wait(condition: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    while not condition():
        if server.poll() is not None:
            told = log.read_text(errors="replace") if log.exists() else ""
            raise RuntimeError(f"the server ended:\n{told[-2000:]}")
        time.sleep(0.05)


if __name__ == "__main__":
    install_drivers(*sys.argv[1:])
