"""A simulated object storage, as fsspec has it: exact keys are true at once, listings are old, writes go wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.simulation.process import Fates, Operation, Process

TORN = b'{"state": "se'


class Objects:
    """What is in the storage; ``late`` holds writes that are still on their way."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.late: list[tuple[str, Callable[[], None]]] = []


class FileSystem:
    """One process's view, given to the real ``ObjectFiles``.

    :param objects: of the host, or of all.
    """

    def __init__(self, objects: Objects, process: Process) -> None:
        self._objects, self._process = objects, process
        self._listing: set[str] | None = None

    @property
    def root(self) -> Any:
        """Return what ``ObjectFiles`` takes."""
        return SimpleNamespace(fs=self, path="journal")

    def invalidate_cache(self) -> None:
        """Forget nothing: a listing that a process has seen stays what it was, as some storages have it."""

    def ls(self, path: str, detail: bool = False) -> list[str]:
        """Return what was there when this process looked first."""
        if self._listing is None:
            self._listing = set(self._objects.data)
        assert not detail
        return sorted(name for name in self._listing if name.startswith(path))

    def exists(self, path: str) -> bool:
        """Return what the listing says."""
        return path in self.ls("")

    def cat_file(self, path: str) -> bytes:
        """Read an exact key."""

        def read() -> bytes:
            if path not in self._objects.data:
                raise FileNotFoundError(path)
            return self._objects.data[path]

        def fail() -> bytes:
            raise OSError("the storage does not answer")

        fates: Fates = {"": (1.0, read), "fails": (0.01, fail)}
        data: bytes = self._process.do(Operation(f"read {path}", fates))
        return data

    def pipe_file(self, path: str, data: bytes) -> None:
        """Write an exact key."""

        def put() -> None:
            self._objects.data[path] = data
            self._process.world.remember(self._process, path)

        def fail() -> None:
            raise OSError("the storage does not answer")

        def put_and_fail() -> None:
            put()
            fail()

        def come_late() -> None:
            self._objects.late.append((path, put))
            fail()

        def tear() -> None:
            self._objects.data[path] = TORN
            fail()

        def tear_and_die() -> None:
            self._objects.data[path] = TORN
            self._process.world.kill(self._process)

        fates: Fates = {
            "": (1.0, put),
            "lost": (0.02, fail),
            "no answer": (0.02, put_and_fail),
            "late": (0.02, come_late),
            "torn": (0.01, tear),
            "torn, killed": (0.01, tear_and_die),
        }
        self._process.do(Operation(f"write {path}", fates))
