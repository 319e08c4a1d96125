"""Credentials that a server echoes are removed, in every spelling."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest

from airflow_provider_passnotify.api.config import Config, read_config
from airflow_provider_passnotify.api.protocol import Request, judge
from tests.clients import DELETE, LOOK, SEND, Call, config_for
from tests.servers import CLOSE, Answer, answer, serving

LOGIN, PASSWORD, PROXY_PASSWORD = "project", "pä'ss\"w<o>rd+/?=& %25~~??>>", "pröxy+/= secret"
BASIC = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
PROXY_URL = f"http://{quote('someone')}:{quote(PROXY_PASSWORD, safe='')}@proxy.example.com:3128"
PROXY_BASICS = [base64.b64encode(f"someone:{PROXY_PASSWORD}".encode(codec)).decode() for codec in ("utf-8", "latin-1")]
SECRETS = {"password": PASSWORD, "key": BASIC, "proxy password": PROXY_PASSWORD, "proxy key": PROXY_BASICS[0],
           "proxy key, Latin-1": PROXY_BASICS[1]}  # fmt: skip


def config() -> Config:
    return read_config(
        conn_type="passnotify",
        host="https://api.example.com",
        login=LOGIN,
        password=PASSWORD,
        extra=json.dumps({"proxies": {"https": PROXY_URL}}),
    )


SPELLINGS = {
    "as it is": lambda secret: secret,
    "in HTML": html.escape,
    "in HTML, decimal": lambda secret: html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "in HTML, quotes left": lambda secret: html.escape(secret, quote=False),
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded, slashes left": quote,
    "percent-encoded, lower case": lambda secret: "%".join(
        part if not index else part[:2].lower() + part[2:]
        for index, part in enumerate(quote(secret, safe="").split("%"))
    ),
    "in a form": quote_plus,
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON, UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "in JSON, slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", r"\/"),
    "in JSON for HTML": lambda secret: "".join(
        f"\\u{ord(char):04x}" if char in "<>&'+=" else char for char in json.dumps(secret)[1:-1]
    ),
    "repr": lambda secret: repr(secret)[1:-1],
    "URL-safe": lambda secret: secret.replace("+", "-").replace("/", "_"),
    "without padding": lambda secret: secret.rstrip("="),
    "URL-safe without padding": lambda secret: secret.replace("+", "-").replace("/", "_").rstrip("="),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_spelling_is_cut_out(secret: str, spell) -> None:  # type: ignore[no-untyped-def]
    text = spell(secret)
    said = config().redact(f"before {text} after")
    assert text not in said
    assert said.startswith("before ***")
    assert said.endswith(" after")
    body = f"you sent {text}".encode()
    for request in (SEND, DELETE, LOOK):
        verdict = judge(request, 502, {}, body, redact=config().redact)
        assert text not in f"{verdict}"


def test_a_ticket_that_echoes_is_kept_without_the_credential() -> None:
    payload = {"Status": BASIC, "children": {PASSWORD: [BASIC, 1, {"a": BASIC}]}}
    verdict = judge(LOOK, 200, {}, json.dumps(payload).encode(), redact=config().redact)
    assert verdict.payload == {"Status": "***", "children": {"***": ["***", 1, {"a": "***"}]}}


@pytest.mark.usefixtures("no_proxy", "no_back_off")
def test_both_clients_cut_it_out_of_everything(call: Call) -> None:
    key = config_for("http://localhost").key
    shown = urlencode({"auth": key}).encode().decode()
    odd = Answer(f"HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n".encode(), CLOSE)
    for reply in (answer(502, body=f"<a href='/?{shown}'>{html.escape(key)}</a>"), odd, Answer(key.encode(), CLOSE)):
        with serving(reply) as server:
            for verdict in call(config_for(server.url, max_retries=0), SEND, DELETE, LOOK):
                assert key not in f"{verdict}"
                assert quote(key, safe="") not in f"{verdict}"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("request_", [SEND, LOOK], ids=["POST", "GET"])
@pytest.mark.parametrize("status", [200, 401, 502])
def test_a_credential_in_another_encoding(status: int, request_: Request, encoding: str) -> None:
    for text in (f'{{"said": "Basic {BASIC}"}}', f"<p>Basic {BASIC}</p>"):
        verdict = judge(request_, status, {}, text.encode(encoding), redact=config().redact)
        said = repr(verdict).replace("\\x00", "").replace(" ", "")
        assert BASIC not in said
        assert "***" in said or "withoutaJSONbody" in said
