"""Files by path or URL, wherever Airflow's object storage reaches."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast


def open_for_reading(path: str) -> IO[bytes]:
    """Open a local path or a URL such as ``s3://conn_id@bucket/rows.csv``."""
    return cast("IO[bytes]", storage_path(path).open("rb"))


def storage_path(path: str) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path if "://" in path else str(Path(path).expanduser().absolute()))
