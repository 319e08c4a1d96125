"""The sandbox answers as the API reference says, over real HTTP."""

from __future__ import annotations

import base64
import http.client
import json

import pytest
import requests

from airflow_provider_passnotify.sandbox.server import running_sandbox

MESSAGE = {"label": "Last Notification", "value": "20% off any one regular priced item"}
SEGMENT = "segments/12345/3b13666df-e5b3-4e42-8919-f8d63bd7ce2a/notify?templateId=6789"
# Every example request of the reference, and the passes that it reaches.
EXAMPLES = {
    "pass/123/notify": {"123"},
    "pass/template/12345/id/my_custom_pass_id/notify": {"126"},
    SEGMENT: {"423", "424", "425"},
    "tag/campaign123/notify?templateId=12345": {"123", "124", "125"},
    "template/123/notify": {"223", "224", "225"},
    "template/id/12345/notify": {"323", "324", "325"},
}


@pytest.fixture(scope="module")
def session_sandbox():
    with running_sandbox(passes=10, ticket_seconds=0) as sandbox:
        yield sandbox


def ask(sandbox, method, path, **options):
    """Send one request with exactly this path. ``requests`` would normalise it."""
    options = {"auth": sandbox.credential, **options}
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=30)
    headers = dict(options.get("headers", {}))
    if options["auth"]:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(options["auth"]).encode()).decode()
    body = json.dumps(options["json"]) if "json" in options else options.get("data")
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, json.loads(content)


def assert_error(answer, body, status, *words):
    assert answer.status == status
    assert set(body) == {"code", "description", "details"}
    assert body["code"] == status
    assert isinstance(body["description"], str)
    for word in words:
        assert word in body["details"]


@pytest.mark.parametrize("path", EXAMPLES)
def test_example_of_the_reference_works(sandbox, path):
    sent = requests.post(f"{sandbox.url}/v1/{path}", json=MESSAGE, auth=sandbox.credential, timeout=30)
    assert sent.status_code == 200
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.json() == {"ticketId": 1001}
    delivered = sandbox.deliveries()["passes"]
    assert set(delivered) == EXAMPLES[path]
    for entry in delivered.values():
        assert entry["count"] == 1
        assert entry["shows"] == MESSAGE
        assert {key: entry["received"][0][key] for key in MESSAGE} == MESSAGE

    deleted = requests.delete(f"{sandbox.url}/v1/{path}", auth=sandbox.credential, timeout=30)
    assert deleted.status_code == 200
    assert deleted.json() == {"ticketId": 1002}
    delivered = sandbox.deliveries()["passes"]
    assert set(delivered) == EXAMPLES[path]
    assert all((entry["count"], entry["shows"]) == (1, None) for entry in delivered.values())


def test_segment_is_deleted_without_template(sandbox):
    ask(sandbox, "POST", f"/v1/{SEGMENT}", json=MESSAGE)
    answer, _ = ask(sandbox, "DELETE", f"/v1/{SEGMENT.partition('?')[0]}")
    assert answer.status == 200
    assert {entry["shows"] for entry in sandbox.deliveries()["passes"].values()} == {None}


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("pass/999/notify", "Pass not found! There is no pass 999"),
        ("pass/0123/notify", "Pass"),
        ("pass/1000000/notify", "Pass"),
        ("pass/1000011/notify", "Pass"),
        ("pass/" + "9" * 5000 + "/notify", "Pass"),
        ("pass/%F0%9F%8E%89/notify", "🎉"),
        ("pass/../notify", "Pass"),
        ("pass//notify", "Pass"),
        ("pass/template/12345/id/nobody/notify", "instead of nobody"),
        ("pass/template/20000/id/customer-0/notify", "customer-0"),
        ("pass/template/20000/id/customer-11/notify", "customer-11"),
        ("pass/template/20000/id/customer-/notify", "customer-"),
        ("segments/12345/other/notify?templateId=6789", "Segment"),
        ("segments/1/3b13666df-e5b3-4e42-8919-f8d63bd7ce2a/notify?templateId=6789", "Segment"),
        ("segments/12345/3b13666df-e5b3-4e42-8919-f8d63bd7ce2a/notify?templateId=123", "template 123"),
        ("tag/nothing/notify?templateId=12345", "Tag"),
        ("tag/campaign123/notify?templateId=123", "Tag"),
        ("template/999/notify", "Template"),
        ("template/id/999/notify", "Template"),
        ("template/id%2F12345/notify", "id/12345"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_does_not_exist_is_not_found(sandbox, method, path, word):
    answer, body = ask(sandbox, method, f"/v1/{path}", json=MESSAGE)
    assert_error(answer, body, 404, "object not found", word)
    assert sandbox.counts() == {}


def test_one_segment_of_the_path_is_one_id(sandbox):
    """A tag with a slash is one tag. If the path is decoded too early, it is another path."""
    answer, body = ask(sandbox, "POST", "/v1/tag/a%2Fb%3Fc%25/notify?templateId=12345", json=MESSAGE)
    assert_error(answer, body, 404, "There is no tag a/b?c% on")
    answer, _ = ask(sandbox, "POST", "/v1/%70ass/%31%32%33/notify", json=MESSAGE)
    assert answer.status == 200
    answer, body = ask(sandbox, "POST", "/v1/pass/%FF/notify", json=MESSAGE)
    assert_error(answer, body, 400, "UTF-8")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ("{}", 400, "value"),
        ('{"value": ""}', 400, "value"),
        ('{"value": 5}', 400, "value"),
        ('{"value": null}', 400, "value"),
        ('{"value": "x", "label": 1}', 400, "label"),
        ('{"value": "x", "label": null}', 400, "label"),
        ('["value"]', 400, "object"),
        ("", 406, "JSON"),
        ('{"value": ', 406, "JSON"),
        (b'{"value": "\xff"}', 406, "JSON"),
        ("[" * 100_000, 406, "JSON"),
        ("9" * 5000, 406, "JSON"),
    ],
)
def test_bad_body_is_refused(sandbox, body, status, word):
    answer, content = ask(sandbox, "POST", "/v1/pass/123/notify", data=body)
    assert_error(answer, content, status, word)
    assert sandbox.counts() == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "tag/campaign123/notify"),
        ("DELETE", "tag/campaign123/notify"),
        ("POST", "tag/campaign123/notify?templateId="),
        ("POST", SEGMENT.partition("?")[0]),
        ("DELETE", SEGMENT.replace("6789", "")),
    ],
)
def test_missing_template_is_refused(sandbox, method, path):
    answer, body = ask(sandbox, method, f"/v1/{path}", json=MESSAGE)
    assert_error(answer, body, 400, "templateId")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v2/pass/123/notify", "/v1/pass/123", "/v1/pass/1/2/notify"])
