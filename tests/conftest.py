"""Settings and fixtures of all tests. Airflow must find its home before anything imports it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

import pytest

if TYPE_CHECKING:
    from airflow_provider_passnotify.sandbox.server import RunningSandbox

pytest_plugins = ["airflow_provider_passnotify.testing"]


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that makes an Airflow connection from its fields, and returns its id."""

    def make(conn_id: str = "passnotify_default", **fields: Any) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "passnotify", **fields}))
        return conn_id

    return make


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[RunningSandbox]:
    """A PassNotify service. Folders and modules that need another one have a fixture of the same name."""
    from airflow_provider_passnotify.sandbox.server import running_sandbox  # most tests do not need it

    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(session_sandbox: RunningSandbox) -> RunningSandbox:
    """The PassNotify service, as if it was new. (Passes that were added stay.)"""
    session_sandbox.reset()
    return session_sandbox


@pytest.fixture
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries start at once."""
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)  # noqa: ARG005


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables for proxies and certificates."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
