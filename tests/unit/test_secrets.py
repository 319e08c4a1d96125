"""With everything at DEBUG: no secret in a log record, an error, a repr or a pickle, whatever the server does."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_passnotify.api.config import read_config
from airflow_provider_passnotify.exceptions import PassNotifyError
from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, PassNotifyHook
from tests.servers import CLOSE, NOTHING, TICKET, Answer, answer, echoing, serving

pytestmark = pytest.mark.usefixtures("no_back_off", "no_proxy")

LOGIN, PASSWORD = "project", "pä'ss\"w\\ord+/?=&%25"
KEY = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
SECRETS = [
    PASSWORD,
    quote(PASSWORD, safe=""),
    json.dumps(PASSWORD)[1:-1],
    repr(PASSWORD)[1:-1],
    KEY,
    KEY.rstrip("="),
    KEY[:20],  # nor a part of it
    quote(KEY, safe=""),
    "proxy-secret",
]
ECHO = "{authorization}"
ANSWERS: dict[str, Answer] = {
    "success": TICKET,
    "echo in an error": echoing(answer(400, body=f"you sent {ECHO}")),
    "echo in JSON": echoing(answer(401, body={"code": 401, "description": ECHO, "details": ECHO})),
    "echo in nested JSON": echoing(answer(404, body={"code": ECHO, "description": {"a": [ECHO]}, "details": [ECHO]})),
    "echo at the edge of what is kept": echoing(answer(500, body="x" * 1970 + ECHO)),
    "echo in a Location": Answer(answer(302, {"Location": f"https://elsewhere/?a={ECHO}"}).data, CLOSE),
    "echo at the edge of a Location": Answer(answer(302, {"Location": "/" + "x" * 180 + ECHO}).data, CLOSE),
    "echo in a 200": echoing(answer(200, body={"ticketId": ECHO})),
    "echo at the edge of a 200": echoing(answer(200, body={"x": "x" * 170 + ECHO})),
    "echo that is no HTTP": Answer(f"{ECHO}\r\n".encode(), CLOSE),
    "echo in a broken header": Answer(f"HTTP/1.1 200 OK\r\nContent-Length: {ECHO}\r\n\r\nx".encode(), CLOSE),
    "echo in a status line": Answer(f"HTTP/1.1 abc {ECHO}\r\n\r\n".encode(), CLOSE),
    "password in an error": answer(400, body={"code": 400, "description": f"bad password: {PASSWORD}"}),
    "password as text": answer(500, body=f"bad password: {json.dumps(PASSWORD)} {PASSWORD!r}".encode()),
    "password in a Location": answer(
        302, {"Location": f"/?password={quote(PASSWORD, safe='')}&k={quote(KEY, safe='')}"}
    ),
    "told to wait": echoing(answer(429, {"Retry-After": "0"}, ECHO)),
    "nothing": NOTHING,
}
TARGET = {"target_type": "pass", "pass_id": 1}


def send() -> None:
    PassNotifyHook().send_notification(TARGET, value="x")


def delete() -> None:
    PassNotifyHook().delete_notification(TARGET)


def ask() -> None:
    logging.getLogger("asked").info("%s", PassNotifyHook().test_connection())


def send_async() -> None:
    async def run() -> None:
        async with PassNotifyAsyncHook() as hook:
            await hook.send_notification(TARGET, value="x")

    asyncio.run(run())


def shown_by(error: BaseException) -> str:
    """Everything that an error shows, and everything in its pickle."""
    again = pickle.loads(pickle.dumps(error))
    text = "".join(traceback.format_exception(error))
    return f"{text} {error!r} {error} {vars(error)} {again} {vars(again)} {pickle.dumps(error)!r}"


def check(shown: str) -> None:
    for secret in SECRETS:
        assert secret not in shown


@pytest.mark.parametrize("run", [send, delete, ask, send_async])
@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("form", ["login and password", "key alone"])
def test_no_secret_is_shown(
    run: Callable[[], None],
    reply: Answer,
    form: str,
    connection: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    credential = {"login": LOGIN, "password": PASSWORD} if form == "login and password" else {"password": KEY}
    shown = ""
    with serving(reply) as server:
        connection(host=server.url, **credential, extra={"proxies": {"https": "http://me:proxy-secret@127.0.0.1:1"}})
        try:
            run()
        except PassNotifyError as error:
            shown = shown_by(error)
    assert server.received[0].headers["authorization"] == f"Basic {KEY}"
    printed = capfd.readouterr()
    check(
        shown
        + printed.out
        + printed.err
        + "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    )


def test_no_secret_is_in_a_repr(connection: Callable[..., str]) -> None:
    connection(host="https://api.example.com", login=LOGIN, password=PASSWORD)
    hook = PassNotifyHook()
    check(f"{hook!r} {hook.get_config()!r} {hook.get_conn()!r} {hook.get_config()}")
    with pytest.raises(AttributeError):
        _ = hook.get_conn().key  # type: ignore[attr-defined]


@pytest.mark.parametrize("run", [send, send_async])
@pytest.mark.parametrize("where", ["connection", "environment"])
@pytest.mark.parametrize("status", [407, 502])
def test_no_secret_of_a_proxy_is_shown(
    run: Callable[[], None],
    where: str,
    status: int,
    connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answer(status, body="refused")) as proxy:
        url = proxy.url.replace("http://", "http://me:proxy-secret@")
        if where == "environment":
            monkeypatch.setenv("https_proxy", url)
        extra = {"proxies": {"https": url}} if where == "connection" else {}
        connection(host="https://api.example.com", login=LOGIN, password=PASSWORD, extra=extra)
        with pytest.raises(PassNotifyError) as caught:
            run()
    check(shown_by(caught.value) + caplog.text)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": f"https://me:{PASSWORD}@api.example.com"},
        {"host": "https://api.example.com", "extra": {"proxies": {"https": "ftp://me:proxy-secret@x"}}},
        {"host": "https://api.example.com", "extra": {"verify": "proxy-secret"}},
        {"host": "https://api.example.com", "extra": {"timeout": "proxy-secret"}},
        {"host": "https://api.example.com", "schema": "ftp"},
    ],
)
def test_no_secret_is_in_a_complaint_about_the_connection(
    fields: dict[str, object], connection: Callable[..., str]
) -> None:
    connection(login=LOGIN, password=PASSWORD, **fields)
    with pytest.raises(PassNotifyError) as caught:
        PassNotifyHook().get_config()
    check(shown_by(caught.value))


def test_secrets_are_given_to_the_masker(connection: Callable[..., str]) -> None:
    try:
        from airflow.sdk.log import redact  # type: ignore[attr-defined]
    except ImportError:
        from airflow.utils.log.secrets_masker import redact  # type: ignore[no-redef]
    connection(host="https://api.example.com", login=LOGIN, password=PASSWORD)
    PassNotifyHook().get_config()
    check(redact(f"Authorization: Basic {KEY} for {PASSWORD}!"))


@pytest.mark.parametrize(
    ("password", "said"), [("e", "There is no tiger."), ("tige", "There is no tiger."), ("tiger", "There is no ***.")]
)
def test_short_secrets_leave_texts_readable(password: str, said: str) -> None:
    fields: dict[str, Any] = {
        "conn_type": "passnotify",
        "host": "h.example",
        "schema": None,
        "port": None,
        "extra": None,
    }
    config = read_config(login="k", password=password, **fields)
    assert config.redact("There is no tiger.") == said
    assert password in config.secrets, "Airflow's masker decides for itself"
