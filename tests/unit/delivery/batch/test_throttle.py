"""The arithmetic of the throttle, with a simulated clock, so that no test waits."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

import pytest

from airflow_provider_passnotify.delivery.batch.throttle import CUT, RECOVERY, SLACK, AdaptiveRateLimiter

Refusal = float | None
"""The value of Retry-After in a 429."""


def take(throttle: AdaptiveRateLimiter, until: float, now: float = 0.0) -> list[float]:
    """Return the times at which a worker may send that is always ready."""
    moments = []
    while now < until:
        if wait := throttle.wait(now):
            now += wait
        else:
            moments.append(now)
    return moments


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)


def test_no_limit_is_open() -> None:
    throttle = AdaptiveRateLimiter(None)
    throttle.accepted(1.0)
    assert throttle.open
    assert throttle.wait(1.0) == throttle.wait(1.0) == 0.0


def test_limit_is_smooth_from_the_start() -> None:
    throttle = AdaptiveRateLimiter(10.0)
    assert not throttle.open
    moments = take(throttle, 1005.0, now=1000.0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(moments) in (50, 51)
    assert min(gaps) == pytest.approx(0.1)
    assert max(gaps) == pytest.approx(0.1)


def test_idle_time_is_not_saved_up() -> None:
    throttle = AdaptiveRateLimiter(10.0)
    assert throttle.wait(0.0) == 0.0
    assert throttle.wait(100.0) == 0.0
    assert throttle.wait(100.0) == pytest.approx(0.1)


def test_late_timer_does_not_lower_the_rate() -> None:
    throttle = AdaptiveRateLimiter(10.0)
    throttle.wait(0.0)
    throttle.wait(0.1 + SLACK / 2)
    assert throttle.wait(0.1 + SLACK / 2) == pytest.approx(0.1 - SLACK / 2)


def test_refusal_pauses_all_as_retry_after_says() -> None:
    throttle = AdaptiveRateLimiter(None, workers=100)
    throttle.throttled(10.0, started=9.9, retry_after=7.0)
    assert throttle.wait(10.0) == pytest.approx(7.0)
    assert throttle.wait(16.0) == pytest.approx(1.0)
    assert throttle.wait(17.0) == 0.0


def test_refusal_lowers_the_rate_to_what_was_accepted() -> None:
    throttle = AdaptiveRateLimiter(None, workers=100)
    for number in range(200):
        throttle.accepted(number / 200)
    assert throttle.throttled(1.0, started=0.9, retry_after=0.0)
    assert throttle.rate(2.0) >= throttle.rate(1.0) == pytest.approx(CUT * 200)


def test_cut_at_most_halves_what_was_allowed() -> None:
    throttle = AdaptiveRateLimiter(1000.0)
    throttle.accepted(0.5)
    throttle.throttled(1.0, started=0.9, retry_after=0.0)
    assert throttle.rate(1.0) == pytest.approx(CUT * 500)


def test_what_was_accepted_before_a_cut_says_nothing_after_it() -> None:
    throttle = AdaptiveRateLimiter(None)
    for _ in range(100):
        throttle.accepted(0.0)
    throttle.throttled(0.1, started=0.0, retry_after=0.0)
    throttle.accepted(0.7)
    throttle.throttled(0.8, started=0.7, retry_after=0.0)
    assert throttle.rate(0.8) == pytest.approx(CUT * CUT * 100 / 2, rel=0.1)


def test_rate_never_falls_to_nothing() -> None:
    throttle = AdaptiveRateLimiter(None, workers=4)
    for now in range(20):
        throttle.throttled(float(now), started=now - 0.1, retry_after=0.0)
    assert throttle.rate(20.0) == pytest.approx(CUT)


def test_what_was_in_flight_lowers_the_rate_once() -> None:
    throttle = AdaptiveRateLimiter(None, workers=100)
    lowered = [throttle.throttled(1.0 + n / 100, started=0.9 + n / 1000, retry_after=1.0) for n in range(10)]
    assert lowered == [True] + [False] * 9
    assert throttle.wait(1.1) == pytest.approx(0.99), "the last one's Retry-After lengthens the pause"


def test_speed_comes_back_gradually_and_the_limit_is_forgotten() -> None:
    throttle = AdaptiveRateLimiter(None)
    for _ in range(100):
        throttle.accepted(0.0)
    throttle.throttled(0.0, started=-0.1, retry_after=1.0)
    after = [throttle.rate(1.0 + RECOVERY * n / 2) for n in range(8)]
    assert after == sorted(after)
    assert after[0] == pytest.approx(CUT * 100)
    assert after[2] == pytest.approx(100)
    assert after[3] < 1.05 * 100, "it stays long around the rate that was refused"
    assert after[7] > 4 * 100
    throttle.wait(1.0 + 11 * RECOVERY)
    assert throttle.open


def test_configured_limit_holds_while_speed_comes_back() -> None:
    throttle = AdaptiveRateLimiter(50.0)
    throttle.throttled(0.0, started=-0.1, retry_after=1.0)
    assert throttle.rate(1.0 + 20 * RECOVERY) == 50.0


@pytest.mark.parametrize("retry_after", [None, 3600.0])
def test_pause_doubles_while_nothing_is_accepted(retry_after: Refusal) -> None:
    throttle = AdaptiveRateLimiter(None, workers=8)
    now, pauses = 0.0, []
    for _ in range(9):
        throttle.throttled(now, started=now, retry_after=retry_after)
        pauses.append(throttle.wait(now))
        now += pauses[-1]
        throttle.wait(now)
    assert pauses[:6] == pytest.approx([0.5, 1, 2, 4, 8, 16])
    assert max(pauses) <= 30
    throttle.accepted(now)
    throttle.throttled(now + 2, started=now + 1, retry_after=retry_after)
    assert throttle.wait(now + 2) == pytest.approx(0.5)


# A server with a limit and 256 workers with latency, on a simulated clock.


def window(limit: int, retry_after: Refusal) -> Callable[[float], bool | Refusal]:
    """Accept the first ``limit`` requests of each second."""
    seen: dict[int, int] = {}

    def answer(now: float) -> bool | Refusal:
        seen[int(now)] = seen.get(int(now), 0) + 1
        return True if seen[int(now)] <= limit else retry_after

    return answer


def bucket(limit: int, retry_after: Refusal) -> Callable[[float], bool | Refusal]:
    """Accept ``limit`` requests a second, and as many as in ten seconds at the start."""
    state = {"tokens": 10.0 * limit, "at": 0.0}

    def answer(now: float) -> bool | Refusal:
        state["tokens"] = min(10.0 * limit, state["tokens"] + (now - state["at"]) * limit)
        state["at"] = now
        if state["tokens"] < 1:
            return retry_after
        state["tokens"] -= 1
        return True

    return answer


def simulate(answer: Callable[[float], bool | Refusal], *, latency: float, seconds: float) -> list[tuple[float, bool]]:
    """Return for each request when it was answered, and whether it was accepted."""
    throttle = AdaptiveRateLimiter(None, workers=256)
    idle, order = deque(range(256)), itertools.count()
    events: list[tuple[float, int, int | None, float]] = []
    answers = []
    now, wake_at = 0.0, -math.inf
    while now < seconds:
        while idle:
            wait = 0.0 if throttle.open else throttle.wait(now)
            if wait:
                if wake_at <= now:
                    wake_at = now + wait
                    heapq.heappush(events, (wake_at, next(order), None, now))
                break
            heapq.heappush(events, (now + latency, next(order), idle.popleft(), now))
        now, _, worker, started = heapq.heappop(events)
        if worker is None:
            continue
        idle.append(worker)
        reply = answer(now)
        answers.append((now, reply is True))
        if reply is True:
            throttle.accepted(now)
        else:
            throttle.throttled(now, started=started, retry_after=reply)
    return answers


@pytest.mark.parametrize("latency", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0])
@pytest.mark.parametrize("server", [window, bucket])
def test_storm_settles(
    server: Callable[[int, Refusal], Callable[[float], bool | Refusal]], retry_after: Refusal, latency: float
) -> None:
    answers = simulate(server(100, retry_after), latency=latency, seconds=120)
    settled = [accepted for now, accepted in answers if now > 30]
    assert settled.count(False) <= 0.05 * len(settled)
    assert settled.count(True) >= 0.75 * 100 * 90, "and it uses what the server allows"


def test_speed_returns_when_the_storm_is_over() -> None:
    limited = window(100, 1.0)
    answers = simulate(lambda now: limited(now) if now < 30 else True, latency=0.1, seconds=120)
    assert sum(119 <= now < 120 for now, _ in answers) > 1000
