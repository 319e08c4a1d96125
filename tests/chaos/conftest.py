"""Chaos needs minutes and a whole Airflow, so it is collected only if its folder is named."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out this folder if all tests are run."""
    asked = any("chaos" in str(argument) for argument in config.invocation_params.args)
    return None if asked or collection_path.name == "conftest.py" else True
