"""One alert in a stretch of time, with a bucket that tells who was first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_passnotify.delivery.at_most_every import AlertLimit
from airflow_provider_passnotify.exceptions import JournalError
from tests.storage import tries
from tests.storage.s3 import CUT_ANSWER, REFUSE, S3, Request

YEAR = 86400.0 * 365
KEY = ("key", "/pass/123/notify")


def claim(path: str) -> bool:
    return AlertLimit(path, KEY, YEAR).claim({"dag_id": "d"}) is None


def test_one_of_many_processes(bucket: str, env: dict[str, str]) -> None:
    processes, pipes = [], []
    for _ in range(4):
        ours, theirs = tries.PROCESSES.Pipe(duplex=False)
        processes.append(tries.PROCESSES.Process(target=tries.claim, args=(bucket, env, theirs)))
        pipes.append(ours)
    for process in processes:
        process.start()
    assert sorted(pipe.recv() for pipe in pipes) == [False, False, False, True]
    for process in processes:
        process.join()


def test_one_of_many_threads(bucket: str) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(claim, [bucket] * 16)) == 1


def test_what_was_not_sent_gives_its_place_back(bucket: str) -> None:
    first = AlertLimit(bucket, KEY, YEAR)
    assert first.claim({}) is None
    assert not claim(bucket)
    first.release()
    assert claim(bucket)


def test_answer_that_was_lost(bucket: str, s3: S3) -> None:
    """The store took the object, and the request that follows by itself finds it there: it is the own one."""
    lost: list[Request] = []

    def once(request: Request) -> str | None:
        if request.method == "PUT" and not lost:
            lost.append(request)
            return CUT_ANSWER
        return None

    s3.rule = once
    assert claim(bucket)
    assert lost
    assert not claim(bucket)


def test_store_that_refuses(bucket: str, s3: S3) -> None:
    s3.rule = lambda request: REFUSE if request.method == "PUT" else None
    with pytest.raises(JournalError, match=r"cannot be used.*PermissionError"):
        claim(bucket)


@pytest.mark.usefixtures("env")
def test_bucket_that_is_not_there() -> None:
    with pytest.raises(JournalError, match="no-such-bucket"):
        claim("s3://s3_store@no-such-bucket")
