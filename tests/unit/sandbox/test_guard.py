"""No page of another site, in the browser of somebody who runs the sandbox, may use it."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_passnotify.sandbox.server import RunningSandbox, running_sandbox

FOREIGN = "comes from a page of another site"
PATHS = [
    ("POST", "/v1/pass/123/notify"),
    ("DELETE", "/v1/pass/123/notify"),
    ("GET", "/v1/ticket/1001"),
    ("GET", "/_sandbox/deliveries"),
    ("POST", "/_sandbox/reset"),
    ("POST", "/_sandbox/faults"),
    ("GET", "/_sandbox"),
]


def ask(sandbox: RunningSandbox, method: str, path: str, **headers: str) -> requests.Response:
    return requests.request(
        method, sandbox.url + path, json={"value": "x"}, auth=sandbox.credential, headers=headers, timeout=30
    )


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example.com"}, "does not go by the name 'evil.example.com'"),
        ({"Host": "localhost.evil.example.com:8080"}, "does not go by the name"),
        ({"Host": "127.0.0.1.evil.example.com"}, "does not go by the name"),
        ({"Host": "["}, "does not go by the name"),
        ({"Host": "evil.example.com", "Origin": "http://evil.example.com"}, "does not go by the name"),
        ({"Origin": "https://evil.example.com"}, FOREIGN),
        ({"Origin": "http://127.0.0.1:1"}, FOREIGN),
        ({"Origin": "null"}, FOREIGN),
        ({"Sec-Fetch-Site": "cross-site"}, FOREIGN),
        ({"Sec-Fetch-Site": "same-site"}, FOREIGN),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, FOREIGN),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Origin": "https://evil.example.com"}, FOREIGN),
    ],
)
def test_what_a_foreign_page_can_send_is_refused(
    method: str, path: str, headers: dict[str, str], why: str, sandbox: RunningSandbox
) -> None:
    answer = ask(sandbox, method, path, **headers)
    assert answer.status_code == 403
    assert why in answer.json()["detail"]
    assert sandbox.requests()["total"] == 0
    assert sandbox.counts() == {}


def test_programs_and_pages_of_its_own_are_served() -> None:
    with running_sandbox() as sandbox:
        port = sandbox.url.rpartition(":")[2]
        for number, headers in enumerate(
            [
                {},
                {"Host": f"localhost:{port}"},
                {"Host": "LOCALHOST."},
                {"Host": "[::1]:8080"},
                {"Host": "192.0.2.7:8080"},
                {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}", "Sec-Fetch-Site": "same-origin"},
                {"Sec-Fetch-Site": "none"},
                {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},
            ],
            start=1,
        ):
            assert ask(sandbox, "POST", "/v1/pass/123/notify", **headers).status_code == 200, headers
            assert sandbox.counts() == {"123": number}


def test_further_hosts_are_allowed_by_name() -> None:
    with running_sandbox(allowed_hosts=("sandbox", "Passnotify.Example.com")) as sandbox:
        for host in ("sandbox:8080", "SANDBOX", "passnotify.example.com"):
            assert ask(sandbox, "POST", "/v1/pass/123/notify", Host=host).status_code == 200
        assert ask(sandbox, "POST", "/v1/pass/123/notify", Host="other:8080").status_code == 403


def test_a_regular_expression_cannot_make_it_stand_still() -> None:
    with running_sandbox() as sandbox:
        sandbox.add_fault("status", status=404, path="(a+)+$|(.*)*x")
        tag = "a" * 5000 + "!"
        answer = ask(sandbox, "POST", f"/v1/tag/{tag}/notify?templateId=12345")
        assert answer.status_code in (200, 404)
        for pattern in (r"(?=x)", r"(a)\1", "(", "a{1000000000}"):
            with pytest.raises(ValueError, match="it is not a regular expression"):
                sandbox.add_fault("status", status=404, path=pattern)
