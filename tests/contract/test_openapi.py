"""A mock server checks requests with an OpenAPI description of the reference. It accepts what the provider sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from airflow_provider_passnotify.exceptions import RejectedError
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from tests.contract.examples import EXAMPLES, Example
from tests.contract.mock_server import MockServer, mock_server
from tests.contract.test_example_requests import CASES, RUNNERS

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server() as server:
        yield server


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize(("example", "target"), CASES)
def test_it_takes_every_example(
    example: Example,
    target: dict[str, str],
    run: Callable[..., int],
    server: MockServer,
    connection: Callable[..., str],
) -> None:
    connection(host=server.url, login="project", password="secret")
    ticket_id = run(example, target)
    assert (server.refused, server.accepted) == ([], [f"{example.method} {example.path_and_query} HTTP/1.1"])
    assert ticket_id == (1234 if example.method == "POST" else 12345)


AUTH = {"Authorization": "Basic cHJvamVjdDpzZWNyZXQ="}
JSON = {**AUTH, "Content-Type": "application/json"}
WRONG = {
    "no credential": ("DELETE", "/v1/pass/123/notify", {}, None),
    "bearer": ("DELETE", "/v1/pass/123/notify", {"Authorization": "Bearer x"}, None),
    "no /v1": ("DELETE", "/pass/123/notify", AUTH, None),
    "no such path": ("DELETE", "/v1/passes/123/notify", AUTH, None),
    "no id": ("DELETE", "/v1/pass//notify", AUTH, None),
    "slash in an id": ("DELETE", "/v1/pass/1/23/notify", AUTH, None),
    "another method": ("PUT", "/v1/pass/123/notify", JSON, b'{"value": "x"}'),
    "body on DELETE": ("DELETE", "/v1/pass/123/notify", JSON, b'{"value": "x"}'),
    "no body": ("POST", "/v1/pass/123/notify", JSON, None),
    "no value": ("POST", "/v1/pass/123/notify", JSON, b'{"label": "x"}'),
    "value no string": ("POST", "/v1/pass/123/notify", JSON, b'{"value": 1}'),
    "label null": ("POST", "/v1/pass/123/notify", JSON, b'{"value": "x", "label": null}'),
    "misspelt label": ("POST", "/v1/pass/123/notify", JSON, b'{"value": "x", "lable": "y"}'),
    "no JSON": ("POST", "/v1/pass/123/notify", JSON, b"value=x"),
    "another content type": ("POST", "/v1/pass/123/notify", {**AUTH, "Content-Type": "text/plain"}, b'{"value": "x"}'),
    "tag without template": ("POST", "/v1/tag/a/notify", JSON, b'{"value": "x"}'),
    "segment without template": ("POST", "/v1/segments/1/2/notify", JSON, b'{"value": "x"}'),
}


@pytest.mark.parametrize(("method", "path", "headers", "body"), WRONG.values(), ids=WRONG)
def test_it_can_refuse(server: MockServer, method: str, path: str, headers: dict[str, str], body: bytes | None) -> None:
    response = requests.request(method, server.url + path, headers=headers, data=body, timeout=10)
    assert response.status_code == 400
    assert len(server.refused) == 1


def test_what_it_refuses_is_a_rejection(
    server: MockServer, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider cannot make a wrong request, so this test changes its path prefix."""
    monkeypatch.setattr("airflow_provider_passnotify.api.protocol.API_PREFIX", "/v2")
    connection(host=server.url, login="project", password="secret")
    with pytest.raises(RejectedError):
        PassNotifyHook().delete_notification(EXAMPLES[0].target)
