"""A journal in a folder of the user's: the records of one task instance as files or objects, and the fence around them.

Airflow's own store refuses the writes of a process that is no longer the task's. A folder refuses nobody, so the
processes have to watch each other:

* A try first writes its *start* (who it is), then marks every earlier try as *superseded*, and only then reads records.
* Before it sends, a process writes its intent and **then** looks: was its try superseded, and is the start of its try
  still its own? If not, it does not send.

Why that is enough. Take an old process and a new one, of a later try or of the same. The old one wrote its intent
before it looked, the new one wrote its mark before it read. So either the old one sees the mark and does not send, or
it looked before the mark was there, and then its intent was there before the new one read: the new one finds an intent
without outcome, and under at-most-once does not send. (One case is left: a process that is frozen between its look and
its POST, and goes on after a later try has failed for this intent and a person has cleared the task to send again.)

A process that was refused, or that could not look, **writes nothing more**. A well-meant "not sent" would stand where
the other process's intent stands, and let a third one send.

What is asked of a store: whoever reads a key after it was written gets what was written, also if the key was just found
missing. S3, GCS, Azure and a local disk give that. NFS remembers for a while that a file is missing, so it does not.
Folders are never listed, as a listing may be old. A record is whole or absent: see :class:`LocalFiles` and
:class:`ObjectFiles`. Nothing is deleted here.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import pendulum

from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import SupersededError, explain

UNREADABLE: Final = object()
"""The value of a record that is there and cannot be read."""
MAX_SEGMENT = 100
LOCAL_PROTOCOLS = ("", "file", "local")
_WRITES_NOTHING = "The records are in {}. This process writes nothing more there."


class Files(Protocol):
    """Files by name, below one folder; names may hold slashes."""

    def read(self, name: str) -> bytes | None:
        """Return what the file holds now, or ``None`` if there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write the file whole, or raise and leave what was there."""


class LocalFiles:
    """Files on a local disk, that outlive a crash of the machine once they are written.

    :param root: the folder; it is made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Return what the file holds, or ``None``."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside it, and put that in its place."""
        target = self._root / name
        _make_folder(target.parent)
        new = target.with_name(f".{target.name}.{uuid.uuid4().hex}.new")
        try:
            with new.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


