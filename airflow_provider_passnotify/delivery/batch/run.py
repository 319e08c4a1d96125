"""One try of a batch. The sender runs in a thread of its own, so that the main thread can listen to Airflow.

Airflow ends a task with an exception that a signal raises in the main thread. In a callback of an event loop, such an
exception may get lost, and the sending would go on. That is why the loop does not run in the main thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pendulum

from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Verdict
from airflow_provider_passnotify.delivery.batch.chunk_size import ChunkSize
from airflow_provider_passnotify.delivery.batch.chunks import ChunkJournal
from airflow_provider_passnotify.delivery.batch.feed import ChunkFeeder
from airflow_provider_passnotify.delivery.batch.ledger import Counts, Ledger, Status
from airflow_provider_passnotify.delivery.batch.sender import STOP_GRACE_SECONDS, Job, Sender

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
WATCH_SECONDS = 0.4
"""Seconds between two questions to Airflow whether the task is still running. (A batch rings thousands of phones in
one second.)"""


class StoppedError(Exception):
    """Nothing more may be sent. The message says why."""


class BatchRun:
    """Sends the pending rows of a ledger.

    :param journal: it must have been read to its end. ``None`` if rows may be repeated (deletions).
    :param send_before: the moment after which nothing more is sent.
    :param on_progress: called every few seconds, in another thread.
    :param should_continue: called every :data:`WATCH_SECONDS`, in the journal's thread. After it has returned
        ``False``, no request is started. (Airflow itself tells a task with the next heartbeat, up to 5 s later.)
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        journal: ChunkJournal | None = None,
        *,
        send_before: pendulum.DateTime | None = None,
        on_progress: Callable[[Counts], None] = lambda _: None,
        should_continue: Callable[[], bool] | None = None,
    ) -> None:
        self._ledger, self._config, self._journal = ledger, config, journal
        self._send_before = send_before
        self._deadline = send_before.timestamp() if send_before else None
        self._on_progress, self._should_continue = on_progress, should_continue
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._sender: Sender | None = None
        self._feeder: ChunkFeeder | None = None
        self._before = ledger.counts()
        self.ended_early: str | None = None
        """Why rows were left unsent."""
        self.final = False
        """Whether another try would end for the same reason."""
        self.must_fail = False
        """Whether the task must fail, whatever ``max_failures`` allows."""

    @property
    def ended(self) -> bool:
        """Whether the caller may use the ledger again."""
        return self._ended.is_set()

    @property
    def retryable(self) -> int:
        """How many rows were certainly not sent, so that a retry may send them."""
        return self._feeder.tally.retryable if self._feeder else 0

    @property
    def retry_after(self) -> float | None:
        """How many seconds the API asked to wait, if that is why rows were not sent."""
        return (self._feeder.tally.retry_after or None) if self._feeder else None

    def run(self) -> None:
        """Send. Return when the ledger has the result of every row.

        :raises JournalError: if the journal did not accept a write.
        :raises BaseException: what a signal raised. Requests in flight get :data:`STOP_GRACE_SECONDS` seconds before.
        """
        if not self._before.pending:
            self._ended.set()
            return
        gc.freeze()  # Airflow has half a million objects: each full collection would take 0.1 s
        threading.Thread(target=self._run_loop, name="passnotify-batch", daemon=True).start()
        try:
            self._ended.wait()
        except BaseException as error:
            self.stop(f"the task was interrupted by {type(error).__name__}")
            self._ended.wait(STOP_GRACE_SECONDS + 2)
            raise
        finally:
            gc.unfreeze()
            if self._ended.is_set():  # else the ledger is the thread's
                self._ledger.give_up(f"not {self._ledger.done}: {self.ended_early or 'the batch ended before it'}")
        if self._error is not None:
            raise self._error

    def stop(self, reason: str = "the task was told to stop") -> None:
        """Start no more requests, and give those in flight a few seconds. Any thread may call this."""
        self._end(reason)
        if self._sender is not None:
            self._sender.stop(STOP_GRACE_SECONDS)

    def _end(self, reason: str, *, final: bool = False, must_fail: bool = True) -> None:
        if self.ended_early is None:
            self.ended_early, self.final, self.must_fail = reason, final, must_fail

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 (raised in the main thread)
            self._error = error
        finally:
            self._ended.set()

    async def _send(self) -> None:
        from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient

        async with PassNotifyAsyncClient(self._config) as client:
            sender = self._sender = Sender(client, may_send=self._check_may_send)
            feeder = self._feeder = ChunkFeeder(
                self._ledger,
                self._journal,
                size=ChunkSize(self._config.max_connections // 2),
                on_error=lambda: self.stop("the journal did not accept a write"),
            )
            if self.ended_early is not None:
                sender.stop(0)
            done = asyncio.Event()
            progress = asyncio.create_task(self._tell_progress(feeder))
            watch = asyncio.create_task(self._watch(feeder, done))
            try:
                await sender.run(feeder.jobs(), self._on_result)
            finally:
                done.set()
                progress.cancel()
                await asyncio.wait({watch}, timeout=1)  # a slow answer must not delay the summary
                await feeder.finish()

    def _check_may_send(self) -> None:
        if self._deadline is not None and self.ended_early is None and time.time() >= self._deadline:
            self._end(f"send_before={self._send_before} has passed", final=True, must_fail=False)
        if self.ended_early is not None:
            if self._feeder is not None:
                self._feeder.halt()
            raise StoppedError(f"not {self._ledger.done}: {self.ended_early}")

    def _on_result(self, job: Job, verdict: Verdict) -> None:
        if self._feeder is None or self._sender is None:
            return
        self._feeder.on_result(job, verdict)
        if verdict.credentials_refused:
            self._end(f"the API refused the credential ({verdict.reason})", final=True)
            self._feeder.halt()
        elif self._sender.breaker.opened is not None:
            self._end(self._sender.breaker.opened.reason)
            self._feeder.halt()

    async def _watch(self, feeder: ChunkFeeder, done: asyncio.Event) -> None:
        while self._should_continue is not None and not done.is_set():
            if not await feeder.ask(self._should_continue):
                self.stop("the task is not running any more for Airflow (it was marked, cleared or started again)")
                return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(done.wait(), WATCH_SECONDS)

    async def _tell_progress(self, feeder: ChunkFeeder) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            done, finished = feeder.tally.counts, feeder.tally.done
            counts = replace(
                self._before,
                pending=self._before.pending - finished,
                sent=self._before.sent + done[Status.SENT],
                failed=self._before.failed + done[Status.FAILED],
                unknown=self._before.unknown + done[Status.UNKNOWN],
            )
            self._on_progress(counts)
            log.info("%s", progress_line(counts, finished / (time.monotonic() - started)))


def progress_line(counts: Counts, rate: float) -> str:
    """Return how far a batch is.

    :param rate: rows a second.
    """
    left = pendulum.duration(seconds=round(counts.pending / rate)).in_words() if rate else "unknown"
    return f"{counts}; {rate:,.0f} a second, time left: {left or 'none'}."
