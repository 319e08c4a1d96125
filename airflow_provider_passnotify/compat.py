"""What older releases of Airflow's compatibility package do not have. The newest for Python 3.10 is 1.20."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "mask_secret": ("airflow.providers.common.compat.sdk", "airflow.sdk.log", "airflow.utils.log.secrets_masker"),
    "RetryPolicy": ("airflow.providers.common.compat.sdk", "airflow.sdk"),
    "RetryDecision": ("airflow.providers.common.compat.sdk", "airflow.sdk"),
}
"""The modules where each name may be, the best one first."""


def find(name: str) -> Any:
    """Return an object of Airflow by its name, or ``None`` if this Airflow does not have it.

    :param name: one of the names above.
    """
    return next((found for home in _HOMES[name] if (found := _look(home, name)) is not None), None)


def _look(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None


def mask_secret(secret: str) -> None:
    """Register a secret with Airflow's masker.

    :raises RuntimeError: if this Airflow has no masker. It is better to make no call than to log a secret.
    """
    mask = find("mask_secret")
    if mask is None:
        raise RuntimeError("This Airflow has no mask_secret; update apache-airflow-providers-common-compat.")
    mask(secret)
