"""This release continues sends and batches that 0.1.0 left unfinished. The upgrade does not notify anybody twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.exceptions import BatchFailedError, DeliveryUnknownError
from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox
from tests.batch_tools import batch, passes
from tests.stores import Store, context_of

WRITTEN = json.loads((Path(__file__).parent / "journals_0_1_0.json").read_text())
ROWS = 40


@pytest.fixture
def sandbox(connection: Callable[..., str]) -> Iterator[RunningSandbox]:
    with running_sandbox(passes=ROWS) as sandbox:
        fields = json.loads(sandbox.connection)
        connection(host=fields["host"], login=fields["login"], password=fields["password"])
        yield sandbox


def store_of(written: dict[str, Any]) -> Store:
    store = Store()
    store.values = {key: json.dumps(value) for key, value in written["values"].items()}
    return store


def send(name: str) -> int:
    """Run the second try of a task. The old release ran the first one."""
    operator = SendNotificationOperator(task_id="send", target_type="pass", pass_id=123, value="Gate 5", retries=2)
    return operator.execute(context_of(store_of(WRITTEN["single"][name]), 2, 2, retries=2))


def run_batch(name: str, **options: Any) -> tuple[dict[str, Any], Store]:
    context = context_of(store_of(WRITTEN["batch"][name]), 2, 3, retries=3)
    operator = batch(passes(ROWS), **options)
    try:
        summary = operator.execute(context)
    except BatchFailedError:
        summary = context["ti"].pushed["return_value"]
    return summary, context["task_state_store"]


def test_what_was_sent_is_not_sent_again(sandbox: RunningSandbox) -> None:
    assert send("sent") == WRITTEN["single"]["sent"]["result"]
    assert sandbox.requests()["methods"]["POST"] == 0


def test_what_may_have_been_sent_stays_unknown(sandbox: RunningSandbox) -> None:
    with pytest.raises(DeliveryUnknownError):
        send("died_in_flight")
    assert sandbox.requests()["methods"]["POST"] == 0


def test_what_was_not_sent_is_sent_now(sandbox: RunningSandbox) -> None:
    assert send("not_sent") > 0
    assert sandbox.requests()["methods"]["POST"] == 1


@pytest.mark.parametrize(
    ("name", "sent", "unknown"), [("intent_only", ROWS - 2, 2), ("half_way", ROWS, 0), ("ended_with_failures", ROWS, 0)]
)
@pytest.mark.parametrize("on_clear", ["resume", "resend"])
def test_a_batch_goes_on_where_it_stood(
    sandbox: RunningSandbox, name: str, sent: int, unknown: int, on_clear: str
) -> None:
    summary, _ = run_batch(name, on_clear=on_clear)
    assert (summary["sent"], summary["unknown"], summary["total"]) == (sent, unknown, ROWS)
    assert set(sandbox.counts()).isdisjoint(WRITTEN["batch"][name]["rung"]), "nobody is rung twice"
    assert len(sandbox.counts()) == ROWS - len(WRITTEN["batch"][name]["rung"])
