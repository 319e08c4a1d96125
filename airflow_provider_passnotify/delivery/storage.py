"""Files by path or URL, wherever Airflow's object storage reaches."""

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
    found.fs.invalidate_cache()  # a listing that this process has kept may know an older, shorter file
    try:
        file = found.open("rb")
    except FileNotFoundError as error:
        if path in str(error):
            raise
        raise FileNotFoundError(errno.ENOENT, f"There is no such file ({error})", path) from error
    if found.protocol in LOCAL_PROTOCOLS:
        return cast("IO[bytes]", file)
    return io.BufferedReader(file)  # the files of fsspec's buffered file systems know no readline(size)


def storage_path(path: str) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path if "://" in path else str(Path(path).expanduser().absolute()))
