"""Takes rows from the ledger to the sender, and their results back. It does so in chunks.

Each chunk is journaled before and after it is sent. All of this runs in the sender's event loop. Only the writes of the
journal run in a thread of their own, because they block.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from airflow_provider_passnotify.api.protocol import Outcome, Verdict
from airflow_provider_passnotify.delivery.batch.chunk_size import ChunkSize
from airflow_provider_passnotify.delivery.batch.chunk_writer import ChunkWriter
from airflow_provider_passnotify.delivery.batch.chunks import (
    IN_FLIGHT,
    NOT_SENT,
    SENT,
    UNKNOWN,
    Chunk,
    ChunkJournal,
)
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Status, now_ms
from airflow_provider_passnotify.delivery.batch.sender import Job
from airflow_provider_passnotify.delivery.batch.tally import Tally

T = TypeVar("T")

PARTIAL_WRITE_SECONDS = 0.1
"""Seconds to wait for the last rows of a chunk. After that, the rows that are done are written."""
_STATES = {Status.SENT: SENT, Status.UNKNOWN: UNKNOWN, Status.FAILED: NOT_SENT}
_ENDED_IN_FLIGHT = Verdict(Outcome.UNKNOWN, "the task ended while this row was on its way")


class ChunkFeeder:
    """Feeds one sender.

    :param journal: ``None`` if rows may be repeated (deletions).
    :param size: of the chunks.
    :param on_error: called when the journal did not accept a write. After that, no row is handed out.
    """

    def __init__(
        self, ledger: Ledger, journal: ChunkJournal | None, *, size: ChunkSize, on_error: Callable[[], None]
    ) -> None:
        self._ledger, self._on_error, self._size = ledger, on_error, size
        self._writer = ChunkWriter(journal, on_error=self._on_journal_error)
        self._chunks: dict[int, Chunk] = {}
        """The chunks that are not written completely, by number."""
        self._places: dict[int, tuple[Chunk, int]] = {}
        """The chunk and the place in it, of each row that the sender has."""
        self._next_chunk: asyncio.Task[Chunk | None] | None = None
        self._next_number = 0 if journal is None else journal.next_number
        self._last_row = 0
        self._halted = False
        self.tally = Tally(ledger)

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield a job for each pending row, after the journal has accepted the intent of its chunk."""
        self._next_chunk = asyncio.create_task(self._open_chunk())
        # Shielded, so that a worker that is cancelled while it waits for a row does not cancel a write.
        while (chunk := await asyncio.shield(self._next_chunk)) is not None:
            self._next_chunk = asyncio.create_task(self._open_chunk())  # while this one is being sent
            for index, row in enumerate(chunk.rows):
                if self._halted or row is None:
                    return
                chunk.rows[index] = None
                self._places[row.row] = (chunk, index)
                yield Job(row.row, row.request)

    async def ask(self, question: Callable[[], T]) -> T:
        """Ask Airflow a question between two writes of the journal."""
        return await self._writer.call(question)

    def halt(self) -> None:
        """Hand out nothing more."""
        self._halted = True
        self._writer.changed.set()

    def on_result(self, job: Job, verdict: Verdict) -> None:
        """Note the result of a row. If it was the last one of its chunk, write the chunk."""
        chunk, index = self._places.pop(job.number)
        at = now_ms()
        status = self.tally.add(job.number, verdict, at)
        chunk.settle(index, _STATES[status], verdict.ticket_id, at)
        if chunk.open == 0:
            self._chunks.pop(chunk.number)
            self._writer.write_outcome(chunk)

    async def finish(self) -> None:
        """Write what is left. Call it after the sender has ended.

        :raises JournalError: if the journal did not accept a write.
        """
        self.halt()
        if self._next_chunk is not None:
            await self._next_chunk
        at = now_ms()
        for chunk in self._chunks.values():
            for index, state in enumerate(chunk.states):
                if state is not IN_FLIGHT:
                    continue
                if chunk.rows[index] is None:  # the sender has it
                    self.tally.add(chunk.numbers[index], _ENDED_IN_FLIGHT, at)
                    chunk.settle(index, UNKNOWN, None, at)
                else:
                    chunk.settle(index, NOT_SENT, None, at)
            self._writer.write_outcome(chunk)
        self.tally.flush()
        await self._writer.close()

    def _on_journal_error(self) -> None:
        self.halt()
        self._on_error()

    async def _open_chunk(self) -> Chunk | None:
        """Return the next chunk after its intent is written. Return ``None`` if there is none."""
        size = self._size.rows(self.tally.done)
        while self._writer.in_flight > size and not self._halted:
            self._writer.changed.clear()
            try:
                await asyncio.wait_for(self._writer.changed.wait(), PARTIAL_WRITE_SECONDS)
            except asyncio.TimeoutError:
                self._write_parts()
        rows = [] if self._halted else self._ledger.pending(self._last_row, size)
        if not rows:
            return None
        self._last_row = rows[-1].row
        chunk = self._chunks[self._next_number] = Chunk(self._next_number, rows)
        self._next_number += 1
        return chunk if await self._writer.write_intent(chunk) else None

    def _write_parts(self) -> None:
        """Write the chunks in which at least half of the rows have a result that the journal does not know."""
        for chunk in self._chunks.values():
            if chunk.journaled_in_flight - chunk.open >= max(1, len(chunk.states) // 2):
                self._writer.write_outcome(chunk)
