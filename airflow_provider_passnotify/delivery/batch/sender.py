"""A stream of requests in, a stream of verdicts out: many at once, in constant memory. It knows no Airflow.

A fixed number of workers take jobs from one source; one rate limiter slows them all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.delivery.batch.breaker import CircuitBreaker
from airflow_provider_passnotify.delivery.batch.throttle import AdaptiveRateLimiter

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 3.0
"""Seconds that requests in flight get when the sender stops. (SIGKILL follows about 5 s after SIGTERM.)"""
MAX_THROTTLED_ATTEMPTS = 10
"""After so many throttled attempts a row is given up: others were accepted meanwhile, so the row is the reason."""

_NOT_STARTED = Verdict(Outcome.NOT_SENT, "the task was stopped before it was the turn of this row")
_IN_FLIGHT = Verdict(Outcome.UNKNOWN, "the task was stopped while this row was on its way")


@dataclass(slots=True)
class Job:
    """One row to send.

    :param number: the row's number; the sender only hands it back.
    :param request: what to do, a POST or a DELETE.
    """

    number: int
    request: Request


OnResult = Callable[[Job, Verdict], None]


class Sender:
    """Sends jobs with as many workers as the connection has ``max_connections``, within ``requests_per_second``.

    A throttled attempt (429, or a 503 of the API's own) slows all workers and does not count against a row's
    ``max_retries``. A server is given up if it accepts nothing for a minute (one more for each of ``max_retries``), or
    if send after send ends as unknown; the remaining jobs then end as not sent, at once.

    :param client: used within the running loop; the caller closes it.
    :param may_send: called right before each attempt; if it raises, the row is not sent, and that is the reason.
    """

    def __init__(self, client: PassNotifyAsyncClient, *, may_send: Callable[[], None] | None = None) -> None:
        config = client.config
        self._client, self._may_send = client, may_send
        self._rate_limiter = AdaptiveRateLimiter(config.requests_per_second, config.max_connections)
        self.breaker = CircuitBreaker(protocol.MAX_RETRY_AFTER_IN_WORKER * (config.max_retries + 1))
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = time.monotonic
        self._workers: list[asyncio.Task[None]] = []
        self._sending: set[asyncio.Task[None] | None] = set()
        self._source_error: Exception | None = None
        self._source_ended = False

    async def run(self, jobs: AsyncIterable[Job], on_result: OnResult) -> None:
        """Send all jobs; return when each has its result.

        :param jobs: read one by one, whenever a worker is free.
        :param on_result: called once for each job, in the loop, in any order.
        :raises Exception: what the source raised, after the jobs in flight have their results; what ``on_result``
            raised, or a time-out that a signal raises, after they had :data:`STOP_GRACE_SECONDS` seconds for them.
        """
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._source, self._source_ended, self._source_error = aiter(jobs), False, None
        self._is_reading, self._was_read, self._turns = False, asyncio.Event(), asyncio.Lock()
        self._workers = [asyncio.create_task(self._work(on_result)) for _ in range(self._client.config.max_connections)]
        try:
            _, running = await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
            if running:
                self._stop(STOP_GRACE_SECONDS)
                await asyncio.wait(running)
        except BaseException:
            for worker in self._workers:
                worker.cancel()
            await asyncio.wait(self._workers)
            raise
        errors = [error for worker in self._workers if not worker.cancelled() and (error := worker.exception())]
        time_outs = [error for error in errors if not isinstance(error, Exception)]
        if errors:
            raise (time_outs or errors)[0]  # a time-out must end the task, whatever else went wrong
        if self._source_error is not None:
            raise self._source_error
        if not self._stopped and any(worker.cancelled() for worker in self._workers):
            raise asyncio.CancelledError  # by the source itself: it has not come to its end

    def stop(self, grace: float = STOP_GRACE_SECONDS) -> None:
        """End the run early, from any thread: nothing is started any more, and every job pulled gets its result.

        :param grace: seconds after which what is still in flight is cancelled, and reported as unknown.
        """
        self._stopped = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._stop, grace)

    def _stop(self, grace: float) -> None:
        self._stopped = True
        for worker in self._workers:
            if worker not in self._sending:
                worker.cancel()
            else:
                asyncio.get_running_loop().call_later(grace, worker.cancel)

    async def _work(self, on_result: OnResult) -> None:
        worker = asyncio.current_task()  # asked once: each time costs a call of the operating system
        while (job := await self._pull()) is not None:
            await self._deliver(job, on_result, worker)

    async def _pull(self) -> Job | None:
        while self._is_reading:  # an asynchronous generator serves one at a time
            # No lock: it would let in one waiting worker in each turn of the event loop, however many jobs are there.
            await self._was_read.wait()
        if self._source_ended or self._stopped:
            return None
        self._is_reading = True
        self._was_read.clear()
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            self._source_ended = True
        except Exception as error:  # noqa: BLE001 (raised by run, when the others have their results)
            self._source_ended, self._source_error = True, error
        except BaseException:
            self._source_ended = True
            raise
        finally:
            self._is_reading = False
            self._was_read.set()
        return None

    async def _deliver(self, job: Job, on_result: OnResult, worker: asyncio.Task[None] | None) -> None:
        """Do one job to its end. At every moment ``verdict`` is the result if the job ended now."""
        verdict = _NOT_STARTED
        failures = throttled = 0
        try:
            while not self._stopped:
                if not self._rate_limiter.open:
                    await self._wait_for_turn()
                obstacle = self.breaker.opened or self._ask_may_send()
                if obstacle is not None:
                    verdict = verdict if verdict.may_have_been_sent else obstacle
                    return
                earlier, verdict = verdict, _IN_FLIGHT
                try:
                    answer = await self._attempt(job.request, worker)
                except asyncio.CancelledError as error:
                    if getattr(error, "not_connected", False):
                        verdict = earlier
                    raise
                if answer.outcome is Outcome.ACCEPTED:
                    verdict = answer
                    return
                is_still_unknown = earlier.may_have_been_sent and answer.outcome is Outcome.NOT_SENT  # a DELETE
                verdict = earlier if is_still_unknown else answer
                if answer.is_throttled:
                    throttled += 1
                    if (
                        throttled > MAX_THROTTLED_ATTEMPTS
                        or (answer.retry_after or 0) > protocol.MAX_RETRY_AFTER_IN_WORKER
                    ):
                        return
                else:
                    failures += 1
                    delay = protocol.retry_delay(
                        job.request, answer, attempt=failures, max_retries=self._client.config.max_retries
                    )
                    if delay is None or self._stopped:
                        return
                    await asyncio.sleep(delay)
        finally:
            on_result(job, verdict)

    async def _attempt(self, request: Request, worker: asyncio.Task[None] | None) -> Verdict:
        """Try once, and tell the rate limiter and the circuit breaker what came of it."""
        started = self._now()
        self._sending.add(worker)
        try:
            verdict = await self._client.attempt(request)
        finally:
            self._sending.discard(worker)
        now = self._now()
        if verdict.outcome is Outcome.ACCEPTED:
            self._rate_limiter.accepted(now)
        elif verdict.is_throttled and self._rate_limiter.throttled(
            now, started=started, retry_after=verdict.retry_after
        ):
            log.info("The API asks to slow down, and the batch does: %s", verdict.reason)
        self.breaker.note(verdict, repeatable=request.idempotent, started=started, now=now)
        return verdict

    async def _wait_for_turn(self) -> None:
        async with self._turns:  # one worker waits for the clock, the others wait for that worker
            while self.breaker.opened is None and (wait := self._rate_limiter.wait(self._now())) > 0:  # noqa: ASYNC110 (a clock)
                await asyncio.sleep(wait)

    def _ask_may_send(self) -> Verdict | None:
        if self._may_send is not None:
            try:
                self._may_send()
            except Exception as error:  # noqa: BLE001 (any error stops this row; a time-out of Airflow is no Exception)
                return Verdict(Outcome.NOT_SENT, str(error))
        return None
