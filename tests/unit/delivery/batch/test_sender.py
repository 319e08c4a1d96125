"""The sender with a real server in the same loop. Only randomness and the time constants are replaced."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
from airflow_provider_passnotify.api.protocol import Outcome, Request, Verdict
from airflow_provider_passnotify.delivery.batch import throttle
from airflow_provider_passnotify.delivery.batch.breaker import MAX_UNKNOWN_IN_A_ROW
from airflow_provider_passnotify.delivery.batch.sender import MAX_THROTTLED_ATTEMPTS, Job, Sender
from tests.clients import config_for
from tests.stalls import again_if_stalled, patient

OK: tuple[int, dict[str, str], str] = (200, {}, '{"ticketId": 7}')
REFUSED = (429, {"Retry-After": "0"}, "")
UNAVAILABLE = (503, {"Retry-After": "0"}, '{"code": 503, "description": "Busy."}')
HANG = None
SLOWER = "The API asks to slow down"
Reply = tuple[int, dict[str, str], str] | None


class Api:
    """A server whose answers are set by the test for each number in the path. ``HANG`` keeps the request open.

    :param together: so many requests are there before the first one is answered.
    """

    def __init__(self, decide: Callable[[int], Reply] = lambda _: OK, latency: float = 0.0, together: int = 1) -> None:
        self.decide, self.latency, self.together = decide, latency, together
        self.all_there = asyncio.Event()
        if together == 1:
            self.all_there.set()
        self.arrived: list[tuple[float, int]] = []
        self.busy = self.most_busy = 0

    async def __aenter__(self) -> Api:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def count(self, number: int) -> int:
        """How often a job's request arrived."""
        return sum(number == arrived for _, arrived in self.arrived)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                number = int(head.split(b"/")[3])
                self.arrived.append((asyncio.get_running_loop().time(), number))
                self.busy += 1
                self.most_busy = max(self.most_busy, self.busy)
                if len(self.arrived) >= self.together:
                    self.all_there.set()
                await self.all_there.wait()
                await asyncio.sleep(self.latency)
                if (reply := self.decide(number)) is HANG:
                    await reader.read()
                    return
                status, headers, body = reply
                lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                writer.write("\r\n".join([*lines, "", body]).encode())
                self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Run:
    """One run of a sender: its jobs and their results."""

    def __init__(self, url: str, *, may_send: Callable[[], None] | None = None, **options: Any) -> None:
        self.client = PassNotifyAsyncClient(config_for(url, **options))
        self.sender = Sender(self.client, may_send=may_send)
        self.pulled = 0
        self.results: dict[int, Verdict] = {}
        self.on_result: Callable[[Job, Verdict], None] = lambda _job, _verdict: None

    async def jobs(self, count: int, method: str = "POST") -> AsyncIterator[Job]:
        for number in range(count):
            self.pulled += 1
            yield Job(number, Request(method, f"/pass/{number}/notify", b"{}" if method == "POST" else None))

    async def send(self, jobs: AsyncIterator[Job]) -> None:
        try:
            await self.sender.run(jobs, self._note)
        finally:
            await self.client.close()

    def _note(self, job: Job, verdict: Verdict) -> None:
        assert job.number not in self.results, "two results for one job"
        self.results[job.number] = verdict
        self.on_result(job, verdict)

    @property
    def outcomes(self) -> Counter[str]:
        """How many jobs ended how."""
        return Counter(verdict.outcome.value for verdict in self.results.values())


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that happens elsewhere in the loop."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_every_job_has_one_result_and_workers_pull() -> None:
    tasks, ahead = set(), set()

    async with Api(latency=0.001, together=8) as api:
        one = Run(api.url, max_connections=8)

        def look(_job: Job, _verdict: Verdict) -> None:
            tasks.add(len([task for task in asyncio.all_tasks() if "Sender" in repr(task)]))
            ahead.add(one.pulled - len(one.results))

        one.on_result = look
        await one.send(one.jobs(300))
    assert sorted(one.results) == list(range(300))
    assert one.outcomes == {"accepted": 300}
    assert one.results[0].ticket_id == 7
    assert api.most_busy == 8
    assert max(tasks) == 8, "no task for a job"
    assert max(ahead) <= 8, "nothing is read ahead"


