"""The guide's recipe for testing your own DAGs works unchanged, in a new project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from local_airflow import clean_environment

RECIPE = Path(__file__).parent / "recipe"


def test_the_recipe_passes_in_a_project_of_its_own(tmp_path: Path) -> None:
    project = shutil.copytree(RECIPE, tmp_path / "recipe")
    environment = {name: value for name, value in clean_environment().items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(project)]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
