"""Prism takes every example request of the reference from both hooks and the operator, and refuses what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.contract.examples import Example
from tests.contract.test_example_requests import CASES, RUNNERS
from tests.contract.test_openapi import WRONG

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize(("example", "target"), CASES)
def test_it_takes_every_example(
    example: Example, target: dict[str, str], run: Callable[..., int], prism: str, connection: Callable[..., str]
) -> None:
    connection(host=prism, login="project", password="secret")
    assert run(example, target) >= 0


@pytest.mark.parametrize("name", ["no credential", "no such path", "no body", "no value", "value no string"])
def test_it_refuses_what_is_wrong(name: str, prism: str) -> None:
    method, path, headers, body = WRONG[name]
    assert not requests.request(method, prism + path, headers=headers, data=body, timeout=30).ok