async def test_workers_that_waited_for_a_row_do_not_start_one_by_one() -> None:
    loop = asyncio.get_running_loop()
    turns, started = 0, []

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        turn[0] = loop.call_soon(count_turns)

    turn = [loop.call_soon(count_turns)]
    chunk_is_written = asyncio.Event()

    async with Api() as api:
        one = Run(api.url, max_connections=32, may_send=lambda: started.append(turns))

        async def chunk() -> AsyncIterator[Job]:
            await chunk_is_written.wait()
            async for job in one.jobs(32):
                yield job

        sending = asyncio.create_task(one.send(chunk()))
        for _ in range(100):
            await asyncio.sleep(0)  # after so many turns of the event loop, all workers wait
        chunk_is_written.set()
        await sending
    turn[0].cancel()
    assert one.outcomes == {"accepted": 32}
    assert started[-1] - started[0] <= 2, "turns of the event loop"


async def test_empty_source() -> None:
    async with Api() as api:
        one = Run(api.url)
        await one.send(one.jobs(0))
        assert (one.results, api.arrived) == ({}, [])


@pytest.mark.parametrize(
    ("method", "replies", "outcome"),
    [
        ("POST", [OK], "accepted"),
        ("POST", [(404, {}, '{"code": 404, "description": "gone"}')], "rejected"),
        ("POST", [(401, {}, "")], "rejected"),
        ("POST", [(500, {}, "")], "unknown"),
        ("POST", [(503, {"Server": "a cache"}, "<html>")], "unknown"),
        ("POST", [(200, {}, "{}")], "unknown"),
        ("POST", [(302, {"Location": "/"}, "")], "unknown"),
        ("POST", [UNAVAILABLE, REFUSED, OK], "accepted"),
        ("POST", [UNAVAILABLE, (500, {}, "")], "unknown"),
        ("POST", [(429, {"Retry-After": "3600"}, "")], "not_sent"),
        ("DELETE", [(500, {}, ""), OK], "accepted"),
        ("DELETE", [(500, {}, ""), (500, {}, ""), (500, {}, "")], "unknown"),
        ("DELETE", [(500, {}, ""), (429, {"Retry-After": "3600"}, "")], "unknown"),
        ("DELETE", [(404, {}, "")], "rejected"),
    ],
)
@pytest.mark.usefixtures("no_back_off")
async def test_error_table(method: str, replies: list[Reply], outcome: str) -> None:
    rest = list(replies)
    async with Api(lambda _: rest.pop(0)) as api:
        one = Run(api.url, max_retries=2)
        await one.send(one.jobs(1, method))
    assert one.outcomes == {outcome: 1}
    assert api.count(0) == len(replies)
    assert one.results[0].retry_after == (3600 if outcome == "not_sent" else None)


@pytest.mark.usefixtures("no_back_off")
async def test_not_connected_is_tried_again() -> None:
    attempts = []
    async with Api() as api:
        pass  # the server has stopped listening
    one = Run(api.url, max_retries=2, may_send=lambda: attempts.append(1))
    await one.send(one.jobs(1))
    assert one.outcomes == {"not_sent": 1}
    assert "unreachable: 127.0.0.1:" in one.results[0].reason
    assert len(attempts) == 3


async def test_may_send_stops_rows() -> None:
    asked = []

    def may_send() -> None:
        asked.append(1)
        if len(asked) > 5:
            raise ValueError("too late")

    async with Api() as api:
        one = Run(api.url, may_send=may_send, max_connections=2)
        await one.send(one.jobs(20))
    assert len(api.arrived) == 5
    assert len(asked) == 20
    assert one.outcomes == {"accepted": 5, "not_sent": 15}
    assert one.results[19].reason == "too late"


async def test_rate_is_smooth() -> None:
    async with Api() as api:
        one = Run(api.url, max_connections=16, requests_per_second=100)
        begun = asyncio.get_running_loop().time()
        await one.send(one.jobs(40))
    assert one.outcomes == {"accepted": 40}
    for turn, (arrived, _) in enumerate(sorted(api.arrived)):
        assert arrived - begun >= turn / 100 - 0.001, "no burst, at the start or later"


