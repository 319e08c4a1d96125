"""A test is repeated only if it failed while the machine stood still."""

from __future__ import annotations

import math

import pytest

from tests import stalls
from tests.stalls import MAX_TRIES, again_if_stalled


class Failing:
    def __init__(self, times: int) -> None:
        self.times, self.calls = times, 0

    def __call__(self) -> str:
        self.calls += 1
        assert self.calls > self.times
        return "passed"

    async def asynchronous(self) -> str:
        return self()


@pytest.mark.parametrize(("times", "calls"), [(0, 1), (2, 3), (99, MAX_TRIES)])
async def test_while_the_machine_stands_still(monkeypatch: pytest.MonkeyPatch, times: int, calls: int) -> None:
    monkeypatch.setattr(stalls, "MAX_PAUSE_SECONDS", -math.inf)
    first, second = Failing(times), Failing(times)
    if times < MAX_TRIES:
        assert again_if_stalled(first.__call__)() == "passed"
        assert await again_if_stalled(second.asynchronous)() == "passed"
    else:
        with pytest.raises(AssertionError):
            again_if_stalled(first.__call__)()
        with pytest.raises(AssertionError):
            await again_if_stalled(second.asynchronous)()
    assert (first.calls, second.calls) == (calls, calls)


def test_while_the_machine_runs_a_failure_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "MAX_PAUSE_SECONDS", math.inf)
    one = Failing(1)
    with pytest.raises(AssertionError):
        again_if_stalled(one.__call__)()
    assert one.calls == 1