def test_unknown_path(sandbox, path):
    answer, body = ask(sandbox, "GET", path)
    assert_error(answer, body, 404, "no such operation")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/pass/123/notify", "POST, DELETE"),
        ("PUT", "/v1/template/123/notify", "POST, DELETE"),
        ("POST", "/v1/ticket/1001", "GET"),
        ("DELETE", "/v1/system/status", "GET"),
    ],
)
def test_wrong_method(sandbox, method, path, allowed):
    answer, body = ask(sandbox, method, path)
    assert_error(answer, body, 405, method)
    assert answer.getheader("Allow") == allowed


@pytest.mark.parametrize("auth", [None, ("sandbox", "wrong"), ("wrong", "sandbox"), ("", "")])
@pytest.mark.parametrize("path", ["/v1/pass/123/notify", "/v1/pass/999/notify"])
def test_wrong_credential(sandbox, path, auth):
    answer, body = ask(sandbox, "POST", path, json=MESSAGE, auth=auth)
    assert_error(answer, body, 401)
    assert answer.getheader("WWW-Authenticate").startswith("Basic")
    assert sandbox.counts() == {}


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer c2FuZGJveDpzYW5kYm94", "c2FuZGJveDpzYW5kYm94"])
def test_malformed_credential(sandbox, header):
    answer, body = ask(sandbox, "GET", "/v1/ticket/0", auth=None, headers={"Authorization": header})
    assert_error(answer, body, 401)


def test_scheme_of_the_credential_has_no_case(sandbox):
    header = {"Authorization": "bASIC  c2FuZGJveDpzYW5kYm94"}
    answer, _ = ask(sandbox, "DELETE", "/v1/pass/123/notify", auth=None, headers=header)
    assert answer.status == 200


def test_other_credential_and_the_other_refusal():
    with running_sandbox(login="project", password="sécret:1", api_key_error=True) as sandbox:
        answer, _ = ask(sandbox, "DELETE", "/v1/pass/123/notify", auth=("project", "sécret:1"))
        assert answer.status == 200
        answer, body = ask(sandbox, "DELETE", "/v1/pass/123/notify", auth=("sandbox", "sandbox"))
        assert_error(answer, body, 500)
        assert body["description"] == "Error reading the api key"


def test_status_needs_no_credential(sandbox):
    answer, body = ask(sandbox, "GET", "/v1/system/status", auth=None)
    assert (answer.status, body) == (200, {"Hello": "World"})


def test_extra_passes(sandbox):
    for path in ("pass/1000001", "pass/template/20000/id/customer-10", "template/20000"):
        assert ask(sandbox, "POST", f"/v1/{path}/notify", json=MESSAGE)[0].status == 200
    assert sandbox.counts() == {str(1_000_000 + n): 2 if n in (1, 10) else 1 for n in range(1, 11)}
