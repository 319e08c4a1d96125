"""What a batch advises: nothing that would ring phones again which were reached already."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_passnotify.delivery.batch.ledger import Counts
from airflow_provider_passnotify.operators.batch_words import ways_after_sends

CLEAR = "then clear the task. That sends"
COUNTS = {
    "failed": Counts(sent=5, failed=2),
    "unknown": Counts(sent=5, unknown=2),
    "both": Counts(sent=5, failed=1, unknown=1),
}


def ways(counts: Counts, **more: bool) -> str:
    given = {"is_retried": False, "is_durable": True, "resume": True, "send_unknown": False, "has_report": True, **more}
    return "\n".join(ways_after_sends(counts, **given))


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_a_clear_is_advised_only_where_it_sends_to_nobody_twice(counts: Counts) -> None:
    for durable, resume, unknown, report in itertools.product([True, False], repeat=4):
        text = ways(counts, is_durable=durable, resume=resume, send_unknown=unknown, has_report=report)
        assert text, "there is always something to do"
        if not (durable and resume):
            assert CLEAR not in text
        elif counts.failed or unknown:
            assert CLEAR in text
        assert ("resume_from= this report" in text) <= report


def test_unknown_rows_are_only_sent_where_a_duplicate_does_no_harm() -> None:
    both = COUNTS["both"]
    assert "sends the failed rows and nobody else" in ways(both)
    assert "not sent again automatically" in ways(both)
    assert "sends the failed and unknown rows and nobody else" in ways(both, send_unknown=True)
    assert "not sent again automatically" not in ways(both, send_unknown=True)


def test_where_a_clear_discards_the_journal_it_says_how_to_keep_it() -> None:
    assert "keep the task state" in ways(COUNTS["failed"], may_discard=True)
    assert "keep the task state" not in ways(COUNTS["failed"])
    assert "keep the task state" not in ways(COUNTS["failed"], may_discard=True, resume=False)


def test_first_comes_the_retry() -> None:
    assert ways(COUNTS["failed"], is_retried=True).startswith("Nothing, if Airflow retries the task: ")
