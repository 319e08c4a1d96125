"""The short form of :mod:`tests.chaos.batch`, for CI. On Airflow >= 3.3, which remembers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from packaging.version import Version

from tests.chaos.batch import Stage, a_stage, play_kills, play_marked_failed

pytestmark = pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"), reason="before Airflow 3.3 there is no memory between tries"
)
ROWS, KILLS, SEED = 6000, 3, 1


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with a_stage(tmp_path_factory.mktemp("airflow"), ROWS) as stage:
        yield stage


def test_a_batch_that_is_killed_again_and_again_sends_nothing_twice(stage: Stage) -> None:
    outcome = play_kills(stage, KILLS, random.Random(SEED))
    print(outcome.text)
    assert outcome.problems == []


def test_a_batch_that_is_marked_as_failed_stops(stage: Stage) -> None:
    outcome = play_marked_failed(stage)
    print(outcome.text)
    assert outcome.problems == []
