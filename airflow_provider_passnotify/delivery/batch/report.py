"""The file of a batch's report. It says what became of each row."""

from __future__ import annotations

import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from airflow_provider_passnotify.delivery.storage import LOCAL_PROTOCOLS, storage_path

log = logging.getLogger(__name__)


class ReportFile:
    """A file that is written as a whole or not at all.

    :param path: a local path or a URL.
    :raises OSError: if nothing can be written there. Other file systems raise errors of their own.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._target = storage_path(path)
        self._local = Path(self._target.path) if self._target.protocol in LOCAL_PROTOCOLS else None
        if self._local is None:
            probe = storage_path(f"{path}.check")
            with probe.open("wb"):  # as the report will be: other ways may reach another file system
                pass
            try:
                probe.unlink()
            except Exception as error:  # noqa: BLE001 (who may write need not be allowed to delete)
                log.warning("%s cannot be deleted, and stays there: %s: %s", probe, type(error).__name__, error)
        else:
            self._local.parent.mkdir(parents=True, exist_ok=True)
            if self._local.is_dir():
                raise IsADirectoryError(f"{path} is a directory; report_path must be a file.")
            with self._temporary() as file:
                Path(file.name).unlink()

    def write(self, lines: Iterable[str]) -> None:
        """Write the lines. A reader finds either the old file or the new one, never a part."""
        file = self._temporary()
        try:
            with file:
                file.writelines(lines)
            if self._local is not None:
                Path(file.name).replace(self._local)
            else:  # only now, because an upload that breaks off must not look like a report
                with Path(file.name).open("rb") as source, self._target.open("wb") as target:
                    shutil.copyfileobj(source, target)
        finally:
            Path(file.name).unlink(missing_ok=True)

    def _temporary(self) -> IO[str]:
        if self._local is None:
            return tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="passnotify-", delete=False)
        # In the same folder, so that it can be renamed, and with the permissions that any new file there has.
        return (self._local.parent / f".passnotify-{uuid.uuid4().hex}.partial").open("x", encoding="utf-8")