@pytest.mark.usefixtures("no_back_off")
async def test_storm_loses_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(throttle, "RECOVERY", 0.3)
    tokens, filled = 0.0, asyncio.get_running_loop().time()

    def decide(_: int) -> Reply:
        nonlocal tokens, filled
        now = asyncio.get_running_loop().time()
        tokens, filled = min(10.0, tokens + (now - filled) * 200), now
        if tokens < 1:
            return REFUSED
        tokens -= 1
        return OK

    async with Api(decide) as api:
        one = Run(api.url, max_connections=64, max_retries=0)
        await one.send(one.jobs(400))
    assert one.outcomes == {"accepted": 400}
    assert len(api.arrived) > 400
    assert SLOWER in caplog.text


async def test_a_refusal_slows_every_worker() -> None:
    replies = [OK] * 20 + [(429, {"Retry-After": "1"}, "")]
    times: list[float] = []  # when they go out; a request that went out before the refusal may arrive after it
    async with Api(lambda _: replies.pop(0) if replies else OK, latency=0.02) as api:
        one = Run(api.url, max_connections=10, may_send=lambda: times.append(asyncio.get_running_loop().time()))
        await one.send(one.jobs(50))
    pause = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert pause >= 0.999, "nobody sent until Retry-After had passed"
    assert one.outcomes == {"accepted": 50}


async def test_after_a_refusal_the_rate_is_near_what_was_accepted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replies = [OK] * 500 + [REFUSED]
    async with Api(lambda _: replies.pop(0) if replies else OK) as api:
        one = Run(api.url, max_connections=2)
        await asyncio.wait_for(one.send(one.jobs(700)), 100)  # from 1 a second it would take minutes
    assert one.outcomes == {"accepted": 700}
    assert caplog.text.count(SLOWER) == 1


async def test_workers_wait_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    wait = throttle.AdaptiveRateLimiter.wait

    def counted(limiter: throttle.AdaptiveRateLimiter, now: float) -> float:
        asked.append(now)
        return wait(limiter, now)

    monkeypatch.setattr(throttle.AdaptiveRateLimiter, "wait", counted)

    async with Api() as api:
        one = Run(api.url, max_connections=64, requests_per_second=500)
        await one.send(one.jobs(200))
    assert len(asked) <= 4 * 200, "one asks for the next turn, not all of them"


@pytest.mark.usefixtures("no_back_off")
async def test_server_that_only_refuses_is_given_up() -> None:
    async with Api(lambda _: REFUSED) as api:
        one = Run(api.url, max_connections=4)
        one.sender.breaker.patience = 0.2
        await one.send(one.jobs(1000))
    assert one.outcomes == {"not_sent": 1000}
    assert "given up" in one.results[999].reason
    assert "429" in one.results[999].reason
    assert len(api.arrived) < 50


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_server_that_leaves_all_unknown_is_given_up(method: str) -> None:
    async with Api(lambda _: (302, {"Location": "https://login.example"}, "")) as api:
        one = Run(api.url, max_connections=4, max_retries=0)
        await one.send(one.jobs(1000, method=method))
    if method == "DELETE":  # it may be repeated, so it is safe to try
        assert one.outcomes == {"unknown": 1000}
        return
    assert MAX_UNKNOWN_IN_A_ROW < one.outcomes["unknown"] <= MAX_UNKNOWN_IN_A_ROW + 2 * 4
    assert one.outcomes == {"unknown": len(api.arrived), "not_sent": 1000 - len(api.arrived)}
    assert "given up: 100 sends in a row" in one.results[999].reason
    assert "a redirect to 'https://login.example'" in one.results[999].reason


async def test_doubts_of_one_moment_count_once() -> None:
    """A gateway that restarts cuts all connections at once. This alone is no reason to stop."""

    connections = 2 * MAX_UNKNOWN_IN_A_ROW
    arrived = 0

    def decide(_: int) -> Reply:
        nonlocal arrived
        arrived += 1
        return (502, {}, "") if arrived <= connections else OK

    async with Api(decide, together=connections) as api:
        one = Run(api.url, max_connections=connections)
        await one.send(one.jobs(1000))
    assert one.outcomes == {"unknown": connections, "accepted": 1000 - connections}