class ObjectFiles:
    """Objects in a store that fsspec reaches.

    :param root: an ``ObjectStoragePath``.
    """

    def __init__(self, root: Any) -> None:
        self._fs, self._root = root.fs, root.path.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """Return what the object holds, or ``None``."""
        self._fs.invalidate_cache()  # listings that this process has seen may be old
        try:
            data: bytes = self._fs.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put the object, in one request (``open("wb")`` would leave half of it when it is interrupted)."""
        self._fs.pipe_file(f"{self._root}/{name}", data)


class Folder:
    """The records of one task instance, and the fence of one process that runs a try of it.

    :param files: those of the task instance.
    :param where: the folder, for errors.
    :param owner: who this process is: ``nonce``, ``host``, ``pid``, ``at``.
    """

    def __init__(
        self, files: Files, this_try: TaskTry, *, where: str = "", owner: Mapping[str, Any] | None = None
    ) -> None:
        self._files, self._this_try, self.where = files, this_try, where
        self._owner = dict(owner) if owner is not None else _this_process()
        self._started = False
        self._refused = False

    def start(self) -> bool:
        """Make this process the one that may send in this try, and no earlier try; once.

        :return: whether that was done now.
        :raises SupersededError: when another process has this try.
        :raises Exception: what the store raises.
        """
        if self._started:
            return False
        number = self._this_try.try_number
        found = self._read(_start_name(number))
        if found is not None and not self._is_own(found):
            self._refuse(f"another process has already started try {number}", found)
        self._write(_start_name(number), self._owner)
        for earlier in range(1, number):
            self._write(_superseded_name(earlier), {**self._owner, "by_try": number})
        self._started = True
        return True

    def look(self) -> None:
        """Return if this process may send what it has written an intent for.

        :raises SupersededError: when it may not.
        :raises Exception: what the store raises; then, too, nothing more is written.
        """
        number = self._this_try.try_number
        try:
            mark, start = self._read(_superseded_name(number)), self._read(_start_name(number))
        except BaseException:
            self._refused = True
            raise
        if mark is not None:
            self._refuse("a later try has begun", mark)
        if start is None:
            self._refuse(f"the start of try {number} is gone")
        elif not self._is_own(start):
            self._refuse(f"another process has started try {number}, too", start)

    def has_start(self, try_number: int) -> bool:
        """Whether a try has started with this folder."""
        return self._read(_start_name(try_number)) is not None

    def get(self, name: str) -> Any:
        """Return a record, ``None`` where there is none, :data:`UNREADABLE` where it cannot be read."""
        return self._read(name)

    def set(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a record.

        :raises SupersededError: when this process was refused before.
        """
        if self._refused:
            raise SupersededError(
                explain(
                    "Not recorded: this process must not send, so it must not write either.",
                    known=[_WRITES_NOTHING.format(self.where)],
                    section="Another process has the task",
                )
            )
        self._write(name, value)

    def _is_own(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("nonce") == self._owner["nonce"]

    def _refuse(self, why: str, other: Any = None) -> None:
        self._refused = True
        raise SupersededError(
            explain(
                f"Not sent by this process: {why}.",
                known=[
                    "" if other is None else f"The other process: {_name_process(other)}.",
                    _WRITES_NOTHING.format(self.where),
                ],
                ways=[
                    "Nothing, if a later try or another process has the task.",
                    "The run was deleted and created again: remove this folder, if nothing in it matters.",
                    "Another Airflow uses the same journal_path: give it another one.",
                ],
                section="Another process has the task",
            )
        )

    def _read(self, name: str) -> Any:
        data = self._files.read(name)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            return UNREADABLE
        return value if isinstance(value, dict) else UNREADABLE

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        self._files.write(name, json.dumps(value, allow_nan=False).encode())


def check_journal_path(path: object) -> None:
    """Refuse what is no place for a journal.

    :raises ValueError: saying what it must be.
    """
    text = str(path)
    if not text.strip() or text == "None" or ("://" not in text and not Path(text).expanduser().is_absolute()):
        raise ValueError(
            f"journal_path must be an absolute path or a URL such as s3://conn_id@bucket/journal, not {text!r:.200}."
        )


def open_files(journal_path: str, this_try: TaskTry) -> tuple[Files, str]:
    """Return the files of a task instance, and where they are.

    :param journal_path: a local path, or a URL that Airflow's object storage understands.
    """
    from airflow_provider_passnotify.delivery.storage import storage_path

    parts = (this_try.dag_id, this_try.run_id, this_try.task_id, str(this_try.map_index))
    root = storage_path("/".join([journal_path.rstrip("/"), *map(path_segment, parts)]))
    files = LocalFiles(Path(root.path)) if root.protocol in LOCAL_PROTOCOLS else ObjectFiles(root)
    return files, str(root)


def path_segment(text: str) -> str:
    """Return an id as one segment of a path. Run ids may hold ``..``, slashes, colons and 250 characters."""
    quoted = quote(text, safe="-_", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E") or "~"
    if len(quoted) <= MAX_SEGMENT:
        return quoted
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{quoted[: MAX_SEGMENT - 1 - len(digest)]}~{digest}"  # "~" is in no other segment


def _start_name(try_number: int) -> str:
    return f"try.{try_number}.start"


def _superseded_name(try_number: int) -> str:
    return f"superseded.{try_number}"


def _this_process() -> dict[str, Any]:
    at = pendulum.now("UTC").isoformat(timespec="milliseconds")
    return {"nonce": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), "at": at}


def _name_process(value: Any) -> str:
    if not isinstance(value, dict):
        return "who it is cannot be read"
    by = f"try {value['by_try']}, " if "by_try" in value else ""
    return f"{by}host {value.get('host')}, pid {value.get('pid')}, {value.get('at')}"


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each of which outlives a crash."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
