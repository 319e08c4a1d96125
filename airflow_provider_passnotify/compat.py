"""What older releases of Airflow's compatibility package lack. The newest of them that Python 3.10 can have is 1.20."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "mask_secret": ("airflow.providers.common.compat.sdk", "airflow.sdk.log", "airflow.utils.log.secrets_masker"),
    "RetryPolicy": ("airflow.providers.common.compat.sdk", "airflow.sdk"),
    "RetryDecision": ("airflow.providers.common.compat.sdk", "airflow.sdk"),
}
"""Where each name may be, the best place first."""


def find(name: str) -> Any:
    """Return something of Airflow's, or ``None`` where this Airflow has nothing of that name.

    :param name: one of those above.
    """
    return next((found for home in _HOMES[name] if (found := _look(home, name)) is not None), None)


def _look(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None


def mask_secret(secret: str) -> None:
    """Register a secret with Airflow's masker.

    :raises RuntimeError: when this Airflow has none: better no call than a secret in the log.
    """
    mask = find("mask_secret")
    if mask is None:
        raise RuntimeError("This Airflow has no mask_secret; update apache-airflow-providers-common-compat.")
    mask(secret)
