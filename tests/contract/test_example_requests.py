"""The requests of the operators and of both hooks are the same as every example request of the reference."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_passnotify import __version__
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, PassNotifyHook
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from tests.contract.examples import EXAMPLES, ID_FORMS, MESSAGE, Example
from tests.servers import Received, serving

pytestmark = pytest.mark.usefixtures("no_proxy")

KEY = base64.b64encode(b"project:secret").decode()
Connect = Callable[..., str]
ID_FORM = {"target_type": "template", "template_id": "id/12345"}


def run_operator(example: Example, target: dict[str, str]) -> int:
    if example.method == "DELETE":
        return DeleteNotificationOperator(task_id="delete", **target).execute({})
    message = {"value": MESSAGE["value"], "notification_label": MESSAGE["label"]}
    return SendNotificationOperator(task_id="send", **target, **message).execute({})


def run_hook(example: Example, target: dict[str, str]) -> int:
    hook = PassNotifyHook()
    if example.method == "DELETE":
        return hook.delete_notification(target)
    return hook.send_notification(target, value=MESSAGE["value"], label=MESSAGE["label"])


def run_async_hook(example: Example, target: dict[str, str]) -> int:
    async def run() -> int:
        async with PassNotifyAsyncHook() as hook:
            if example.method == "DELETE":
                return await hook.delete_notification(target)
            return await hook.send_notification(target, value=MESSAGE["value"], label=MESSAGE["label"])

    return asyncio.run(run())


RUNNERS = {"operator": run_operator, "hook": run_hook, "async hook": run_async_hook}
CASES = [pytest.param(example, example.target, id=example.name) for example in EXAMPLES] + [
    pytest.param(example, ID_FORM, id=f"{example.name} as template_id=id/12345") for example in ID_FORMS
]


def record(run: Callable[..., int], connection: Connect, *arguments: Any) -> Received:
    with serving() as server:
        connection(host=server.url, login="project", password="secret")
        assert run(*arguments) == 12345
    (request,) = server.received
    return request


def test_the_table_is_whole() -> None:
    assert len(EXAMPLES) == 12
    assert [example.method for example in EXAMPLES] == ["DELETE"] * 6 + ["POST"] * 6
    assert len({example.name for example in EXAMPLES}) == 12


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize(("example", "target"), CASES)
def test_request(example: Example, target: dict[str, str], run: Callable[..., int], connection: Connect) -> None:
    request = record(run, connection, example, target)
    assert request.line == f"{example.method} {example.path_and_query} HTTP/1.1"
    assert request.headers["authorization"] == example.headers["Authorization"].replace("<Base64 key>", KEY)
    assert request.headers.get("content-type") == example.headers.get("Content-Type")
    assert request.headers["api-revision"] == "1.2"
    assert request.headers["user-agent"] == f"airflow-provider-passnotify/{__version__}"
    if example.body is None:
        assert request.body == b""
    else:
        assert json.loads(request.body, object_pairs_hook=list) == list(example.body.items())  # order and doubles, too


@pytest.mark.parametrize(("example", "target"), CASES)
def test_operator_and_both_hooks_send_the_same_bytes(
    example: Example, target: dict[str, str], connection: Connect
) -> None:
    requests = [record(run, connection, example, target) for run in RUNNERS.values()]
    assert len({(request.line, request.body) for request in requests}) == 1


@pytest.mark.parametrize("run", [run_hook, run_async_hook])
def test_a_message_without_label_has_none_in_its_body(run: Callable[..., int], connection: Connect) -> None:
    example = EXAMPLES[6]

    def send(target: dict[str, str]) -> int:
        if run is run_hook:
            return PassNotifyHook().send_notification(target, value="Grüße \U0001f600")
        return asyncio.run(PassNotifyAsyncHook().send_notification(target, value="Grüße \U0001f600"))

    assert json.loads(record(send, connection, example.target).body) == {"value": "Grüße \U0001f600"}


def test_a_delete_by_segment_needs_no_template(connection: Connect) -> None:
    target = {"target_type": "segment", "project_id": "1", "segment_id": "2"}
    request = record(lambda: DeleteNotificationOperator(task_id="delete", **target).execute({}), connection)
    assert request.target == "/v1/segments/1/2/notify"


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_the_base64_key_alone_is_the_same_credential(run: Callable[..., int], connection: Connect) -> None:
    with serving() as server:
        connection(host=server.url, password=KEY)
        run(EXAMPLES[0], EXAMPLES[0].target)
    assert server.received[0].headers["authorization"] == f"Basic {KEY}"
