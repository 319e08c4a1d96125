"""Lets one alert per key and period be sent, even if many processes want to send it at the same moment.

Time is divided into windows of the length that the user gave. The windows begin at the same moments on all machines.
For each key and window there is one file or object. The process that *creates* it may send, and the store lets only one
process create it. With windows alone, one alert could be sent at the end of a window, and another one at the start of
the next. So the object of the window before is read, too. It says when its alert was sent. If there is none, it is
created with the note that the window is closed. So a process that is slow, or whose clock is slow, cannot create it
later. That process goes on with the next window.

An alert that certainly was not sent removes its object, so that the next one may be sent.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pendulum

from airflow_provider_passnotify.delivery.folder import LocalFiles, ObjectFiles
from airflow_provider_passnotify.delivery.storage import LOCAL_PROTOCOLS, storage_path
from airflow_provider_passnotify.exceptions import JournalError

FOLDER = "notifier"
MAX_STEPS = 10
"""So often a claim is tried where others claim, close or give back at the same moment. Then it counts as taken."""


class Objects(Protocol):
    """What a store must provide."""

    def create(self, name: str, data: bytes) -> bool:
        """Create an object. Return ``False`` if it already exists."""

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, or ``None`` if there is none."""

    def remove(self, name: str) -> None:
        """Remove an object."""


class AlertLimit:
    """Decides whether one alert may be sent now.

    :param journal_path: the folder: a local path, or a URL that Airflow's object storage understands.
    :param key: the user's ``dedupe_key`` and the target. Alerts that count as the same have the same key.
    :param every: the length of a window, in seconds.
    """

    def __init__(self, journal_path: str, key: tuple[str, str], every: float) -> None:
        self._path = journal_path
        self.every = every
        digest = hashlib.blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        readable = quote(key[0], safe="", errors="surrogatepass")[:60]
        self._folder = f"{FOLDER}/{readable}-{digest}/every-{every:g}s"
        self._objects: Objects | None = None
        self._claimed = ""

    def claim(self, about: Mapping[str, Any]) -> pendulum.DateTime | None:
        """Claim the right to send now.

        :param about: what else is written into the object, for people who read it.
        :return: ``None`` if this process has the right now. Otherwise the moment when another one claimed it, or
            the latest that it can be if the claim of the other one cannot be read.
        :raises JournalError: if the store cannot be used, or cannot tell who was first.
        """
        try:
            return self._claim(about)
        except JournalError:
            raise
        except Exception as error:  # any error of the store
            raise JournalError(
                f"journal_path {self._path!r} cannot be used, so nobody knows whether another alert was sent: "
                f"{type(error).__name__}: {error}"
            ) from error

    def release(self) -> None:
        """Give the right back. Call it only if the alert certainly was not sent.

        :raises Exception: any error of the store.
        """
        if self._objects is not None and self._claimed:
            self._objects.remove(self._claimed)
            self._claimed = ""

    def _claim(self, about: Mapping[str, Any]) -> pendulum.DateTime | None:
        objects = self._objects = _objects(self._path)
        for _ in range(MAX_STEPS):
            now = pendulum.now("UTC")
            taken = self._claim_at(objects, now, about)
            if taken is not None or (pendulum.now("UTC") - now).total_seconds() < self.every:
                return taken
            self.release()  # this took so long that others may have sent in a later window, and not looked at this one
        return now

    def _claim_at(self, objects: Objects, now: pendulum.DateTime, about: Mapping[str, Any]) -> pendulum.DateTime | None:
        window = int(now.timestamp() // self.every)
        before = self._close(objects, window - 1, now)
        if before is not None and (now - before).total_seconds() < self.every:
            return before
        for _ in range(MAX_STEPS):
            name = self._name(window)
            data = json.dumps({"at": now.isoformat(), **about, "nonce": uuid.uuid4().hex}).encode()
            if objects.create(name, data):
                if objects.create(name, data):  # some servers ignore the condition
                    raise _unsuitable(self._path, "it takes an object that exists already for a new one")
                self._claimed = name
                return None
            found = objects.read(name)
            if found == data:  # an answer was lost, and the client of the store tried again
                self._claimed = name
                return None
            if (closed := _time_in(found, "closed_at")) is not None:
                now, window = max(now, closed), window + 1
            elif found is not None:  # (else it was given back at this moment)
                return _time_in(found, "at") or now  # without a time: it is being written at this moment
        return now

    def _close(self, objects: Objects, window: int, now: pendulum.DateTime) -> pendulum.DateTime | None:
        """Make sure that no process can claim a window any more. Return when one claimed it, or ``None``."""
        name = self._name(window)
        for _ in range(MAX_STEPS):
            if (found := objects.read(name)) is not None:
                break
            if objects.create(name, json.dumps({"closed_at": now.isoformat()}).encode()):
                return None
        if _time_in(found, "closed_at") is not None:
            return None
        return _time_in(found, "at") or self._start(window + 1)  # it is being written: maybe at the last moment

    def _start(self, window: int) -> pendulum.DateTime:
        return pendulum.from_timestamp(window * self.every)

    def _name(self, window: int) -> str:
        return f"{self._folder}/{self._start(window).format('YYYY-MM-DDTHH-mm-ss')}.json"


def _time_in(data: bytes | None, key: str) -> pendulum.DateTime | None:
    try:
        at = pendulum.parse(json.loads(data or b"")[key])
    except (ValueError, KeyError, TypeError):
        return None
    return at if isinstance(at, pendulum.DateTime) else None


def _unsuitable(path: str, why: str) -> JournalError:
    return JournalError(
        f"at_most_every cannot be kept with journal_path {path!r}: the store cannot tell who was first, as {why}. Use "
        "a local folder that all workers share, S3 or Google Cloud Storage."
    )


class _LocalFiles(LocalFiles):
    def create(self, name: str, data: bytes) -> bool:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        except BaseException:
            path.unlink(missing_ok=True)  # a half-written file would stop the others
            raise
        return True

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


class _StoredObjects(ObjectFiles):
    def create(self, name: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(f"{self._root}/{name}", data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        self._fs.rm_file(f"{self._root}/{name}")


def _objects(journal_path: str) -> Objects:
    root = storage_path(journal_path)
    if root.protocol in LOCAL_PROTOCOLS:
        return _LocalFiles(Path(root.path))
    if not _creates_exclusively(type(root.fs)):
        raise _unsuitable(journal_path, f"{type(root.fs).__name__} has no way to create an object exclusively")
    return _StoredObjects(root)


def _creates_exclusively(file_system: type) -> bool:
    """Whether a file system has its own exclusive way to create. fsspec's default looks first, and then writes."""
    for name in ("_pipe_file", "pipe_file"):
        method = getattr(file_system, name, None)
        if method is not None and method.__module__ not in ("fsspec.spec", "fsspec.asyn"):
            return "mode" in inspect.signature(method).parameters
    return False
