"""Rows out of the ledger into the sender, and their results back, chunk by chunk: each journaled before and after.

Everything here runs in the sender's event loop; only the journal's writes, which block, run in a thread of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.delivery.batch.chunks import (
    IN_FLIGHT,
    MAX_CHUNK_ROWS,
    NOT_SENT,
    SENT,
    UNKNOWN,
    Chunk,
    ChunkJournal,
)
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Result, Status
from airflow_provider_passnotify.delivery.batch.sender import Job
from airflow_provider_passnotify.exceptions import JournalError

_CHUNK_SECONDS = 0.5
_PARTIAL_WRITE_SECONDS = 0.1
"""Seconds to wait for the last rows of a chunk before it is written as far as it is done."""
_FLUSH = 500


class ChunkFeeder:
    """Feeds one sender.

    :param journal: ``None`` where rows may be repeated at will.
    :param min_rows: the least rows of a chunk, so that two keep all connections busy.
    :param on_error: called when the journal did not accept a write; nothing more is handed out.
    """

    def __init__(
        self, ledger: Ledger, journal: ChunkJournal | None, *, min_rows: int, on_error: Callable[[], None]
    ) -> None:
        self._ledger, self._journal, self._on_error = ledger, journal, on_error
        self._min_rows = max(1, min(min_rows, MAX_CHUNK_ROWS))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="passnotify-journal")
        self._chunks: dict[int, Chunk] = {}
        self._places: dict[int, tuple[Chunk, int]] = {}
        self._results: list[Result] = []
        self._ahead: asyncio.Task[Chunk | None] | None = None
        self._settling: set[asyncio.Task[bool]] = set()
        self._changed = asyncio.Event()
        self._next_number = 0 if journal is None else journal.next_number
        self._last_row = 0
        self._in_doubt = 0
        self._halted = False
        self._rate, self._rate_at, self._rate_done = 0.0, time.monotonic(), 0
        self.done = dict.fromkeys(Status, 0)
        self.retryable = 0
        """Rows that were surely not sent, and that a retry may help."""
        self.retry_after = 0.0
        """Seconds: the longest that the API asked for with a row that was not sent."""
        self.error: JournalError | None = None

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield a job for each row that waits, the intents of its chunk having been accepted."""
        self._ahead = asyncio.create_task(self._open_chunk())
        # Shielded: a worker that is cancelled while it waits for a row must not cancel a write.
        while (chunk := await asyncio.shield(self._ahead)) is not None:
            self._ahead = asyncio.create_task(self._open_chunk())
            for index, row in enumerate(chunk.rows):
                if self._halted or row is None:
                    return
                chunk.rows[index] = None
                self._places[row.row] = (chunk, index)
                yield Job(row.row, row.request)

    async def ask(self, question: Callable[[], bool]) -> bool:
        """Ask Airflow something between two writes of the journal: ``dag.test()`` takes no two calls at once."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, question)

    def halt(self) -> None:
        """Hand out nothing more."""
        self._halted = True
        self._changed.set()

    def on_result(self, job: Job, verdict: Verdict) -> None:
        """Note what became of a row, and write its chunk when that is done."""
        chunk, index = self._places.pop(job.number)
        if verdict.outcome is Outcome.ACCEPTED:
            chunk.settle(index, SENT, verdict.ticket_id)
            result = Result(job.number, Status.SENT, verdict.ticket_id)
        else:
            unknown = verdict.outcome is Outcome.UNKNOWN
            chunk.settle(index, UNKNOWN if unknown else NOT_SENT)
            status = Status.UNKNOWN if unknown else Status.FAILED
            reason = ("in doubt: " if unknown else "") + verdict.reason
            result = Result(job.number, status, None, reason, verdict.status_code)
            self.retryable += verdict.outcome is Outcome.NOT_SENT
            self.retry_after = max(self.retry_after, verdict.retry_after or 0.0)
        self.done[result.status] += 1
        self._results.append(result)
        if len(self._results) >= _FLUSH:
            self._flush()
        if chunk.open == 0:
            self._chunks.pop(chunk.number)
            self._settle(chunk)

    async def finish(self) -> None:
        """Write what is left, when the sender has ended.

        :raises JournalError: the journal's, where it did not accept a write.
        """
        self.halt()
        if self._ahead is not None:
            await self._ahead
        for chunk in self._chunks.values():
            for index, state in enumerate(chunk.states):
                if state is IN_FLIGHT:
                    handed_out = chunk.rows[index] is None
                    chunk.settle(index, UNKNOWN if handed_out else NOT_SENT)
                    if handed_out:
                        reason = "in doubt: the task ended while this one was being sent"
                        self.done[Status.UNKNOWN] += 1
                        self._results.append(Result(chunk.numbers[index], Status.UNKNOWN, None, reason))
            self._settle(chunk)
        self._flush()
        while self._settling:
            await asyncio.wait(self._settling)
        self._writer.shutdown(wait=False)
        if self.error is not None:
            raise self.error

    async def _open_chunk(self) -> Chunk | None:
        """Return the next chunk once its intent is written, or ``None`` at the end."""
        size = self._size()
        while self._in_doubt > size and not self._halted:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), _PARTIAL_WRITE_SECONDS)
            except asyncio.TimeoutError:
                self._settle_in_part()
        rows = [] if self._halted else self._ledger.pending(self._last_row, size)
        if not rows:
            return None
        self._last_row = rows[-1].row
        chunk = self._chunks[self._next_number] = Chunk(self._next_number, rows)
        self._next_number += 1
        return chunk if await self._write(chunk) else None

    def _settle(self, chunk: Chunk) -> None:
        task = asyncio.create_task(self._write(chunk))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _settle_in_part(self) -> None:
        for chunk in self._chunks.values():
            if chunk.in_doubt and chunk.in_doubt - chunk.open >= max(1, len(chunk.states) // 2):
                self._settle(chunk)

    async def _write(self, chunk: Chunk) -> bool:
        """Write a chunk as it stands now; return whether it was accepted."""
        settled = chunk.in_doubt - chunk.open  # below 0 for an intent
        chunk.in_doubt = chunk.open
        self._in_doubt += max(0, -settled)
        if self._journal is not None:
            try:
                loop = asyncio.get_running_loop()
                value, number, stage = chunk.as_value(), chunk.number, chunk.stage
                await loop.run_in_executor(self._writer, self._journal.write, value, number, stage)
            except JournalError as error:
                self.error = self.error or error
                self.halt()
                self._on_error()
                return False
        self._in_doubt -= max(0, settled)
        self._changed.set()
        return True

    def _size(self) -> int:
        now, done = time.monotonic(), sum(self.done.values())
        if now - self._rate_at >= _CHUNK_SECONDS / 5:
            self._rate = (done - self._rate_done) / (now - self._rate_at)
            self._rate_at, self._rate_done = now, done
        return max(self._min_rows, min(MAX_CHUNK_ROWS, int(self._rate * _CHUNK_SECONDS)))

    def _flush(self) -> None:
        self._ledger.record(self._results)
        self._results = []
