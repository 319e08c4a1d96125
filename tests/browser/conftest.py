"""Debian's headless Chromium with its own driver, and a sandbox whose page it opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox

# Without these, Chromium connects to Google's servers at every start.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    found = browser.find()
    if found is None:
        pytest.skip("there is no Chromium with its driver, and 'make browser' could not install them")
    options = webdriver.ChromeOptions()
    options.binary_location = found.chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    folder: Path = tmp_path_factory.mktemp("chromium")
    for argument in (*QUIET, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}")
    driver = webdriver.Chrome(options=options, service=Service(found.driver, env=found.environment))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(passes=1500, ticket_seconds=3600) as running:
        yield running


@pytest.fixture
def send(sandbox: RunningSandbox) -> Callable[..., requests.Response]:
    """Return a function that sends a notification to a path such as ``pass/123``."""

    def post(path: str, value: str, label: str | None = None, query: str = "") -> requests.Response:
        body = {"value": value} if label is None else {"value": value, "label": label}
        return requests.post(f"{sandbox.url}/v1/{path}/notify{query}", json=body, auth=sandbox.credential, timeout=30)

    return post
