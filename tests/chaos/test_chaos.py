"""The short form for CI, with every step once: ``python -m pytest -s tests/chaos``.

On Airflow 3.3, the journal is in Airflow's own store. On older ones, it is in a folder.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.chaos.database import has_server
from tests.chaos.driver import Driver, Result, short_plan
from tests.chaos.faults import faults_of
from tests.chaos.stage import HAS_STORE, IS_AIRFLOW_2, a_stage
from tests.chaos.table import table

SEED = 1


@pytest.mark.skipif(IS_AIRFLOW_2 and not has_server(), reason="LocalExecutor needs PostgreSQL here")
def test_nothing_is_sent_twice_and_nothing_is_lost_silently(tmp_path: Path) -> None:
    faults = faults_of(folder=not HAS_STORE, airflow_2=IS_AIRFLOW_2)

    async def play() -> list[Result]:
        async with a_stage(tmp_path, folder=not HAS_STORE) as stage:
            return await Driver(stage, random.Random(SEED)).play(short_plan(faults))

    results = asyncio.run(play())
    print(f"\n{table(results)}\nseed {SEED}")
    assert [result for result in results if result.problems] == []