@pytest.mark.parametrize("answer", [OK, (404, {}, "")])
async def test_answer_in_between_is_a_sign_of_life(answer: Reply) -> None:
    async with Api(lambda number: answer if number % MAX_UNKNOWN_IN_A_ROW == 0 else (502, {}, "")) as api:
        one = Run(api.url, max_connections=1)
        await one.send(one.jobs(3 * MAX_UNKNOWN_IN_A_ROW))
    assert one.outcomes["unknown"] == 3 * (MAX_UNKNOWN_IN_A_ROW - 1)


@pytest.mark.usefixtures("no_back_off")
async def test_row_that_is_refused_for_its_own_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "RECOVERY", 0.01)
    async with Api(lambda number: REFUSED if number == 3 else OK) as api:
        one = Run(api.url, max_connections=4)
        await one.send(one.jobs(400))
    assert one.outcomes == {"accepted": 399, "not_sent": 1}
    assert one.results[3].status_code == 429
    assert api.count(3) == MAX_THROTTLED_ATTEMPTS + 1


@again_if_stalled
async def test_stop_gives_what_is_in_flight_its_grace() -> None:
    grace = patient(0.5)
    async with Api(lambda number: HANG if number == 0 else OK, latency=0.1) as api:
        one = Run(api.url, max_connections=3)
        sending = asyncio.create_task(one.send(one.jobs(100)))
        await until(lambda: len(api.arrived) == 3)
        stopped = asyncio.get_running_loop().time()
        threading.Thread(target=one.sender.stop, args=(grace,)).start()
        await sending
    assert asyncio.get_running_loop().time() - stopped >= grace
    assert one.pulled == len(api.arrived) == 3, "nothing is started after it"
    assert one.outcomes == {"accepted": 2, "unknown": 1}
    assert one.results[0].outcome is Outcome.UNKNOWN
    assert "stopped" in one.results[0].reason


@pytest.mark.parametrize(("reply", "outcome"), [(REFUSED, "not_sent"), ((500, {}, ""), "unknown")])
async def test_stop_ends_retries(monkeypatch: pytest.MonkeyPatch, reply: Reply, outcome: str) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: 20 * high)  # it would back off for long
    async with Api(lambda _: reply, latency=0.1) as api:
        one = Run(api.url, max_connections=2)
        sending = asyncio.create_task(one.send(one.jobs(10, "DELETE")))
        await until(lambda: len(api.arrived) == 2)
        one.sender.stop(30)
        await asyncio.wait_for(sending, 10)
    assert len(api.arrived) == 2
    assert one.outcomes == {outcome: 2}


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        pytest.param(OK, {"requests_per_second": 0.01}, id="waiting for its turn"),
        pytest.param((429, {"Retry-After": "60"}, ""), {}, id="waiting for the server"),
    ],
)
async def test_stop_ends_what_waits_at_once_as_not_sent(reply: Reply, options: dict[str, Any]) -> None:
    async with Api(lambda _: reply, latency=0.01) as api:
        one = Run(api.url, max_connections=4, **options)
        sending = asyncio.create_task(one.send(one.jobs(100)))
        await until(lambda: api.arrived and not one.sender._sending and one.pulled - len(one.results) == 4)
        one.sender.stop(50)
        await asyncio.wait_for(sending, 10)
    waiting = [verdict for verdict in one.results.values() if verdict.outcome is Outcome.NOT_SENT]
    assert len(waiting) == 4
    assert all(verdict.reason for verdict in waiting)
    assert len(one.results) == one.pulled


