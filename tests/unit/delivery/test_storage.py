"""Reports on a local disk and in object storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_passnotify.delivery.batch.report import ReportFile
from airflow_provider_passnotify.exceptions import PassNotifyError
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.batch_tools import batch, context, passes, report_lines
from tests.stores import attach

FOLDER = "memory://reports"


@pytest.fixture(autouse=True)
def bucket() -> Iterator[dict[str, Any]]:
    attach("memory", fs=MemoryFileSystem())
    MemoryFileSystem.store.clear()
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=10) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PASSNOTIFY_DEFAULT", sandbox.connection)
        yield sandbox


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("kind", [str, Path, ObjectStoragePath])
def test_paths_of_any_kind(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    summary = batch(passes(2), report_path=kind(str(path))).execute(context())
    assert len(report_lines(path)) == 2
    assert Path(summary["report"].removeprefix("file://")) == path


@pytest.mark.usefixtures("sandbox")
def test_rows_from_and_report_to_object_storage() -> None:
    ObjectStoragePath(f"{FOLDER}/rows.csv").write_text("pass_id,value\n1,a\n2,b\n")
    rows = ObjectStoragePath(f"{FOLDER}/rows.csv")
    batch(rows, report_path=ObjectStoragePath(f"{FOLDER}/report.jsonl"), max_failures=1.0).execute(context())
    assert len(ObjectStoragePath(f"{FOLDER}/report.jsonl").read_text().splitlines()) == 2


def test_bucket_where_nothing_may_be_deleted(
    monkeypatch: pytest.MonkeyPatch, bucket: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("s3:DeleteObject")

    for name in ("rm", "rm_file", "_rm"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    ReportFile(f"{FOLDER}/report.jsonl").write(["a line\n"])
    assert ObjectStoragePath(f"{FOLDER}/report.jsonl").read_text() == "a line\n"
    assert sorted(bucket) == ["/reports/report.jsonl", "/reports/report.jsonl.check"]
    assert "report.jsonl.check cannot be deleted, and stays there: PermissionError: s3:DeleteObject" in caplog.text


@pytest.mark.usefixtures("sandbox")
def test_what_airflow_cannot_open_is_found_before_the_first_send() -> None:
    with pytest.raises(PassNotifyError, match=r"(?s)^Not sent: the report cannot be written.*report_path: ftps"):
        batch(passes(1), report_path="ftps://x/report.jsonl").execute(context())


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        ReportFile(str(tmp_path / "report.jsonl")).write(["a line\n"])
    finally:
        os.umask(before)
    assert (tmp_path / "report.jsonl").stat().st_mode & 0o777 == 0o666 & ~umask
    assert [file.name for file in tmp_path.iterdir()] == ["report.jsonl"]
