"""One alert in a period of time, from any number of processes and threads."""

from __future__ import annotations

import json
import multiprocessing
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pendulum
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from airflow_provider_passnotify.delivery.at_most_every import AlertLimit
from airflow_provider_passnotify.exceptions import JournalError
from tests.stores import attach

HOUR = 3600.0
NOON = pendulum.datetime(2026, 3, 1, 12)


def stored(file_system: type[AbstractFileSystem]) -> str:
    """Return a new folder in an object store."""
    fsspec.register_implementation(file_system.protocol, file_system, clobber=True)
    attach(file_system.protocol, fs=file_system())
    return f"{file_system.protocol}://{uuid.uuid4().hex}"


@pytest.fixture(params=["local", "store"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A local folder, and one in an object store."""
    return str(tmp_path / "journal") if request.param == "local" else stored(MemoryFileSystem)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[pendulum.DateTime], None]:
    """Sets the clock."""

    def set_clock(moment: pendulum.DateTime) -> None:
        monkeypatch.setattr(pendulum, "now", lambda _zone: moment)

    return set_clock


def claim(path: str, key: tuple[str, str] = ("key", "/pass/1/notify"), every: float = HOUR) -> pendulum.DateTime | None:
    return AlertLimit(path, key, every).claim({"dag_id": "d"})


def test_the_second_one_is_told_when_the_first_was(path: str, at: Callable[..., None]) -> None:
    at(NOON.add(minutes=5))
    assert claim(path) is None
    at(NOON.add(minutes=9))
    assert claim(path) == NOON.add(minutes=5)


def test_another_key_or_target_is_another_alert(path: str, at: Callable[..., None]) -> None:
    at(NOON)
    keys = [
        ("key", "/pass/1/notify"),
        ("other", "/pass/1/notify"),
        ("key", "/pass/2/notify"),
        ("../..", "/x"),
        ("", ""),
    ]
    assert [claim(path, key) for key in keys] == [None] * len(keys)
    assert claim(path, every=60) is None
    assert None not in [claim(path, key) for key in keys]


@pytest.mark.parametrize(
    ("minutes", "sent"),
    [([59, 60], 1), ([59, 61, 118], 1), ([59, 119], 2), ([0, 59, 60], 2), ([59, 119, 120, 179], 3), ([1, 300], 2)],
)
def test_the_edge_of_a_window_lets_no_second_one_out(
    path: str, at: Callable[..., None], minutes: list[int], sent: int
) -> None:
    found = []
    for minute in minutes:
        at(NOON.add(minutes=minute))
        found.append(claim(path))
    assert found.count(None) == sent


@pytest.mark.parametrize(("early", "late"), [(59, 60), (119, 120), (59, 150), (0, 300)])
def test_a_process_that_is_slow_at_the_edge_of_a_window(
    path: str, monkeypatch: pytest.MonkeyPatch, early: int, late: int
) -> None:
    """It reads the clock. Before it does anything more, another one sends in a later window."""
    others: list[pendulum.DateTime | None] = []

    def read_clock(_zone: str) -> pendulum.DateTime:
        if others:
            return NOON.add(minutes=late)
        others.append(NOON)
        others[0] = claim(path)
        return NOON.add(minutes=early)

    monkeypatch.setattr(pendulum, "now", read_clock)
    assert claim(path) == NOON.add(minutes=late)
    assert others == [None]


def test_a_clock_that_is_fast(path: str, at: Callable[..., None]) -> None:
    found = []
    for minute in (60, 59, 60, 119, 120, 121):  # as two machines read them, one a minute ahead
        at(NOON.add(minutes=minute))
        found.append(claim(path))
    assert [one is None for one in found] == [True, False, False, False, True, False]


def test_an_edge_that_was_crossed_early_loses_no_alert(path: str, at: Callable[..., None]) -> None:
    """The one that crossed it did not send, so one whose clock is behind it may."""
    at(NOON.add(minutes=60))
    early = AlertLimit(path, ("key", "/pass/1/notify"), HOUR)
    assert early.claim({}) is None
    early.release()
    at(NOON.add(minutes=59))
    assert claim(path) is None
    at(NOON.add(minutes=118))
    assert claim(path) == NOON.add(minutes=60)


def test_what_was_not_sent_does_not_count(path: str) -> None:
    limit = AlertLimit(path, ("key", "target"), HOUR)
    assert limit.claim({}) is None
    limit.release()
    limit.release()
    assert AlertLimit(path, ("key", "target"), HOUR).claim({}) is None


def test_who_claimed_nothing_releases_nothing(path: str) -> None:
    assert claim(path) is None
    second = AlertLimit(path, ("key", "/pass/1/notify"), HOUR)
    assert second.claim({}) is not None
    second.release()
    assert claim(path) is not None


def test_a_file_that_is_being_written_counts(tmp_path: Path, at: Callable[..., None]) -> None:
    at(NOON)
    assert claim(str(tmp_path)) is None
    closed, file = sorted(tmp_path.rglob("*.json"))
    assert json.loads(closed.read_text()) == {"closed_at": NOON.isoformat()}
    found = json.loads(file.read_text())
    assert found.pop("nonce")
    assert found == {"at": NOON.isoformat(), "dag_id": "d"}
    file.write_bytes(b"")
    assert claim(str(tmp_path)) == NOON
    at(NOON.add(minutes=61))
    assert claim(str(tmp_path)) is not None
    at(NOON.add(minutes=121))
    assert claim(str(tmp_path)) is None


_BARRIER: Any = None


def _claim_in_a_process(arguments: tuple[str, Any]) -> int:
    path, barrier = arguments[0], _BARRIER
    barrier.wait()
    with ThreadPoolExecutor(25) as threads:
        return sum(result is None for result in threads.map(lambda _: claim(path, every=86400.0 * 365), range(25)))


def _keep(barrier: Any) -> None:
    global _BARRIER
    _BARRIER = barrier


def test_of_a_thousand_in_processes_and_threads_one_sends(tmp_path: Path) -> None:
    processes = 8
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, _keep, (context.Barrier(processes),)) as pool:
        for round_number in range(5):
            folder = str(tmp_path / str(round_number))
            assert sum(pool.map(_claim_in_a_process, [(folder, None)] * processes, chunksize=1)) == 1


def test_of_many_threads_one_creates_an_object() -> None:
    path = stored(MemoryFileSystem)
    barrier, found = threading.Barrier(20), []

    def run() -> None:
        barrier.wait()
        found.append(claim(path, every=86400.0 * 365))

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(None) == 1


class Overwriting(MemoryFileSystem):
    """A server that ignores the condition of a request."""

    protocol = "overwriting"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:  # noqa: ARG002
        super().pipe_file(path, value, mode="overwrite", **kwargs)


class LooksFirst(MemoryFileSystem):
    """A file system with nothing but fsspec's default."""

    protocol = "looksfirst"
    pipe_file = AbstractFileSystem.pipe_file


class TakesNoMode(MemoryFileSystem):
    """An older file system, in which this was not possible."""

    protocol = "takesnomode"

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        kwargs.pop("mode", None)
        super().pipe_file(path, value, **kwargs)


@pytest.mark.parametrize("file_system", [Overwriting, LooksFirst, TakesNoMode])
def test_a_store_that_cannot_tell_who_was_first_is_refused(file_system: type[AbstractFileSystem]) -> None:
    with pytest.raises(JournalError, match="cannot tell who was first"):
        claim(stored(file_system))


def test_a_store_that_is_not_there_is_named() -> None:
    with pytest.raises(JournalError, match="journal_path '/proc/nowhere' cannot be used"):
        claim("/proc/nowhere")
    with pytest.raises(JournalError, match="journal_path 'nosuch://x' cannot be used"):
        claim("nosuch://x")
