"""Each line of the guide's "What happens when" is played by ``make chaos``: on 3.3, and with a folder on 2.11."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.driver import short_plan
from tests.chaos.faults import faults_of
from tests.chaos.lines import LINES
from tests.chaos.rounds import MODES

GUIDE = Path(__file__).parents[2] / "docs" / "delivery-guarantees.md"


def rows() -> list[list[str]]:
    """Return the cells of each line of these tables."""
    section = GUIDE.read_text().partition("\n## What happens when\n")[2].partition("\n## ")[0]
    tables = [block for block in section.split("\n\n") if block.startswith("|")]
    lines = [line for table in tables for line in table.strip().splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def played(*, airflow_2: bool) -> set[str]:
    """Return the lines that the short form plays: with Airflow's store, or with a folder on Airflow 2."""
    plans = short_plan(faults_of(folder=airflow_2, airflow_2=airflow_2))
    for line in {plan.fault.line for plan in plans if plan.fault.told_apart}:
        assert {plan.mode for plan in plans if plan.fault.line == line} == {*MODES}
    return {plan.fault.line for plan in plans} - {""}


def test_lines_of_the_guide_are_those_of_the_faults() -> None:
    assert [cells[0] for cells in rows()] == list(LINES)


def test_every_line_is_played_with_airflows_store() -> None:
    assert played(airflow_2=False) == {*LINES}


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0])
def test_line_is_played_on_airflow_2_with_a_folder_or_says_that_it_is_not(cells: list[str]) -> None:
    assert (cells[0] in played(airflow_2=True)) != cells[3].startswith("not played")
