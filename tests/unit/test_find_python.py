"""scripts/find-python.sh: which Python it finds for which Airflow, and what it says if there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.wheels import ROOT


@pytest.fixture
def pyenv(tmp_path: Path) -> Path:
    """A folder with Pythons, as pyenv has it. There is no Python on the PATH."""
    for version, says in (
        ("3.10.13", "3.10"),
        ("3.11.7", "3.11 without venv"),
        ("3.12.1", "3.12"),
        ("3.13.0", "3.13"),
    ):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho '{says}'\n")
        python.chmod(0o755)
    return tmp_path


def find(series: str, pyenv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(ROOT / "scripts/find-python.sh"), series],
        env={"PATH": "/nonexistent", "PYENV_ROOT": str(pyenv), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("series", "version"),
    [("2.11", "3.10.13"), ("3.3", "3.10.13"), ("3.4", "3.12.1"), ("floor", "3.10.13"), ("ceiling", "3.13.0")],
)
def test_pythons_of_pyenv_are_found(series: str, version: str, pyenv: Path) -> None:
    found = find(series, pyenv)
    assert found.stdout.strip() == str(pyenv / "versions" / version / "bin" / "python"), found.stderr


def test_the_one_that_is_named_comes_first(pyenv: Path) -> None:
    named = str(pyenv / "versions/3.12.1/bin/python")
    assert find("3.3", pyenv, PYTHON=named).stdout.strip() == named


def test_what_is_taken_instead_of_the_newest_is_said(pyenv: Path) -> None:
    assert find("ceiling", pyenv).stderr == "Python 3.14 is not on this machine, and uv could not fetch it.\n"


@pytest.mark.parametrize(("series", "says"), [("floor", "Python 3.10 is not"), ("3.3", "Airflow 3.3 runs on Python")])
def test_none_is_an_error_that_says_so(series: str, says: str, tmp_path: Path) -> None:
    found = find(series, tmp_path)
    assert found.returncode == 1
    assert says in found.stderr


def test_what_is_not_here_is_fetched_by_uv(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\n[ "$2" = find ] && echo "fetched $5"\nexit 0\n')
    uv.chmod(0o755)
    assert find("floor", tmp_path, UV=str(uv)).stdout.strip() == "fetched 3.10"
