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

from tests.unit.messages import (  # noqa: F401 (each file adds its cases)
    cases_alerts,
    cases_answers,
    cases_batch,
    cases_inputs,
    cases_reports,
    cases_send,
    cases_sources,
    cases_tickets,
)
from tests.unit.messages.stage import CASES, PACKAGE, Site, Stage, play

pytestmark = [
    pytest.mark.usefixtures("no_proxy", "no_back_off"),
    pytest.mark.skipif(not airflow.__version__.startswith("3.3"), reason="Airflow's part of the texts is that of 3.3"),
]
GUIDE = PACKAGE.parent / "docs"
MAX_HEADLINE = 90
MIN_WORDS = 20
"""So many characters tell one message from all others."""
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


def messages_in(file: Path) -> Iterator[tuple[range, str, str]]:
    """Yield each ``raise`` of a new error, and each line of a log above "debug": its lines, its code, its words."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        call: ast.Call | None = None
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            call = node.exc
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in LOG_CALLS:
            call = node
        if call is not None:
            lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
            yield lines, source.splitlines()[lines[0] - 1].strip(), words_of(call)


def words_of(call: ast.Call) -> str:
    """Return a pattern of the first text of an error or a line of a log that is not too short; empty if none is."""
    found = (_pattern(node) for node in ast.walk(call) if isinstance(node, ast.Constant | ast.JoinedStr))
    return next((pattern for length, pattern in found if length >= MIN_WORDS), "")


def _pattern(text: ast.Constant | ast.JoinedStr) -> tuple[int, str]:
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    words = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
    pattern = ".*".join("" if word is None else re.escape(word) for word in words)
    return sum(len(word or "") for word in words), re.sub(r"%(\.\d)?[sdfr]", ".*", pattern)


def test_no_message_is_without_a_snapshot(reached: set[Site]) -> None:
    """Its line was reached, or its words stand in a snapshot. (A reason within another message is not chained to it.)

    without_snapshots.txt says why the others have none.
    """
    missing, stored = [], "\n".join(texts().values())
    for file in sorted(PACKAGE.rglob("*.py")):
        name = str(file.relative_to(PACKAGE))
        if not name.startswith(APART):
            for lines, text, words in messages_in(file):
                if not any((name, line) in reached for line in lines) and not (words and re.search(words, stored)):
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


def test_each_first_line_that_says_where_to_read_is_in_the_guides_table() -> None:
    """And the table leads to the same section. (A deletion has the words of a send.)"""
    page = (GUIDE / "at-night.md").read_text().partition("## Unknown")[0]
    rows = []
    for row, anchor in re.findall(r"^\| (`.*?) \|.*\(#([\w-]+)\)", page, re.MULTILINE):
        begins, *others = [re.sub(r"\b[NM]\b", r"[\\d,]+", re.escape(part)) for part in re.findall(r"`([^`]+)`", row)]
        rows += [(f"{begins}.*{other}", anchor) for other in others or [""]]
    missing = []
    for line, section in re.findall(
        r"^ *(?:[\w.]+: )?\w+(?:Error|Timeout): (.*)\n(?: *(?:What |-).*\n| {4}.*\n)* *"
        r"Where to read: the guide, \"At night\", \"(.+)\"",
        "\n".join(texts().values()),
        re.MULTILINE,
    ):
        words = line.replace("Not deleted from", "Not sent to").replace("ot deleted:", "ot sent:")
        leads = {anchor for pattern, anchor in rows if re.match(pattern, words)}
        if leads != {section.lower().replace(" ", "-")}:
            missing.append((line, section, leads))
    assert missing == []


def test_first_lines_are_short() -> None:
    """Airflow cuts them at the right edge. What Airflow itself or a check of an argument says has one line only."""
    long = [
        line
        for text in texts().values()
        for line, follows in re.findall(r"^ *\w+Error: (.*)\n +(What is known:)", text, re.MULTILINE)
        if len(line) > MAX_HEADLINE
    ]
    assert long == []
