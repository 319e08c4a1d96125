"""The table of answers: each way, each client, each method; see :mod:`tests.answer_table`."""

from __future__ import annotations

import re

import pytest

from tests.answer_table import NEXT_TICKET, REQUESTS, SENT, WAYS, Way, play
from tests.clients import CLIENTS
from tests.stalls import again_if_stalled

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

OF_A_LIBRARY = re.compile(r"Error\b|Exception\b|Read\b|Disconnected|StatusLine|message|<|\bb'|\b[0-9]{4,} bytes")
"""What a library calls it, and how it would print it."""


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@again_if_stalled
def test_every_answer_has_one_verdict_whoever_asks(way: Way, client: str, method: str) -> None:
    cell = play(way, client, method)
    assert (cell.verdict.outcome, cell.connection) == way.expected(client, method), cell.verdict
    assert (cell.following.outcome, cell.following.ticket_id) == (SENT, NEXT_TICKET), "the next one has its own answer"
    assert way.late is None or ("deadline" in cell.verdict.reason) == way.late, cell.verdict.reason
    if cell.verdict.failure is not None:
        words = cell.verdict.reason.partition(": ")[2]
        assert not OF_A_LIBRARY.search(words), "plain words"
