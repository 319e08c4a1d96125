"""One store for all tests, and the connections to it as a user would write them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from airflow_provider_passnotify.sandbox.server import RunningSandbox

if TYPE_CHECKING:
    from tests.storage.s3 import S3

MISSING = [name for name in ("moto", "s3fs", "flask") if find_spec(name) is None]
collect_ignore_glob = ["test_*"] if MISSING else []  # `make storage` installs them


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    from tests.storage.s3 import running_s3

    with running_s3() as s3:
        yield s3


@pytest.fixture
def s3(server: S3) -> S3:
    server.reset()
    return server


@pytest.fixture
def env(s3: S3, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> dict[str, str]:  # noqa: ARG001
    """Set the environment that a user would set, and return it for other processes."""
    found = {"AIRFLOW_CONN_S3_STORE": s3.connection(), "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": sandbox.connection}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def bucket(s3: S3, env: dict[str, str]) -> str:  # noqa: ARG001
    """Make a new bucket, and return its URL. Its name is new, as Airflow keeps a file system for each store."""
    name = f"journal-{uuid.uuid4().hex}"
    s3.make_bucket(name)
    s3.requests.clear()
    return f"s3://s3_store@{name}"
