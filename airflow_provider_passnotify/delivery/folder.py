"""A journal in a folder of the user: the records of one task instance as files or objects, and the fence around them.

Airflow's own store refuses the writes of a process if the task no longer belongs to it. A folder refuses nobody, so the
processes have to check on each other:

* A try first writes its *start* (who it is), then marks every earlier try as *superseded*. Only then does it read
  records.
* Before it sends, a process writes its intent and **then** looks at two things. Its try must not be superseded, and the
  start of its try must still be its own. Otherwise it does not send.

Why this is enough: take an old process, and a new one of a later try or of the same try. The old one writes its intent
before it looks. The new one writes its mark (or its start) before it reads. If the old one sees it, it does not send.
If the old one looked before it was there, then the intent was there before the new one read. So the new one finds an
intent without an outcome, and under at-most-once it does not send. One case is left: a process is frozen between its
look and its POST, a later try fails because of this intent, a person clears the task to send again, and the frozen
process goes on after that.

A process that was refused, or that could not look, **writes nothing more**. If it wrote "not sent", even truthfully,
this could hide the intent of the other process, and a third process would send.

A store must do this: whoever reads a key after it was written gets what was written, even if the key was missing in a
read just before. S3, GCS, Azure and a local disk do it. NFS does not, because it remembers for a while that a file is
missing. Folders are never listed, because a listing may be out of date. A record is complete or absent: see
:class:`LocalFiles` and :class:`ObjectFiles`. Nothing is deleted here.
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

from airflow_provider_passnotify.delivery.storage import LOCAL_PROTOCOLS, storage_path
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import StartedTwiceError, SupersededError, explain

UNREADABLE: Final = object()
"""The value of a record that exists but cannot be read."""
MAX_SEGMENT = 100
_WRITES_NOTHING = "The records are in {}. This process writes nothing more there."


class Files(Protocol):
    """Files in one folder, by name. Names may contain slashes."""

    def read(self, name: str) -> bytes | None:
        """Return the content that the file has now, or ``None`` if there is no file."""

    def write(self, name: str, data: bytes) -> None:
        """Write the whole file, or raise an error and leave the old file as it is."""


class LocalFiles:
    """Files on a local disk. After they are written, they survive a crash of the machine.

    :param root: the folder. It is created when something is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Return the content of the file, or ``None``."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a temporary file in the same folder, then replace the file with it."""
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
    """Objects in a store that fsspec can reach.

    :param root: an ``ObjectStoragePath``.
    """

    def __init__(self, root: Any) -> None:
        self._fs, self._root = root.fs, root.path.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """Return the content of the object, or ``None``."""
        self._fs.invalidate_cache()  # listings that this process has read may be out of date
        try:
            data: bytes = self._fs.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write the object as a whole. (If ``open("wb")`` were interrupted, it would leave half of the object.)"""
        self._fs.pipe_file(f"{self._root}/{name}", data)


class Folder:
    """The records of one task instance, and the fence of one process that runs a try of it.

    :param files: the files of the task instance.
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
        """Take this try for this process, and mark all earlier tries as superseded. A second call does nothing.

        :return: whether this call has done it.
        :raises StartedTwiceError: if another process runs this try.
        :raises Exception: any error of the store.
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
        """Check that this process may still send. Call it between the intent and the POST.

        :raises SupersededError: if this process must not send.
        :raises Exception: any error of the store. After that, too, this process writes nothing more.
        """
        number = self._this_try.try_number
        try:
            mark, start = self._read(_superseded_name(number)), self._read(_start_name(number))
        except BaseException:
            self._refused = True
            raise
        if mark is not None:
            self._refuse("a later try has begun", mark, SupersededError)
        if start is None:
            self._refuse(f"the start of try {number} is gone")
        elif not self._is_own(start):
            self._refuse(f"another process has started try {number}, too", start)

    def is_superseded(self) -> bool:
        """Whether a later try has begun. ``False`` if that cannot be read."""
        try:
            return self._read(_superseded_name(self._this_try.try_number)) is not None
        except Exception:  # noqa: BLE001 (it is asked only after another error)
            return False

    def has_start(self, try_number: int) -> bool:
        """Whether a try has started with this folder."""
        return self._read(_start_name(try_number)) is not None

    def get(self, name: str) -> Any:
        """Return a record, ``None`` if there is none, or :data:`UNREADABLE` if it cannot be read."""
        return self._read(name)

    def set(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a record.

        :raises SupersededError: if this process was refused before.
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

    def _refuse(self, why: str, other: Any = None, kind: type[SupersededError] = StartedTwiceError) -> None:
        self._refused = True
        raise kind(
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
    """Refuse a path that cannot be used for a journal.

    :raises ValueError: it says what the path must be.
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
    index = str(this_try.map_index) + ("" if this_try.iteration is None else f"-loop-{this_try.iteration}")
    parts = (this_try.dag_id, this_try.run_id, this_try.task_id, index)
    root = storage_path("/".join([journal_path.rstrip("/"), *map(path_segment, parts)]))
    files = LocalFiles(Path(root.path)) if root.protocol in LOCAL_PROTOCOLS else ObjectFiles(root)
    return files, str(root)


def path_segment(text: str) -> str:
    """Return an id as one segment of a path. Run ids may contain ``..``, slashes and colons, and 250 characters."""
    quoted = quote(text, safe="-_", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E") or "~"
    if len(quoted) <= MAX_SEGMENT:
        return quoted
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{quoted[: MAX_SEGMENT - 1 - len(digest)]}~{digest}"  # no other segment contains "~"


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
    """Create a folder, and the missing folders above it, so that each of them survives a crash."""
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
