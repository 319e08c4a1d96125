"""Both clients use environment variables in the same way, or refuse them by name before anything is sent."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest

from airflow_provider_passnotify.api.options import is_ca_bundle
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from tests.certificates import make_certificate
from tests.clients import SEND, Call, config_for
from tests.servers import serving

pytestmark = pytest.mark.usefixtures("no_proxy")

HTTPS = "https://api.example.com"


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        "http://[::1",
        "socks5://127.0.0.1:1",
        "socks5h://me:proxy-secret@127.0.0.1:1",
        "http://proxy:99999",
        "http://proxy:x",
        "http://",
        "://",
        "[::1",
    ],
)
def test_a_proxy_that_cannot_be_used(call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"the environment variable {variable} holds no proxy") as caught:
        call(config_for(HTTPS), SEND)
    assert "proxy-secret" not in str(caught.value)
    assert config_for(HTTPS, proxies={}).proxy is None, "what the connection says counts"


def test_a_proxy_that_is_not_asked_is_not_looked_at(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with serving() as server:
        (verdict,) = call(config_for(server.url), SEND)
    assert verdict.ticket_id == 12345
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "example.com")
    assert config_for(HTTPS).proxy is None


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("path", ["/no/such/file.pem", "x" * 5000, __file__, "/dev/null"])
def test_a_bundle_that_cannot_be_read(call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, path: str) -> None:
    monkeypatch.setenv(variable, path)
    with pytest.raises(ValueError, match=f"the environment variable {variable} names no CA bundle") as caught:
        call(config_for(HTTPS), SEND)
    assert len(str(caught.value)) < 500
    assert config_for(HTTPS, verify=False).ca_bundle is False, "what the connection says counts"


def test_a_bundle_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(make_certificate(tmp_path).path)
    monkeypatch.setenv("CURL_CA_BUNDLE", path)
    assert config_for(HTTPS).ca_bundle == path


def test_the_hook_names_connection_and_variable(connection, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    connection(host=HTTPS, login="me", password="secret")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    ok, message = PassNotifyHook().test_connection()
    assert not ok
    assert message.startswith("This connection: the environment variable https_proxy holds no proxy")


def test_a_ca_bundle_that_has_changed_is_read_again(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    assert is_ca_bundle(str(bundle))
    assert is_ca_bundle(str(bundle))
    bundle.write_text("no certificate")
    assert not is_ca_bundle(str(bundle))
    bundle.unlink()
    assert not is_ca_bundle(str(bundle))
