"""Chaos takes minutes and a whole Airflow: it is collected only where it was asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this directory out of a run of all tests."""
    asked = any("chaos" in str(argument) for argument in config.invocation_params.args)
    return None if asked or collection_path.name == "conftest.py" else True
