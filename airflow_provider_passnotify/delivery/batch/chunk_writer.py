"""Writes chunks into the journal, one at a time, in a thread of its own. The event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from airflow_provider_passnotify.delivery.batch.chunks import Chunk, ChunkJournal
from airflow_provider_passnotify.exceptions import JournalError

T = TypeVar("T")


class ChunkWriter:
    """Writes intents and outcomes, and knows how many rows the journal has in flight.

    :param journal: ``None`` if rows may be repeated (deletions). Then every write counts as accepted.
    :param on_error: called when the journal did not accept a write.
    """

    def __init__(self, journal: ChunkJournal | None, *, on_error: Callable[[], None]) -> None:
        self._journal, self._on_error = journal, on_error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passnotify-journal")
        self._outcomes: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        """How many rows of all chunks a reader of the journal would find in flight now."""
        self.changed = asyncio.Event()
        """Set each time when the number of rows in flight has become smaller."""
        self.error: JournalError | None = None
        """The first error."""

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function between two writes. In ``dag.test()`` Airflow cannot take two calls at once."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def write_intent(self, chunk: Chunk) -> bool:
        """Write that the rows of a chunk are about to be sent. Return whether the journal accepted it."""
        self.in_flight += chunk.open
        chunk.journaled_in_flight = chunk.open
        return await self._write(chunk)

    def write_outcome(self, chunk: Chunk) -> None:
        """Start to write the results that a chunk has so far."""
        task = asyncio.create_task(self._write_outcome(chunk))
        self._outcomes.add(task)
        task.add_done_callback(self._outcomes.discard)

    async def close(self) -> None:
        """Wait until everything is written.

        :raises JournalError: the first error, if there was one.
        """
        while self._outcomes:
            await asyncio.wait(self._outcomes)
        self._thread.shutdown(wait=False)
        if self.error is not None:
            raise self.error

    async def _write_outcome(self, chunk: Chunk) -> None:
        settled = chunk.journaled_in_flight - chunk.open
        chunk.journaled_in_flight = chunk.open
        if await self._write(chunk):
            self.in_flight -= settled
            self.changed.set()

    async def _write(self, chunk: Chunk) -> bool:
        """Write a chunk as it is now. Return whether the journal accepted it."""
        if self._journal is None:
            return True
        journal, value, number, stage = self._journal, chunk.as_value(), chunk.number, chunk.stage
        try:
            await self.call(lambda: journal.write(value, number, stage))
        except JournalError as error:
            self.error = self.error or error
            self._on_error()
            return False
        return True
