"""What an older compatibility package lacks is found in Airflow itself, and a missing masker is no silence."""

from __future__ import annotations

import pytest

from airflow_provider_passnotify import compat


@pytest.mark.parametrize("name", ["mask_secret", "RetryPolicy", "RetryDecision"])
def test_a_name_is_found_in_airflow_itself(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    homes = compat._HOMES[name]
    monkeypatch.setitem(compat._HOMES, name, ("airflow.no_such_module", "airflow", *homes[1:]))
    newest = compat._look(homes[0], name)
    assert (compat.find(name) is None) == (newest is None), "Airflow has it or not, wherever it is looked for"


def test_without_a_masker_there_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compat._HOMES, "mask_secret", ("airflow.no_such_module",))
    with pytest.raises(RuntimeError, match="no mask_secret"):
        compat.mask_secret("secret")