async def test_stop_while_connecting_is_not_sent() -> None:
    connected = asyncio.Event()

    async def never_shake_hands(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await stopped.wait()
        writer.close()

    stopped = asyncio.Event()
    server = await asyncio.start_server(never_shake_hands, "127.0.0.1", 0)
    one = Run(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=2)
    sending = asyncio.create_task(one.send(one.jobs(10)))
    await connected.wait()
    one.sender.stop(0.05)
    await sending
    stopped.set()
    server.close()
    assert one.outcomes == {"not_sent": 2}


async def test_stop_while_the_source_waits() -> None:
    async def endless() -> AsyncIterator[Job]:
        yield Job(0, Request("POST", "/pass/0/notify", b"{}"))
        await asyncio.Event().wait()

    async with Api() as api:
        one = Run(api.url)
        sending = asyncio.create_task(one.send(endless()))
        await until(lambda: one.results)
        one.sender.stop()
        await asyncio.wait_for(sending, 10)
        one.sender.stop()
    assert one.outcomes == {"accepted": 1}
    one.sender.stop()


async def test_stop_before_run_and_after_the_loop() -> None:
    runs: dict[int, Run] = {}
    async with Api() as api:
        one = runs[0] = Run(api.url)
        one.sender.stop()
        await one.send(one.jobs(10))
        assert (one.pulled, api.arrived) == (0, [])
    runs[0].sender.stop()


async def test_error_of_the_source_comes_after_the_results() -> None:
    async def broken(one: Run) -> AsyncIterator[Job]:
        async for job in one.jobs(5):
            yield job
        raise LookupError("the query broke")

    async with Api(latency=0.1) as api:
        one = Run(api.url, max_connections=8)
        with pytest.raises(LookupError, match="the query broke"):
            await one.send(broken(one))
    assert one.outcomes == {"accepted": 5}


async def test_source_that_cancels_itself_is_no_normal_end() -> None:
    async def cancelled(one: Run) -> AsyncIterator[Job]:
        async for job in one.jobs(2):
            yield job
        raise asyncio.CancelledError

    async with Api() as api:
        one = Run(api.url)
        with pytest.raises(asyncio.CancelledError):
            await one.send(cancelled(one))
    assert one.outcomes == {"accepted": 2}


class TimeOutLikeAirflows(BaseException):
    """Airflow's task time-out is not an Exception, so that no ``except Exception`` catches it."""


@pytest.mark.parametrize("error", [TimeOutLikeAirflows, LookupError])
async def test_error_of_the_caller_ends_the_run(error: type[BaseException]) -> None:
    def fail(job: Job, _verdict: Verdict) -> None:
        if job.number == 2:
            raise error

    async with Api(latency=0.05) as api:
        one = Run(api.url, max_connections=4)
        one.on_result = fail
        with pytest.raises(error):
            await one.send(one.jobs(100))
    assert one.pulled == len(api.arrived) == len(one.results) < 20
    assert one.outcomes == {"accepted": len(one.results)}, "what was in flight had its grace"


async def test_time_out_comes_before_other_errors_and_none_is_left_over() -> None:
    left_over = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: left_over.append(context["message"]))

    def fail(job: Job, _verdict: Verdict) -> None:
        raise TimeOutLikeAirflows if job.number == 3 else LookupError

    async with Api(latency=0.05) as api:
        one = Run(api.url, max_connections=4)
        one.on_result = fail
        with pytest.raises(TimeOutLikeAirflows):
            await one.send(one.jobs(100))
    del one
    gc.collect()
    assert left_over == []


async def test_time_out_in_may_send_is_not_taken_for_a_reason() -> None:
    def may_send() -> None:
        raise TimeOutLikeAirflows

    async with Api() as api:
        one = Run(api.url, may_send=may_send, max_connections=2)
        with pytest.raises(TimeOutLikeAirflows):
            await one.send(one.jobs(10))
    assert api.arrived == []
    assert set(one.outcomes) <= {"not_sent"}


async def test_cancelling_the_run_reports_and_passes_on() -> None:
    async with Api(lambda _: HANG) as api:
        one = Run(api.url, max_connections=4)
        sending = asyncio.create_task(one.send(one.jobs(100)))
        await until(lambda: len(api.arrived) == 4)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert one.outcomes == {"unknown": 4}


async def test_memory_does_not_grow_with_the_jobs() -> None:
    tracemalloc = pytest.importorskip("tracemalloc")

    async def peak(count: int) -> int:
        async with Api() as api:
            one = Run(api.url)
            one._note = lambda _job, _verdict: None  # type: ignore[method-assign, assignment]
            api.arrived = _Forgetful()
            tracemalloc.start()
            await one.send(one.jobs(count))
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    small = await peak(200)
    assert await peak(2000) < 1.5 * small


class _Forgetful(list[tuple[float, int]]):
    def append(self, _: tuple[float, int]) -> None:
        pass
