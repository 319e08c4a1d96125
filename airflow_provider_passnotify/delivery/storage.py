"""Opens files by path or URL, in any storage that Airflow's object storage can reach."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import IO, Any, cast

LOCAL_PROTOCOLS = ("", "file", "local")


def open_for_reading(path: str) -> IO[bytes]:
    """Open a local path or a URL such as ``s3://conn_id@bucket/rows.csv``.

    :raises OSError: if it cannot be opened. If there is no such file, the error names the path.
    """
    found = storage_path(path)
    found.fs.invalidate_cache()  # a listing that this process has kept may be of an older, shorter file
    try:
        file = found.open("rb")
    except FileNotFoundError as error:
        if path in str(error):
            raise
        raise FileNotFoundError(errno.ENOENT, f"There is no such file ({error})", path) from error
    if found.protocol in LOCAL_PROTOCOLS:
        return cast("IO[bytes]", file)
    return io.BufferedReader(file)  # files of fsspec's buffered file systems have no readline(size)


def storage_path(path: str) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path if "://" in path else str(Path(path).expanduser().absolute()))
