"""Answers that cannot be used: the reason, as it stands within a message."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from airflow_provider_passnotify.api import attempt
from airflow_provider_passnotify.exceptions import PassNotifyApiError
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from airflow_provider_passnotify.operators.passnotify import SendNotificationBatchOperator
from tests.servers import CLOSE, NOTHING, TICKET, Answer, Greeter, answer
from tests.stalls import again_if_stalled, patient
from tests.unit.messages.stage import Stage, case

_BODY = b'{"ticketId": 12345}'
_OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": NOTHING,
    "no HTTP": Answer(b"hello\r\n\r\n", CLOSE),
    "headers are cut off": Answer(_OK + b"Content-Len", CLOSE),
    "body is cut off": Answer(_OK + b"Content-Length: 100\r\n\r\n" + _BODY, CLOSE),
    "last chunk is cut off": Answer(_OK + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + _BODY + b"\r\n0\r\n", CLOSE),
    "two lengths": Answer(_OK + b"Content-Length: 19\r\nContent-Length: 5\r\n\r\n" + _BODY, CLOSE),
    "another answer behind it": Answer(TICKET.data * 2),
    "too many headers": answer(headers={f"X-{number}": "x" for number in range(99)}, body=_BODY),
    "too large": answer(body=b" " * 1_100_000),
    "another encoding": answer(headers={"Content-Encoding": "br"}, body=_BODY),
    "no gzip": answer(headers={"Content-Encoding": "gzip"}, body=_BODY),
    "gzip is cut off": answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(_BODY)[:-9]),
    "too slow": Answer(_OK, drip=b"X"),
}


@case
def answers_that_cannot_be_used(stage: Stage) -> str:
    """What a single send says of them."""
    return _reasons(stage, _single)


@case
def answers_that_cannot_be_used_in_a_batch(stage: Stage) -> str:
    return _reasons(stage, _batch)


@case
def server_that_speaks_before_it_is_asked(stage: Stage) -> str:
    """What comes on a new connection is not the answer to the first push."""
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "QUIET_SECONDS", 20.0)  # ends as soon as the server speaks
        for send in (_single, _batch):
            with Greeter(b"220 mail.example.com\r\n") as server:
                stage.connect(server.url, extra={"max_retries": 0})
                lines.append(send(stage))
    return "\n".join(lines)


def _reasons(stage: Stage, send: Callable[[Stage], str]) -> str:
    lines = []
    for name, reply in ANSWERS.items():
        with stage.answering(reply) as server:
            stage.connect(server.url, extra={"max_retries": 0, "timeout": 30})
            lines.append(f"{name}: {_late(stage, send, server.url) if reply.drip else send(stage)}")
    return "\n".join(lines)


@again_if_stalled
def _late(stage: Stage, send: Callable[[Stage], str], url: str) -> str:
    seconds = patient(0.5)
    stage.connect(url, extra={"max_retries": 0, "timeout": [seconds, seconds]})
    said = send(stage)
    assert "deadline" in said, said
    return said.replace(f"deadline, {2 * seconds:g} s", "deadline, 1 s")


def _single(_: Stage) -> str:
    try:
        PassNotifyHook().send_notification({"target_type": "pass", "pass_id": 123}, value="Hello")
    except PassNotifyApiError as error:
        return error.verdict.reason
    raise AssertionError


def _batch(stage: Stage) -> str:
    rows = [{"target_type": "pass", "pass_id": 123, "value": "Hello"}]
    operator = SendNotificationBatchOperator(task_id="batch", notifications=rows, max_failures=1)
    return str(operator.execute(stage.context(store=None))["failures"][0]["error"])
