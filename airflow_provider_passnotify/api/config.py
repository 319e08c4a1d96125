"""A PassNotify connection, read strictly: where requests go, with which credential, and within which limits.

This module does not import Airflow: the hooks pass the plain fields of their connection. It is strict because a typing
error must not send a credential to a wrong address. :mod:`.base_url` reads host, schema and port, :mod:`.options` reads
Extra.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_passnotify import __version__
from airflow_provider_passnotify.api import environment
from airflow_provider_passnotify.api.base_url import read_base_url
from airflow_provider_passnotify.api.options import OPTIONS, read_extra
from airflow_provider_passnotify.api.secrets import proxy_secrets, spellings

CONN_TYPE = "passnotify"
USER_AGENT = f"airflow-provider-passnotify/{__version__}"
_KEY = re.compile(r"[A-Za-z0-9+/._~-]+=*")  # token68 of RFC 9110, section 11.2


@dataclass(frozen=True)
class Config:
    """What both clients need to know.

    :param base_url: scheme, host and port, without ``/v1``.
    :param key: the Base64 key of Basic authentication.
    :param timeout: seconds to connect, seconds to wait for an answer.
    :param max_retries: how often a request is repeated. Only a request that certainly was not done, or that may safely
        be done twice, is repeated.
    :param requests_per_second: the highest number of requests per second that one process makes.
    :param max_connections: connections at the same time, 1 to 256.
    :param verify: whether to check TLS certificates, or the CA bundle to check them with.
    :param proxies: proxy URLs by scheme. ``None`` means the proxies of the environment.
    """

    base_url: str
    key: str = field(repr=False)
    timeout: tuple[float, float] = OPTIONS["timeout"].default_value
    max_retries: int = OPTIONS["max_retries"].default_value
    requests_per_second: float | None = OPTIONS["requests_per_second"].default_value
    max_connections: int = OPTIONS["max_connections"].default_value
    api_revision: str = OPTIONS["api_revision"].default_value
    verify: bool | str = OPTIONS["verify"].default_value
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {
            "Authorization": f"Basic {self.key}",
            "Api-Revision": self.api_revision,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # answers are small; an uncompressed one cannot be a decompression bomb
            "User-Agent": USER_AGENT,
        }

    @property
    def deadline(self) -> float:
        """Seconds that one attempt may take in total, whether the server is slow, sends too much or sends nothing."""
        return sum(self.timeout)

    @functools.cached_property
    def proxy(self) -> str | None:
        """The proxy for this host: from the connection, or else from the environment (read once, not per request).

        :raises ValueError: it names the environment variable whose proxy cannot be used.
        """
        url = urlsplit(self.base_url)
        if self.proxies is not None:
            return self.proxies.get(url.scheme) or self.proxies.get("all")
        return environment.proxy_for(url.scheme, url.hostname or "")

    @functools.cached_property
    def ca_bundle(self) -> str | bool:
        """``verify`` for the transports: the CA bundle of the environment if the connection names none.

        :raises ValueError: it names the environment variable whose value is not a CA bundle.
        """
        return environment.ca_bundle() or True if self.verify is True else self.verify

    @functools.cached_property
    def peer(self) -> str:
        """Host and port, and those of the proxy, as errors name them. Never a credential."""
        through = f" through the proxy {_host_and_port(self.proxy)}" if self.proxy else ""
        return _host_and_port(self.base_url) + through

    def redact(self, text: str) -> str:
        """Return the text without the credentials. A server may have echoed them."""
        return _without(self._secret_forms, text)

    @functools.cached_property
    def _secret_forms(self) -> list[str]:
        return spellings((*self.secrets, *proxy_secrets(self.proxy)))


def read_config(
    *,
    conn_type: str | None,
    host: str | None,
    schema: str | None = None,
    port: int | None = None,
    login: str | None = None,
    password: str | None = None,
    extra: str | None = None,
) -> Config:
    """Read the fields of an Airflow connection.

    :param extra: its Extra as text (a JSON object, or nothing).
    :raises ValueError: it names the field or the environment variable, and says what is wrong and what to do. It never
        repeats a secret.
    """
    with _hidden_in_errors(password or ""):
        if conn_type != CONN_TYPE:
            raise ValueError(f"its type is {conn_type!r}; it must be {CONN_TYPE!r}.")
        options = read_extra(extra)
        allow_http = options.pop("allow_http", False)
        base_url = read_base_url(host, schema, port, allow_http=allow_http)
        key = _read_key(login, password)
        of_proxies = (secret for url in (options.get("proxies") or {}).values() for secret in proxy_secrets(url))
        # (Also the Base64 key without its padding: some servers and tools quote it like that.)
        secrets = {text for text in (key, key.rstrip("="), password, _password_in(key), *of_proxies) if text}
        config = Config(base_url, key, secrets=tuple(sorted(secrets, key=len, reverse=True)), **options)
        _ = config.proxy, config.ca_bundle  # report errors of the environment before anything is sent
        return config


@contextmanager
def _hidden_in_errors(password: str) -> Iterator[None]:
    """Take the password out of the text of a ValueError: it may stand in a wrong field, which the error repeats."""
    try:
        yield
    except ValueError as error:
        raise ValueError(_without(spellings({password, _key_in(password)}), str(error))) from None


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return host if re.search(r":[0-9]+$", host) else f"{host}:{443 if parts.scheme == 'https' else 80}"


def _read_key(login: str | None, password: str | None) -> str:
    if not password:
        raise ValueError("it has no password. Give login and password, or the Base64 key alone as the password.")
    if login:
        if ":" in login:
            raise ValueError("its login holds a colon, which Basic authentication cannot carry.")
        return base64.b64encode(f"{login}:{password}".encode()).decode()
    key = _key_in(password)
    if not _KEY.fullmatch(key):
        raise ValueError("it has no login, and its password is not a Base64 key. Give the login, or the key.")
    return key


def _key_in(password: str) -> str:
    return password.strip().removeprefix("Basic ").strip()


def _without(forms: Iterable[str], text: str) -> str:
    for form in forms:
        text = text.replace(form, "***")
    return text


def _password_in(key: str) -> str:
    try:
        return base64.b64decode(key, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
