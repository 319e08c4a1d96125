"""The short form for CI, with every step once: ``python -m pytest -s tests/chaos``. It needs Airflow 3.3."""

from __future__ import annotations

import asyncio
import random
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from tests.chaos.driver import Driver, Result, short_plan
from tests.chaos.stage import a_stage
from tests.chaos.table import table

pytestmark = pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"), reason="before Airflow 3.3 there is no memory between tries"
)
SEED = 1


def test_nothing_is_sent_twice_and_nothing_is_lost_silently(tmp_path: Path) -> None:
    async def play() -> list[Result]:
        async with a_stage(tmp_path) as stage:
            return await Driver(stage, random.Random(SEED)).play(short_plan())

    results = asyncio.run(play())
    print(f"\n{table(results)}\nseed {SEED}")
    assert [result for result in results if result.problems] == []
