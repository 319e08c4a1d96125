"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from tests.clients import CLIENTS, Call


@pytest.fixture(params=CLIENTS)
def call(request: pytest.FixtureRequest) -> Call:
    """Each of the two clients in turn."""
    return CLIENTS[request.param]
