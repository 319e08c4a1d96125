"""Rows from a bucket, and reports into one."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from airflow_provider_passnotify.delivery.storage import storage_path
from airflow_provider_passnotify.exceptions import PassNotifyError
from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.batch_tools import batch, context
from tests.storage.s3 import REFUSE, S3

PASSES = (123, 124, 125)
ROWS = {
    "rows.jsonl": "".join(json.dumps({"pass_id": number}) + "\n" for number in PASSES).encode(),
    "rows.csv": "\n".join(["pass_id", *map(str, PASSES)]).encode(),
    "rows.csv.gz": gzip.compress("\n".join(["pass_id", *map(str, PASSES)]).encode()),
}


def report(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in storage_path(path).read_text().splitlines()]


@pytest.mark.parametrize("name", ROWS)
def test_rows_from_and_report_to_a_bucket(name: str, bucket: str, sandbox: RunningSandbox) -> None:
    storage_path(f"{bucket}/{name}").write_bytes(ROWS[name])
    path = f"{bucket}/report.jsonl"
    summary = batch(f"{bucket}/{name}", report_path=path, journal_path=f"{bucket}/journal").execute(context())
    assert (summary["sent"], summary["report"]) == (3, path)
    assert sandbox.counts() == {"123": 1, "124": 1, "125": 1}
    assert [(line["target"], line["status"]) for line in report(path)] == [
        ({"target_type": "pass", "pass_id": str(number)}, "sent") for number in PASSES
    ]


def test_rows_that_another_process_has_written_since(bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
    """A longer file under a name that this process knows a shorter one of."""
    path = f"{bucket}/rows.jsonl"
    storage_path(path).write_bytes(ROWS["rows.jsonl"].splitlines(keepends=True)[0])
    assert [found.name for found in storage_path(bucket).iterdir()] == ["rows.jsonl"]
    s3.put(bucket.rpartition("@")[2], "rows.jsonl", ROWS["rows.jsonl"])
    assert batch(path).execute(context())["sent"] == 3
    assert len(sandbox.counts()) == 3


def test_report_of_an_earlier_run_in_a_bucket(bucket: str, sandbox: RunningSandbox) -> None:
    storage_path(f"{bucket}/rows.jsonl").write_bytes(ROWS["rows.jsonl"])
    sandbox.add_fault("status", status=404, path="/124/", times=1)
    earlier = batch(f"{bucket}/rows.jsonl", report_path=f"{bucket}/earlier.jsonl", max_failures=1)
    assert earlier.execute(context())["failed"] == 1
    later = batch(f"{bucket}/rows.jsonl", report_path=f"{bucket}/later.jsonl", resume_from=f"{bucket}/earlier.jsonl")
    summary = later.execute(context())
    assert (summary["sent"], summary["left_out"]) == (1, 2)
    assert sandbox.counts() == {"123": 1, "124": 1, "125": 1}
    assert [line["status"] for line in report(f"{bucket}/later.jsonl")] == ["left_out", "sent", "left_out"]


@pytest.mark.parametrize("path", ["missing.jsonl", "../no-such-bucket/rows.jsonl"])
def test_rows_that_are_not_there(path: str, bucket: str, sandbox: RunningSandbox) -> None:
    path = f"{bucket}/{path}" if not path.startswith("..") else "s3://s3_store@no-such-bucket/rows.jsonl"
    with pytest.raises((PassNotifyError, OSError), match="There is no such file .*" + path.rpartition("@")[2]):
        batch(path).execute(context())
    assert sandbox.counts() == {}


@pytest.mark.usefixtures("env")
def test_report_into_a_bucket_that_is_not_there(sandbox: RunningSandbox) -> None:
    with pytest.raises(PassNotifyError, match=r"(?s)report cannot be written.*no-such-bucket"):
        batch([{"pass_id": 123}], report_path="s3://s3_store@no-such-bucket/report.jsonl").execute(context())
    assert sandbox.counts() == {}


def test_report_that_may_not_be_written(bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
    s3.rule = lambda request: REFUSE if request.method == "PUT" else None
    with pytest.raises(PassNotifyError, match="report cannot be written"):
        batch([{"pass_id": 123}], report_path=f"{bucket}/report.jsonl").execute(context())
    assert sandbox.counts() == {}


def test_bucket_where_nothing_may_be_deleted(
    bucket: str, s3: S3, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    s3.rule = lambda request: REFUSE if request.method == "DELETE" or (request.method == "POST") else None
    path = f"{bucket}/report.jsonl"
    assert batch([{"pass_id": 123}], report_path=path).execute(context())["sent"] == 1
    assert len(report(path)) == 1
    assert f"{path}.check" in caplog.text
    assert sandbox.counts() == {"123": 1}
