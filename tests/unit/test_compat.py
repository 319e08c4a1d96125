"""A name that an older compatibility package lacks is found in Airflow itself. A missing masker is an error."""

from __future__ import annotations

import pytest

from airflow_provider_passnotify import compat


def test_a_name_is_found_in_airflow_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _, *others = compat._HOMES["mask_secret"]
    monkeypatch.setitem(compat._HOMES, "mask_secret", ("airflow.no_such_module", "airflow", *others))
    assert callable(compat.find("mask_secret"))


@pytest.mark.parametrize("name", ["RetryPolicy", "RetryDecision"])
def test_airflow_that_has_retry_policies_is_asked_itself(name: str) -> None:
    sdk = pytest.importorskip("airflow.sdk", reason="before Airflow 3 there are no retry policies")
    assert compat.find(name) is getattr(sdk, name, None)


def test_without_a_masker_there_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compat._HOMES, "mask_secret", ("airflow.no_such_module",))
    with pytest.raises(RuntimeError, match="no mask_secret"):
        compat.mask_secret("secret")
