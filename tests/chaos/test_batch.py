"""The short form of :mod:`tests.chaos.batch`, for CI: with Airflow's store (3.3), and with a folder (each version)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.batch import Stage, a_stage, play_kills, play_marked_failed
from tests.chaos.database import has_server
from tests.chaos.stage import HAS_STORE, IS_AIRFLOW_2

ROWS, KILLS, SEED = 9000, 3, 1
"""Two chunks are left unknown by each kill on a fast machine, and there are rows enough for the next try."""


@pytest.fixture(scope="module", params=["store", "folder"] if HAS_STORE else ["folder"])
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    if IS_AIRFLOW_2 and not has_server():
        pytest.skip("LocalExecutor needs PostgreSQL here")
    with a_stage(tmp_path_factory.mktemp("airflow"), ROWS, folder=request.param == "folder") as stage:
        yield stage


def test_a_batch_that_is_killed_again_and_again_sends_nothing_twice(stage: Stage) -> None:
    outcome = play_kills(stage, KILLS, random.Random(SEED))
    print(outcome.text)
    assert outcome.problems == []


def test_a_batch_that_is_marked_as_failed_stops(stage: Stage) -> None:
    outcome = play_marked_failed(stage)
    print(outcome.text)
    assert outcome.problems == []
