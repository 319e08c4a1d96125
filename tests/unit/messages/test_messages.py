"""What a user reads when something goes wrong, or right, held as snapshots in __snapshots__/test_messages.ambr.

Each case is really provoked. If you change a text on purpose, run ``pytest tests/unit/messages --snapshot-update``, and
read the difference of the snapshots as a person who was woken up by it would.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import airflow
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.unit.messages import cases_alerts, cases_batch, cases_inputs, cases_send, cases_tickets  # noqa: F401
from tests.unit.messages.stage import CASES, PACKAGE, Site, Stage, play

pytestmark = [
    pytest.mark.usefixtures("no_proxy", "no_back_off"),
    pytest.mark.skipif(not airflow.__version__.startswith("3.3"), reason="Airflow's part of the texts is that of 3.3"),
]
GUIDE = PACKAGE.parent / "docs"
MAX_HEADLINE = 90
LOG_CALLS = ("log.info", "log.warning", "log.error", "log.exception")
APART = ("sandbox/", "testing.py")


@pytest.mark.parametrize("name", CASES)
def test_message(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    assert play(CASES[name], Stage(monkeypatch, tmp_path)).text == snapshot


def texts() -> dict[str, str]:
    """Return the snapshots."""
    stored = (Path(__file__).parent / "__snapshots__" / "test_messages.ambr").read_text()
    return dict(re.findall(r"# name: test_message\[(\w+)\]\n(.*?)\n# ---", stored, re.DOTALL))


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> set[Site]:
    """Play all cases, and return where in the package their messages come from."""
    found: set[Site] = set()
    for name, run in CASES.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("random.uniform", lambda low, high: 0.0)  # noqa: ARG005
            found |= play(run, Stage(patch, tmp_path_factory.mktemp(name[:30]))).sites
    return found


def messages_in(file: Path) -> Iterator[tuple[range, str]]:
    """Yield the lines and the text of each ``raise`` of a new error, and of each line of a log above "debug"."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise):
            is_message = isinstance(node.exc, ast.Call)
        else:
            is_message = isinstance(node, ast.Call) and ast.unparse(node.func) in LOG_CALLS
        if is_message:
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)  # type: ignore[attr-defined]
            yield lines, source.splitlines()[lines[0] - 1].strip()


def test_no_message_is_without_a_snapshot(reached: set[Site]) -> None:
    """Those in without_snapshots.txt are parts of other messages, or have the same words as one that has a snapshot."""
    missing = []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = str(file.relative_to(PACKAGE))
        if not name.startswith(APART):
            for lines, text in messages_in(file):
                if not any((name, line) in reached for line in lines):
                    missing.append(f"{name}: {text}")
    listed = (Path(__file__).parent / "without_snapshots.txt").read_text().splitlines()
    assert sorted(missing) == [line for line in listed if not line.startswith("#")]


def test_at_night_has_the_same_words() -> None:
    """What the guide lists is the beginning of a message, and each section that a message names is there."""
    page, stored = (GUIDE / "at-night.md").read_text(), "\n".join(texts().values())
    sections = set(re.findall(r'Where to read: the guide, "At night", "([^"]+)"', stored))
    assert sections <= set(re.findall(r"^## (.+)$", page, re.MULTILINE))
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## Unknown")[0], re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        words = [re.sub(r"\b[NM]\b", r"[\\d,]+", re.escape(part)) for part in re.findall(r"`([^`]+)`", row)]
        for other in words[1:] or words:
            beginning = words[0] if other is words[0] else f"{words[0]}.*{other}"
            assert re.search(beginning, stored), row


def test_first_lines_are_short() -> None:
    """Airflow cuts them at the right edge. What Airflow itself or a check of an argument says has one line only."""
    long = [
        line
        for text in texts().values()
        for line, follows in re.findall(r"^ *\w+Error: (.*)\n +(What is known:)", text, re.MULTILINE)
        if len(line) > MAX_HEADLINE
    ]
    assert long == []
