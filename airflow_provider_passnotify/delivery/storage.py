"""Files by path or URL, wherever Airflow's object storage reaches."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast


def open_for_reading(path: str) -> IO[bytes]:
    """Open a local path or a URL such as ``s3://conn_id@bucket/rows.csv``."""
    found = storage_path(path)
    found.fs.invalidate_cache()  # a listing that this process has kept may know an older, shorter file
    return cast("IO[bytes]", found.open("rb"))


def storage_path(path: str) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path if "://" in path else str(Path(path).expanduser().absolute()))
