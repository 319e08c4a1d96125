"""Starts Prism and mountebank, which ``make mock-servers`` installs from the npm registry into build/node."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build/node/node_modules/.bin"
START_SECONDS = 120.0


@contextmanager
def running(program: str, port: int, *arguments: str, log: Path) -> Iterator[str]:
    """Run one of the programs until the block ends, and give its URL."""
    if not shutil.which("node") or not (PROGRAMS / program).exists():
        pytest.skip(f"{program} is not installed: this machine has no node and npm, or no npm registry")
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(["node", str(PROGRAMS / program), *arguments], stdout=output, stderr=output)
    try:
        end = time.monotonic() + START_SECONDS
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.RequestException:
        return False
    return True


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prism, which knows the API by the OpenAPI description alone, and checks every request against it."""
    folder = tmp_path_factory.mktemp("prism")
    api = yaml.safe_load((ROOT / "tests/contract/openapi.yaml").read_text())
    # Prism does not understand a server that is only a path, nor YAML's merge keys.
    api = {**api, "servers": [{"url": "/"}], "paths": {f"/v1{path}": item for path, item in api["paths"].items()}}
    description = folder / "openapi.json"
    description.write_text(json.dumps(api))
    port = free_port()
    arguments = ("mock", "--host", "127.0.0.1", "--port", str(port), "--errors", str(description))
    with running("prism", port, *arguments, log=folder / "log") as url:
        yield url


@pytest.fixture(scope="session")
def mountebank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address where mountebank takes orders."""
    folder = tmp_path_factory.mktemp("mountebank")
    port = free_port()
    arguments = ("--port", str(port), "--host", "127.0.0.1", "--pidfile", str(folder / "pid"), "--nologfile")
    with running("mb", port, *arguments, log=folder / "log") as url:
        yield url
