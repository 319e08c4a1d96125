"""What is advised when nobody knows what earlier tries sent: only what helps on this Airflow, and with this journal."""

from __future__ import annotations

from pathlib import Path

import airflow
import pytest

from airflow_provider_passnotify.delivery.account import SINGLE, refused
from airflow_provider_passnotify.delivery.folder import Folder, open_files
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import TaskTry

ASKS_WHEN_CLEARED = [int(part) for part in airflow.__version__.split(".")[:2]] >= [3, 4]
TRY = TaskTry(try_number=2, max_tries=5, dag_id="dag", run_id="run", task_id="task")


def advice(folder: Folder | None = None) -> str:
    return str(refused(TaskStore(TRY, folder=folder), "This is try 2.", ways=SINGLE))


def test_a_folder_is_advised_where_there_is_none() -> None:
    assert "For the next time: journal_path keeps the records" in advice()
    assert "clear_on_success" not in advice()


def test_keeping_the_task_state_is_advised_where_airflow_asks() -> None:
    assert ("keep the task state" in advice()) is ASKS_WHEN_CLEARED


def test_a_setting_that_discards_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    assert "For the next time: turn [state_store] clear_on_success off." in advice()


def test_where_a_folder_is_used_it_is_not_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    files, where = open_files(str(tmp_path), TRY)
    text = advice(Folder(files, TRY, where=where))
    assert "all workers must share the folder of journal_path" in text
    for other in ("journal_path keeps", "clear_on_success", "keep the task state"):
        assert other not in text
