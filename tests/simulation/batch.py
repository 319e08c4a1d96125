"""The real batch, in one process of the simulated task: rows, resume, chunks, feeder and sender."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_passnotify.api.protocol import Request, Verdict
from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
from airflow_provider_passnotify.delivery.batch.feed import ChunkFeeder
from airflow_provider_passnotify.delivery.batch.ledger import Ledger
from airflow_provider_passnotify.delivery.batch.resume import resume
from airflow_provider_passnotify.delivery.batch.sender import Sender
from airflow_provider_passnotify.delivery.journal import Delivery
from airflow_provider_passnotify.exceptions import BatchFailedError, BatchIncompleteError, JournalError
from airflow_provider_passnotify.rows.reader import RowReader
from tests.simulation.api import connect, post
from tests.simulation.loop import Loop
from tests.simulation.process import Killed, Operation, Process
from tests.simulation.rows import ROWS
from tests.simulation.single import task_store

if TYPE_CHECKING:
    from tests.simulation.world import World


class ChunksOfTwo:
    """So small that a few rows make several chunks."""

    def rows(self, done: int) -> int:  # noqa: ARG002 (as the real one)
        """Return the rows of the next chunk."""
        return 2


class AsyncClient:
    """The client that the sender calls."""

    config = SimpleNamespace(requests_per_second=None, max_connections=2, max_retries=0)

    def __init__(self, world: World, process: Process, loop: Loop) -> None:
        self._world, self._process, self._loop = world, process, loop

    async def attempt(self, request: Request) -> Verdict:
        """POST once, at the same time as others."""
        future: asyncio.Future[Verdict] = self._loop.create_future()
        operation = Operation(f"POST {request.address}", post(self._world, self._process, request))
        operation.finish = lambda done: None if future.done() else future.set_result(done.value)
        self._process.pending.append(operation)
        return await future


def send_many(world: World, process: Process) -> Any:
    """Do what ``SendNotificationBatchOperator.execute`` does."""
    settings = world.settings
    journal = ChunkJournal(
        task_store(world, process), resume=settings.on_clear == "resume", delivery=Delivery(settings.delivery)
    )
    journal.begin()
    try:
        connect(world, process)
        with Ledger() as ledger:
            rows = ROWS[world.variants[process.number]]
            ledger.fill([{"pass_id": str(i), "value": text} for i, text in rows], RowReader({"target_type": "pass"}))
            resume(ledger, journal.read(), send_unknown=settings.delivery == "at_least_once")
            may_help = _run(world, process, ledger, journal)
            counts = ledger.counts()
            process.report = [json.loads(line) for line in ledger.report()]
            process.counts = counts
    finally:
        with suppress(JournalError):
            journal.end()
    if counts.failed or counts.unknown:
        error = BatchIncompleteError if may_help and journal.is_durable else BatchFailedError
        raise error(str(counts), {})
    return counts


def _run(world: World, process: Process, ledger: Ledger, journal: ChunkJournal) -> bool:
    """Send, and return whether a retry may help."""
    if not ledger.counts().pending:
        return False
    stopped = False

    def check() -> None:
        if stopped:
            raise RuntimeError("not sent: the journal did not accept a write")

    async def send() -> bool:
        sender = Sender(AsyncClient(world, process, loop), may_send=check)  # type: ignore[arg-type]

        def stop() -> None:
            nonlocal stopped
            stopped = True
            sender.stop()

        process.on_stop = stop
        feeder = ChunkFeeder(ledger, journal, size=ChunksOfTwo(), on_error=stop)  # type: ignore[arg-type]
        try:
            await sender.run(feeder.jobs(), feeder.on_result)
        finally:
            await feeder.finish()
        return feeder.tally.retryable > 0

    with closing(Loop(process)) as loop:
        try:
            return loop.run_until_complete(send())
        except Killed:
            loop.abandon()
            raise
        finally:
            ledger.give_up("not sent: the batch ended before it")
