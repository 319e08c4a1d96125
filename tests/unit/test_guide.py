"""The guide: its code is that of ``example_dags``, every block of Python can be pasted, every link leads somewhere."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import DAG
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

from airflow_provider_passnotify import exceptions

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").glob("**/*.md")])

SOURCES = sorted((ROOT / "airflow_provider_passnotify").rglob("*.py"))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> list[Token]:
    """Return what a page holds; a heading has the anchor that code hosts and Sphinx give it."""
    return MarkdownIt().enable("table").use(anchors_plugin, max_level=6).parse(page.read_text())


def links(page: Path) -> Iterator[str]:
    for token in tokens(page):
        for child in token.children or ():
            if target := child.attrGet("href") or child.attrGet("src"):
                yield str(target)


def python_blocks() -> list[object]:
    return [
        pytest.param(token.content, id=f"{name(page)}:{token.map[0] + 1 if token.map else 0}")
        for page in PAGES
        for token in tokens(page)
        if token.type == "fence" and token.info.strip() == "python" and "import pytest" not in token.content
    ]


def test_the_code_of_the_pages_is_that_of_the_examples_and_docstrings() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "guide.py", "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, f"'make guide' mends this:\n{check.stdout}{check.stderr}"


@pytest.mark.parametrize("code", python_blocks())
def test_a_block_of_python_can_be_pasted_into_a_dag(code: str) -> None:
    if "from airflow.sdk import" in code:
        pytest.importorskip("airflow.sdk", reason="Airflow 3")
    with DAG("page", schedule=None):
        exec(compile(code, "page", "exec"), {"__name__": "page", "__file__": str(ROOT / "example_dags" / "page.py")})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target = urlsplit(link)
        if target.scheme in {"https", "mailto"}:
            continue
        file = (page.parent / unquote(target.path)).resolve() if target.path else page
        found = file.exists() and file.is_relative_to(ROOT)
        if not found or (target.fragment and target.fragment not in {token.attrGet("id") for token in tokens(file)}):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_contents() -> None:
    listed = {urlsplit(link).path for link in links(ROOT / "docs" / "index.md")}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} == listed


def test_the_architecture_names_code_that_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`([a-z_/]+\.py): ([A-Za-z_.]+)`", text)
    assert len(named) > 20
    missing = []
    for file, path in named:
        found: ast.AST | None = ast.parse((ROOT / "airflow_provider_passnotify" / file).read_text())
        for part in path.split("."):
            found = next((node for node in getattr(found, "body", ()) if getattr(node, "name", None) == part), None)
        if found is None:
            missing.append(f"{file}: {path}")
    assert missing == []


def test_the_glossary_has_the_words_of_the_guide() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    explained = re.findall(r"^\| \*\*(\w+)\*\* \|", text, re.MULTILINE)
    words = "push notification target ticket try attempt intent outcome verdict journal ledger chunk row report"
    assert set(words.split()) <= set(explained)
    assert len(explained) == len(set(explained))


def test_every_error_that_a_page_names_exists() -> None:
    known = {*vars(exceptions), *vars(builtins)}
    named = {word for page in PAGES for word in re.findall(r"\b[A-Z]\w+Error\b", page.read_text())}
    assert not named - known
    everything = [kind for kind in vars(exceptions).values() if isinstance(kind, type)]
    ours = {kind.__name__ for kind in everything if kind.__module__ == exceptions.__name__}
    runbook = (ROOT / "docs" / "at-night.md").read_text()
    finals = {name for name in ours if name.startswith("Final")}  # said of the error without "Final"
    roots = {"PassNotifyError", "PassNotifyApiError", "TicketError"}
    assert not {name for name in ours - finals - roots if f"`{name}`" not in runbook}


NEEDS_A_LOGICAL_DATE = re.compile(
    r"""(\{\{[^}]*?|\b(context|kwargs)\[["'])(?<!\| )\b(ds|ts|ds_nodash|ts_nodash|ts_nodash_with_tz|logical_date"""
    r"""|execution_date|(prev_)?data_interval_(start|end)(_success)?|prev_(start|end)_date_success)\b"""
)


@pytest.mark.parametrize("file", [*PAGES, *sorted((ROOT / "example_dags").glob("*.py")), *SOURCES], ids=name)
def test_what_a_run_without_a_logical_date_does_not_have_is_not_used(file: Path) -> None:
    found = [match.group() for match in NEEDS_A_LOGICAL_DATE.finditer(file.read_text())]
    assert found == [], "use dag_run.run_after, run_id or params"
