"""Builds and tries what a release publishes: the sdist, the wheel, and the README in a fresh environment.

``make release-check`` runs it. Nothing is uploaded. Only the built files in ``build/dist`` are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "build" / "dist"
UV = ROOT / ".venv-uv" / "bin" / "uv"
PACKAGE = "airflow_provider_passnotify"
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.txt"

TESTS = (
    "tests/contract",
    "tests/airflow/test_provider.py",
    "tests/airflow/test_example_dags.py",
)
"""These tests are run against the installed wheel, without the source of the package."""


def main() -> None:
    """Check everything. Exit at the first problem."""
    check_changelog()
    sdist, wheel = build()
    check_contents(sdist)
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    # (Nobody's e-mail address is in the metadata.)
    run(sys.executable, "-m", "pyroma", "--min", "10", "--skip-tests", "AuthorEmail", str(sdist))
    run(sys.executable, str(ROOT / "scripts" / "install_check.py"), "--wheel", str(wheel))
    check_installed(sdist, wheel)
    check_deployment()
    print(f"release-check: {sdist.name} and {wheel.name} are fine", flush=True)


def check_changelog() -> None:
    """Exit if the newest section of the changelog is not about the version that is built."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / PACKAGE / "__init__.py").read_text())
    section = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not version or not section or section[1] != version[1]:
        sys.exit(
            f"CHANGELOG.md begins with {section and section[1]}, the package's version is {version and version[1]}"
        )


def build() -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def check_contents(sdist: Path) -> None:
    """Exit if the sdist lacks a file that git has, because ``make`` may need any of them."""
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    missing = sorted(name for name in git.stdout.splitlines() if name not in held and (ROOT / name).exists())
    if missing:
        sys.exit(f"the sdist lacks {', '.join(missing)}")
    print(f"{sdist.name}: all {len(held)} files are there", flush=True)


def check_installed(sdist: Path, wheel: Path) -> None:
    """Run tests of the sdist against the installed wheel, without the package's source."""
    with tempfile.TemporaryDirectory(prefix="passnotify-release-") as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        shutil.rmtree(unpacked / PACKAGE)
        python = unpacked / ".venv" / "bin" / "python"
        run(str(UV), "venv", "--quiet", "--python", sys.executable, str(unpacked / ".venv"))
        install = (str(UV), "pip", "install", "--quiet", "--python", str(python), "--constraint", str(CONSTRAINTS))
        run(*install, f"{wheel}[dev]")
        run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, folder=unpacked)


def check_deployment() -> None:
    """Run what docs/deployment.md says about the wheel and the image, in a fresh environment in place of an image."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    make_wheel = found(r"^(pip wheel .*)$", page)
    airflow = found(r"^FROM apache/airflow:(.*)$", page)
    install = found(r"^RUN (.*)$", page)
    with tempfile.TemporaryDirectory(prefix="passnotify-image-") as folder:
        bin_folder = Path(folder) / "venv" / "bin"
        python = str(bin_folder / "python")
        run(str(UV), "venv", "--quiet", "--seed", "--python", sys.executable, str(bin_folder.parent))
        pinned = f"apache-airflow=={airflow}"
        run(str(UV), "pip", "install", "--quiet", "--python", python, "--constraint", str(CONSTRAINTS), pinned)
        before = versions(python)
        environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_VERSION": airflow,
            "AIRFLOW_HOME": folder,
            "PIP_QUIET": "1",
        }
        for command in (
            make_wheel.replace("dist", folder),
            install.replace("/tmp/", f"{folder}/"),
            "airflow providers get airflow-provider-passnotify",
        ):
            run("bash", "-c", command, environment=environment)
        changed = {name for name, version in versions(python).items() if before.get(name, version) != version}
        if changed:
            sys.exit(f"'{install}' changed packages of the image: {', '.join(sorted(changed))}")


def found(pattern: str, text: str) -> str:
    """Return the text that a pattern finds on a page. Exit if it finds nothing."""
    match = re.search(pattern, text, re.MULTILINE)
    if not match:
        sys.exit(f"docs/deployment.md has no line {pattern}")
    return match[1]


def versions(python: str) -> dict[str, str]:
    """Return the version of each package of an environment."""
    command = [python, "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


def run(*command: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
    """Run a command; exit if it fails."""
    print(f"=== {' '.join(command)}", flush=True)
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        sys.exit(f"'{' '.join(command)}' failed")


if __name__ == "__main__":
    main()
