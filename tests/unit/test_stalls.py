"""A test with short time-outs is repeated: while the machine stands still, and once with long time-outs."""

from __future__ import annotations

import math

import pytest

from tests import stalls
from tests.stalls import LONGER, MAX_TRIES, again_if_stalled, patient


class Failing:
    def __init__(self, times: int) -> None:
        self.times = times
        self.time_outs: list[float] = []

    def __call__(self) -> str:
        self.time_outs.append(patient(0.5))
        assert len(self.time_outs) > self.times
        return "passed"

    async def asynchronous(self) -> str:
        return self()


async def time_outs(times: int) -> list[float]:
    """Return the time-outs of each call of a function that fails so many times."""
    first, second = Failing(times), Failing(times)
    if times < MAX_TRIES:
        assert again_if_stalled(first.__call__)() == "passed"
        assert await again_if_stalled(second.asynchronous)() == "passed"
    else:
        with pytest.raises(AssertionError):
            again_if_stalled(first.__call__)()
        with pytest.raises(AssertionError):
            await again_if_stalled(second.asynchronous)()
    assert first.time_outs == second.time_outs
    assert patient(0.5) == 0.5
    return first.time_outs


@pytest.mark.parametrize(("times", "calls"), [(0, 1), (2, 3), (99, MAX_TRIES)])
async def test_while_the_machine_stands_still(monkeypatch: pytest.MonkeyPatch, times: int, calls: int) -> None:
    monkeypatch.setattr(stalls, "MAX_PAUSE_SECONDS", -math.inf)
    last = LONGER * 0.5 if calls == MAX_TRIES else 0.5
    assert await time_outs(times) == [*[0.5] * (calls - 1), last]


@pytest.mark.parametrize("times", [1, 99])
async def test_while_the_machine_runs_it_is_repeated_once_with_long_time_outs(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(stalls, "MAX_PAUSE_SECONDS", math.inf)
    assert await time_outs(times) == [0.5, LONGER * 0.5]
