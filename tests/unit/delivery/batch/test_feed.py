"""Chunks before they are sent: each has its intent, no more than two can become unknown, and none waits for another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.delivery.batch.chunk_size import ChunkSize
from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
from airflow_provider_passnotify.delivery.batch.feed import ChunkFeeder
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Status
from airflow_provider_passnotify.delivery.batch.sender import Job
from airflow_provider_passnotify.delivery.store import TaskStore
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import JournalError
from airflow_provider_passnotify.rows.reader import RowReader
from tests.stores import FileStore

SIZE = 10
SENT = Verdict(Outcome.ACCEPTED, ticket_id=7)


class Bench:
    """A feeder without a sender. The test takes the jobs and gives the results."""

    def __init__(self, folder: Path, before_set: Callable[[int], None] = lambda _: None) -> None:
        self.ledger = Ledger()
        reader = RowReader({"target_type": "pass", "value": "Hello"})
        self.ledger.fill(({"pass_id": number} for number in range(100)), reader)
        self.store = FileStore(folder, before_set)
        journal = ChunkJournal(TaskStore(TaskTry(try_number=1, max_tries=0), self.store), resume=True)
        self.stopped = False
        self.feeder = ChunkFeeder(self.ledger, journal, size=ChunkSize(SIZE, seconds=0), on_error=self.stop)
        self.jobs = self.feeder.jobs()

    def stop(self) -> None:
        self.stopped = True

    async def take(self, count: int) -> list[Job]:
        return [await asyncio.wait_for(anext(self.jobs), 60) for _ in range(count)]

    async def ends(self) -> bool:
        try:
            await asyncio.wait_for(anext(self.jobs), 60)
        except StopAsyncIteration:
            return True
        return False

    async def stalls(self) -> bool:
        """Whether no further job comes (the generator cannot be asked again)."""
        waiting = asyncio.ensure_future(anext(self.jobs))
        await asyncio.sleep(0.5)
        stalled = not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return stalled

    def states(self, stage: str) -> dict[int, str]:
        found = self.store.folder.glob(f"*.chunk.*.{stage}")
        return {int(file.name.split(".")[-2]): json.loads(file.read_text())["states"] for file in found}


async def test_intent_stands_before_the_first_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.take(1)
    assert bench.states("intent")[0] == "i" * SIZE
    bench.feeder.halt()
    await bench.feeder.finish()


async def test_no_job_where_the_intent_was_refused(tmp_path: Path) -> None:
    def refuse(number: int) -> None:
        if number == 2:
            raise RuntimeError("superseded")

    bench = Bench(tmp_path, refuse)
    for job in await bench.take(1):
        bench.feeder.on_result(job, SENT)
    taken = 1
    while not await bench.ends():
        taken += 1
    assert taken <= SIZE
    assert bench.stopped
    with pytest.raises(JournalError, match="superseded"):
        await bench.feeder.finish()


async def test_first_intent_refused(tmp_path: Path) -> None:
    def refuse(_: int) -> None:
        raise RuntimeError("lost supervisor")

    bench = Bench(tmp_path, refuse)
    assert await bench.ends()
    with pytest.raises(JournalError, match="lost supervisor"):
        await bench.feeder.finish()
    assert len(bench.ledger.pending(0, 1000)) == 100


async def test_two_chunks_unknown_and_no_third(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.take(2 * SIZE)
    assert await bench.stalls()
    assert len(bench.states("intent")) == 2
    await bench.feeder.finish()


async def test_third_chunk_when_the_first_is_written(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    jobs = await bench.take(2 * SIZE)
    for job in jobs[:SIZE]:
        bench.feeder.on_result(job, SENT)
    await bench.take(1)
    assert bench.states("outcome") == {0: "s" * SIZE}
    await bench.feeder.finish()


async def test_slow_rows_do_not_keep_the_others(tmp_path: Path) -> None:
    """One row of each chunk gets no answer. All other rows are still handed out, and few rows stay unknown."""

    bench = Bench(tmp_path)
    held = []
    for _ in range(5):
        jobs = await bench.take(SIZE)
        held.append(jobs[0])
        for job in jobs[1:]:
            bench.feeder.on_result(job, SENT)
    assert bench.states("part")[0] == "i" + "s" * (SIZE - 1)
    for job in held:
        bench.feeder.on_result(job, SENT)
    await bench.feeder.finish()
    assert set(bench.states("outcome").values()) >= {"s" * SIZE}
    assert bench.feeder.tally.counts[Status.SENT] == 5 * SIZE


async def test_nothing_is_handed_out_after_a_halt(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.take(3)
    bench.feeder.halt()
    assert await bench.ends()
    await bench.feeder.finish()
    assert bench.states("outcome")[0] == "uuu" + "n" * (SIZE - 3)
    assert bench.ledger.counts().unknown == 3
    assert len(bench.ledger.pending(0, 1000)) == 97


async def test_cancelled_reader_does_not_cancel_a_write(tmp_path: Path) -> None:
    """The sender cancels a worker that waits for a row. The write of that intent still goes on to its end."""

    bench = Bench(tmp_path)
    waiting = asyncio.ensure_future(anext(bench.jobs))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await bench.feeder.finish()
    assert bench.states("outcome") == {0: "n" * SIZE} or bench.states("intent") == {}
    assert bench.ledger.counts().pending == 100
