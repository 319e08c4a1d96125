"""Settings and fixtures of all tests. Airflow must find its home before anything imports it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

import pytest

pytest_plugins = ["airflow_provider_passnotify.testing"]


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that makes an Airflow connection from its fields, and returns its id."""

    def make(conn_id: str = "passnotify_default", **fields: Any) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "passnotify", **fields}))
        return conn_id

    return make


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
