"""How many rows the next chunk has. No Airflow here."""

from __future__ import annotations

import time

from airflow_provider_passnotify.delivery.batch.chunks import MAX_CHUNK_ROWS

CHUNK_SECONDS = 0.5
"""A chunk holds as many rows as are sent in this time. So a process that dies leaves few rows unknown."""


class ChunkSize:
    """Follows the rate at which rows get their results.

    :param min_rows: a chunk has at least so many rows. Two chunks must keep all connections busy.
    :param seconds: a chunk has the rows of this time, but at most :data:`MAX_CHUNK_ROWS`.
    """

    def __init__(self, min_rows: int, seconds: float = CHUNK_SECONDS) -> None:
        self._min_rows = max(1, min(min_rows, MAX_CHUNK_ROWS))
        self._seconds = seconds
        self._rate = 0.0
        self._measured_at = time.monotonic()
        self._done_before = 0

    def rows(self, done: int) -> int:
        """Return the rows of the next chunk.

        :param done: how many rows have their result so far.
        """
        now = time.monotonic()
        if (passed := now - self._measured_at) >= CHUNK_SECONDS / 5:
            self._rate = (done - self._done_before) / passed
            self._measured_at, self._done_before = now, done
        return max(self._min_rows, min(MAX_CHUNK_ROWS, int(self._rate * self._seconds)))
