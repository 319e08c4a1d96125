"""A connection is read strictly: its meaning is clear, or there is an error that says what to do."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.api.base_url import is_loopback
from airflow_provider_passnotify.api.config import Config, read_config
from airflow_provider_passnotify.api.options import OPTIONS
from airflow_provider_passnotify.connection_form import conn_fields
from tests.certificates import make_certificate

KEY = base64.b64encode(b"me:secret").decode()
HOST = "api.example.com"


def read(**fields: Any) -> Config:
    extra = fields.pop("extra", None)
    fields = {"conn_type": "passnotify", "host": HOST, "login": "me", "password": "secret", **fields}
    return read_config(**fields, extra=extra if isinstance(extra, str | None) else json.dumps(extra))


GOOD_HOSTS: list[tuple[dict[str, Any], str]] = [
    ({"host": HOST}, "https://api.example.com"),
    ({"host": f" {HOST} "}, "https://api.example.com"),
    ({"host": f"https://{HOST}"}, "https://api.example.com"),
    ({"host": f"HTTPS://{HOST.upper()}/"}, "https://api.example.com"),
    ({"host": f"https://{HOST}/v1"}, "https://api.example.com"),
    ({"host": f"https://{HOST}/v1/"}, "https://api.example.com"),
    ({"host": f"{HOST}/v1"}, "https://api.example.com"),
    ({"host": HOST, "schema": "https"}, "https://api.example.com"),
    ({"host": HOST, "schema": "HTTPS"}, "https://api.example.com"),
    ({"host": HOST, "schema": ""}, "https://api.example.com"),
    ({"host": f"https://{HOST}", "schema": "https", "port": 443}, "https://api.example.com:443"),
    ({"host": HOST, "port": 8443}, "https://api.example.com:8443"),
    ({"host": f"{HOST}:8443"}, "https://api.example.com:8443"),
    ({"host": f"{HOST}:8443", "port": 8443}, "https://api.example.com:8443"),
    ({"host": f"https://{HOST}:8443/v1"}, "https://api.example.com:8443"),
    ({"host": "10.1.2.3"}, "https://10.1.2.3"),
    ({"host": "2001:db8::1"}, "https://[2001:db8::1]"),
    ({"host": "[2001:db8::1]"}, "https://[2001:db8::1]"),
    ({"host": "[2001:db8::1]:8443"}, "https://[2001:db8::1]:8443"),
    ({"host": "https://[2001:db8::1]/v1", "port": 1}, "https://[2001:db8::1]:1"),
    ({"host": "http://localhost:8080"}, "http://localhost:8080"),
    ({"host": "http://127.0.0.1:8080/v1"}, "http://127.0.0.1:8080"),
    ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
    ({"host": "127.0.0.1", "schema": "http", "port": 8080}, "http://127.0.0.1:8080"),
    ({"host": f"http://{HOST}", "extra": {"allow_http": True}}, "http://api.example.com"),
    ({"host": f"http://{HOST}", "extra": {"allow_http": "true"}}, "http://api.example.com"),
]


@pytest.mark.parametrize(("fields", "url"), GOOD_HOSTS)
def test_where_requests_go(fields: dict[str, Any], url: str) -> None:
    assert read(**fields).base_url == url


BAD: list[tuple[dict[str, Any], str]] = [
    ({"conn_type": "http"}, "type is 'http'; it must be 'passnotify'"),
    ({"conn_type": None}, "must be 'passnotify'"),
    *(({"host": host}, "has no host") for host in (None, "", "  ")),
    ({"password": None}, "has no password"),
    ({"password": ""}, "has no password"),
    ({"login": None, "password": None}, "has no password"),
    ({"login": "a:b"}, "login holds a colon"),
    ({"login": None, "password": "not a key!"}, "not a Base64 key"),
    ({"login": None, "password": "a\r\nX-Evil: 1"}, "not a Base64 key"),
    ({"host": f"http://{HOST}"}, "plain http to api.example.com"),
    ({"schema": "http"}, "plain http"),
    ({"host": f"http://{HOST}", "extra": {"allow_http": False}}, "plain http"),
    ({"host": f"http://{HOST}", "extra": {"allow_http": "false"}}, "plain http"),
    ({"host": "http://localhost.example.com"}, "plain http"),
    ({"host": "http://127.0.0.1.example.com"}, "plain http"),
    ({"host": "http://0.0.0.0"}, "plain http"),
    ({"host": f"https://{HOST}", "schema": "http"}, "its host says https and its schema http"),
    ({"host": "http://localhost", "schema": "https"}, "its host says http and its schema https"),
    ({"host": f"{HOST}:1", "port": 2}, "its host says port 1 and its port field 2"),
    ({"host": f"{HOST}:0"}, "port"),
    ({"host": f"{HOST}:99999"}, "port in its host is not a number"),
    ({"host": f"{HOST}:x"}, "port in its host is not a number"),
    ({"port": 99999}, "port"),
    ({"port": -1}, "port"),
    ({"schema": "ftp"}, "schema is 'ftp'"),
    ({"host": f"ftp://{HOST}"}, "begins with ftp://"),
    ({"host": f"me:secret@{HOST}"}, "holds '@'"),
    ({"host": f"https://{HOST}/v2"}, "more than an address"),
    ({"host": f"https://{HOST}/v1/pass/1/notify"}, "more than an address"),
    ({"host": f"https://{HOST}/?a=b"}, "more than an address"),
    ({"host": f"https://{HOST}#x"}, "more than an address"),
    ({"host": "a b"}, "is not a host"),
    ({"host": "exa\nmple.com"}, "is not a host"),
    ({"host": "a..b"}, "is not a host"),
    ({"host": "-a.com"}, "is not a host"),
    ({"host": "1:2:3"}, "is not a host"),
    ({"host": "[::1"}, "is not a host"),
    ({"host": "https://"}, "is not a host"),
    ({"host": "münchen.example"}, "is not a host"),
    ({"extra": "{"}, "Extra is not JSON"),
    ({"extra": "timeout=3"}, "Extra is not JSON"),
    ({"extra": "[1]"}, "Extra is a JSON list"),
    ({"extra": "3"}, "Extra is a JSON int"),
    ({"extra": {"time_out": 3}}, "did you mean 'timeout'"),
    ({"extra": {"Verify": False}}, "did you mean 'verify'"),
    ({"extra": {"colour": "red"}}, "it may be: timeout, max_retries"),
]


@pytest.mark.parametrize(("fields", "why"), BAD)
def test_a_bad_connection(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(**fields)


def test_what_stands_behind_an_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="more than an address") as refused:
        read(host=f"https://{HOST}/?api_key=hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "hunter2 hunter2"},
        {"host": "hunter2;"},
        {"host": f"https://{HOST}/hunter2"},
        {"host": f"hunter2://{HOST}"},
        {"schema": "hunter2"},
        {"conn_type": "hunter2"},
        {"extra": {"hunter2": "x"}},
        {"login": None, "password": "Basic hunter2!", "host": "hunter2!"},
        {"password": "it's\nhunter2", "host": "it's\nhunter2"},
    ],
)
def test_a_password_in_a_wrong_field_is_not_repeated(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*") as refused:
        read(**{"password": "hunter2", **fields})
    assert "hunter2" not in str(refused.value)


OPTION_VALUES: list[tuple[str, Any, Any]] = [
    ("timeout", 3, (3, 3)),
    ("timeout", "3", (3, 3)),
    ("timeout", "2.5", (2.5, 2.5)),
    ("timeout", [1, 2], (1, 2)),
    ("timeout", "1,2", (1, 2)),
    ("timeout", "[1, 2]", (1, 2)),
    ("timeout", "(1, 2)", (1, 2)),
    ("timeout", "", (10, 30)),
    ("timeout", None, (10, 30)),
    ("max_retries", 0, 0),
    ("max_retries", "3", 3),
    ("max_connections", " 256 ", 256),
    ("requests_per_second", "0.5", 0.5),
    ("requests_per_second", 10, 10),
    ("api_revision", 1.2, "1.2"),
    ("api_revision", "2", "2"),
    ("verify", True, True),
    ("verify", False, False),
    ("verify", "false", False),
    ("verify", "False", False),
    ("verify", " TRUE ", True),
    ("proxies", {"https": "http://p:1"}, {"https": "http://p:1"}),
    ("proxies", '{"all": "http://p:1"}', {"all": "http://p:1"}),
    ("proxies", {}, {}),
]


@pytest.mark.parametrize(("name", "given", "meant"), OPTION_VALUES)
def test_options_as_every_airflow_delivers_them(name: str, given: Any, meant: Any) -> None:
    assert getattr(read(extra={name: given}), name) == meant


BAD_OPTIONS: dict[str, list[Any]] = {
    "timeout": [0, -1, "x", [1, 2, 3], [], True, "nan", "inf", {"connect": 1}, "1,2,3", 1e300, "1e300"],
    "max_retries": [-1, 11, "x", 1.5, True, "1.0", [1], "٣"],
    "requests_per_second": [0, -1, "x", True, [1], "inf", 1e-300],
    "max_connections": [0, 257, "x", True, 10**400],
    "api_revision": ["x", True, "1.2\r\nX: y", "1..2", [1]],
    "verify": [0, 1, "no", "/no/such/file.pem", "x" * 5000, "a\x00b", "/dev/null", __file__, [True], {}],
    "proxies": ["x", "http://p:1", [1], {"ftp": "http://p"}, {"http": "p:1"}, {"http": 1}, {"http": "socks5://p:1"}],
    "allow_http": ["yes", 1, 0, "1", [True]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_OPTIONS.items() for value in values])
def test_a_bad_option(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"its extra option {name} must be \w+"):
        read(extra={name: value})


def test_every_option_is_tested_and_on_the_form() -> None:
    assert set(BAD_OPTIONS) == set(OPTIONS) == set(conn_fields())
    assert all(option.label and option.help for option in OPTIONS.values())


def test_the_defaults_are_those_that_the_form_names() -> None:
    """Each default is written once, as text that a user could type. This test compares it with what users see."""
    assert {name: option.explanation.partition(" Default: ")[2] for name, option in OPTIONS.items()} == {
        "timeout": "10,30.",
        "max_retries": "3.",
        "requests_per_second": "no limit.",
        "max_connections": "32.",
        "api_revision": "1.2.",
        "verify": "true.",
        "proxies": "those of the environment.",
        "allow_http": "false.",
    }
    config = read()
    assert (config.timeout, config.max_retries, config.requests_per_second) == ((10.0, 30.0), 3, None)
    assert (config.max_connections, config.api_revision, config.verify, config.proxies) == (32, "1.2", True, None)


def test_verify_takes_a_file_or_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "false"
    file.write_bytes(make_certificate(tmp_path).path.read_bytes())
    assert read(extra={"verify": str(file)}).verify == str(file)
    assert read(extra={"verify": str(tmp_path)}).verify == str(tmp_path)


@pytest.mark.parametrize("password", [KEY, f"Basic {KEY}", f" {KEY}\n"])
def test_the_key_alone(password: str) -> None:
    config = read(login=None, password=password)
    assert (config.key, config.headers["Authorization"]) == (KEY, f"Basic {KEY}")
    assert config == read(login="", password=password)


def test_login_and_password() -> None:
    assert read().key == KEY
    assert base64.b64decode(read(login="é", password="p:ä ss").key).decode() == "é:p:ä ss"


def test_a_config_shows_no_secret() -> None:
    config = read(extra={"proxies": {"all": "http://me:hidden@p:1"}})
    assert not any(secret in repr(config) for secret in ("secret", KEY, "hidden"))


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("localhost", True), ("LOCALHOST", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.1", False)],
)
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
