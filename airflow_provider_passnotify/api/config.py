"""A PassNotify connection, read strictly: where requests go, with which credential, within which limits.

No Airflow here: the hooks hand over the plain fields of their connection. Strict, because a connection URI delivers
``"false"`` on one Airflow and ``False`` on another, and because a typing error must not send a credential elsewhere.
"""

from __future__ import annotations

import base64
import difflib
import functools
import ipaddress
import json
import math
import os
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_passnotify import __version__

CONN_TYPE = "passnotify"
USER_AGENT = f"airflow-provider-passnotify/{__version__}"
_KEY = re.compile(r"[A-Za-z0-9+/._~-]+=*")  # token68 of RFC 9110, section 11.2
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True)
class Config:
    """What both clients need to know.

    :param base_url: scheme, host and port, without ``/v1``.
    :param key: the Base64 key of Basic authentication.
    :param timeout: seconds to connect, seconds to wait for an answer.
    :param max_retries: how often a request that surely was not done, or may be done twice, is repeated.
    :param requests_per_second: the most that one process asks of the API.
    :param max_connections: connections at once, 1 to 256.
    :param verify: whether to check TLS certificates, or the CA bundle to check them with.
    :param proxies: proxy URLs by scheme; ``None`` means those of the environment.
    """

    base_url: str
    key: str = field(repr=False)
    timeout: tuple[float, float] = (10.0, 30.0)
    max_retries: int = 3
    requests_per_second: float | None = None
    max_connections: int = 32
    api_revision: str = "1.2"
    verify: bool | str = True
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {
            "Authorization": f"Basic {self.key}",
            "Api-Revision": self.api_revision,
            "Accept": "application/json",
            "User-Agent": USER_AGENT,
        }

    @functools.cached_property
    def proxy(self) -> str | None:
        """The proxy for this host: the connection's own, else the environment's (read once, not per request)."""
        url = urlsplit(self.base_url)
        proxies = self.proxies
        if proxies is None:
            if is_loopback(url.hostname or "") or urllib.request.proxy_bypass(url.hostname or ""):
                return None
            proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy  # environments often name just host:port

    @functools.cached_property
    def ca_bundle(self) -> str | bool:
        """``verify`` for the transports: the environment's bundle where the connection names none."""
        if self.verify is True:
            return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        return self.verify

    def redact(self, text: str) -> str:
        """Return the text without the credential, should a server have echoed it."""
        for form in self._secret_forms:
            text = text.replace(form, "***")
        return text

    @functools.cached_property
    def _secret_forms(self) -> list[str]:
        """Each secret as it is, percent-encoded, and escaped as JSON and ``repr`` do; the longest first."""
        forms = {
            form
            for secret in (*self.secrets, *_password_of(self.proxy))
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])
        }
        return sorted(forms, key=len, reverse=True)


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
    :raises ValueError: naming the field, what is wrong with it and what to do; it never repeats a secret.
    """
    if conn_type != CONN_TYPE:
        raise ValueError(f"its type is {conn_type!r}; it must be {CONN_TYPE!r}.")
    options = _read_extra(extra)
    allow_http = options.pop("allow_http", False)
    base_url = _read_base_url(host, schema, port, allow_http=allow_http)
    key = _read_key(login, password)
    proxies = (options.get("proxies") or {}).values()
    proxy_passwords = (password for url in proxies for password in _password_of(url))
    # (Base64 without its padding, too: that is how it is quoted in some places.)
    secrets = {text for text in (key, key.rstrip("="), password, _password_in(key), *proxy_passwords) if text}
    return Config(base_url, key, secrets=tuple(sorted(secrets, key=len, reverse=True)), **options)


def is_loopback(hostname: str) -> bool:
    """Whether a host is this machine for certain, without asking a name server."""
    if hostname.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def _read_key(login: str | None, password: str | None) -> str:
    if not password:
        raise ValueError("it has no password. Give login and password, or the Base64 key alone as the password.")
    if login:
        if ":" in login:
            raise ValueError("its login holds a colon, which Basic authentication cannot carry.")
        return base64.b64encode(f"{login}:{password}".encode()).decode()
    key = password.strip().removeprefix("Basic ").strip()
    if not _KEY.fullmatch(key):
        raise ValueError("it has no login, and its password is not a Base64 key. Give the login, or the key.")
    return key


def _password_of(url: str | None) -> tuple[str, ...]:
    password = urlsplit(url or "").password
    return (unquote(password), password) if password else ()


def _password_in(key: str) -> str:
    try:
        return base64.b64decode(key, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _read_base_url(host: str | None, schema: str | None, port: int | None, *, allow_http: bool) -> str:
    url, hostname = _split_host(host)
    scheme = (schema or "").strip().lower() or url.scheme or "https"
    if scheme not in {"http", "https"}:
        raise ValueError(f"its schema is {schema!r:.40}; it must be https or http.")
    if url.scheme and url.scheme != scheme:
        raise ValueError(f"its host says {url.scheme} and its schema {scheme}; make them the same or clear the schema.")
    try:
        url_port = url.port
    except ValueError:
        raise ValueError("the port in its host is not a number from 1 to 65535.") from None
    if 0 in (port, url_port) or not 0 <= (port or 1) <= 65535:
        raise ValueError("its port is not a number from 1 to 65535.")
    if port and url_port and port != url_port:
        raise ValueError(f"its host says port {url_port} and its port field {port}; make them the same.")
    if scheme == "http" and not allow_http and not is_loopback(hostname):
        raise ValueError(
            f"plain http to {hostname} would show the credential to the network. Use https, "
            "or set the extra option allow_http to true."
        )
    netloc = f"[{hostname}]" if ":" in hostname else hostname
    number = port or url_port
    return f"{scheme}://{netloc}:{number}" if number else f"{scheme}://{netloc}"


def _split_host(host: str | None) -> tuple[SplitResult, str]:
    text = (host or "").strip()
    if not text:
        raise ValueError("it has no host. Give the API's host, such as https://wallet-api.example.com.")
    if any(char.isspace() for char in text):  # (urlsplit would take some of them out)
        raise ValueError(f"its host {text!r:.100} is not a host: it holds white space.")
    if "@" in text:
        raise ValueError("its host holds '@'. Put login and password into their own fields.")
    if text.count(":") > 1 and "://" not in text and not text.startswith("["):
        text = f"[{text}]"  # a bare IPv6 address
    try:
        url = urlsplit(text if "://" in text else f"//{text}")
        hostname = url.hostname or ""
    except ValueError:
        raise ValueError(f"its host {text!r:.100} is not a host or URL.") from None
    if url.scheme not in {"", "http", "https"}:
        raise ValueError(f"its host begins with {url.scheme}://; it must be https or http.")
    if url.path.rstrip("/") not in {"", "/v1"} or url.query or url.fragment:
        raise ValueError(f"its host {text!r:.100} holds more than an address; give the host alone.")
    if not _HOST.fullmatch(hostname) and not _is_ipv6(hostname):
        raise ValueError(f"its host {text!r:.100} is not a host name or address.")
    return url, hostname


def _is_ipv6(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).version == 6
    except ValueError:
        return False


def _read_extra(extra: str | None) -> dict[str, Any]:
    try:
        given = json.loads(extra) if extra and extra.strip() else {}
    except ValueError:
        raise ValueError('its Extra is not JSON. It must be an object such as {"timeout": 30}.') from None
    if not isinstance(given, dict):
        raise ValueError(f"its Extra is a JSON {type(given).__name__}; it must be an object.")
    options = {}
    for name, value in given.items():
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may be: {', '.join(OPTIONS)}."
            raise ValueError(f"its Extra has the option {name!r:.60}, which is not known; {hint}")
        if value is None or value == "":
            continue  # a field of the form that was left empty
        try:
            options[name] = OPTIONS[name](value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"its extra option {name} must be {error}.") from None
    return options


def _flag(value: object) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("true or false")


def _number(value: object) -> float:
    number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    if not 0.001 <= number <= 1_000_000:  # (beyond that, clocks and sockets overflow)
        raise ValueError
    return number


def _positive(value: object) -> float:
    try:
        return _number(value)
    except ValueError:
        raise ValueError("a number from 0.001 to 1000000") from None


def _count(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _timeout(value: object) -> tuple[float, float]:
    parts: Any = re.split(r"[,/]", value.strip("[]() ")) if isinstance(value, str) else value
    try:
        numbers = [_number(part) for part in parts] if isinstance(parts, list) else [_number(parts)]
        connect, read = numbers * 2 if len(numbers) == 1 else numbers
    except ValueError:
        raise ValueError("seconds from 0.001: one number, or two as [connect, read]") from None
    return connect, read


def _revision(value: object) -> str:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
        raise ValueError("a revision such as 1.2")
    return text


def _verify(value: object) -> bool | str:
    try:
        return _flag(value)
    except ValueError:
        if isinstance(value, str) and Path(value).exists():
            return value
        raise ValueError("true, false, or the path of an existing CA bundle") from None


def _proxies(value: object) -> dict[str, str]:
    try:
        proxies: Any = json.loads(value) if isinstance(value, str) else value
        usable = all(scheme in {"http", "https", "all"} and _is_proxy_url(url) for scheme, url in proxies.items())
    except (ValueError, AttributeError, TypeError):
        usable = False
    if not usable:
        raise ValueError('an object of scheme (http, https or all) and URL: {"https": "http://proxy.example.com:3128"}')
    return dict(proxies)


def _is_proxy_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


OPTIONS: dict[str, Callable[[object], Any]] = {
    "timeout": _timeout,
    "max_retries": _count(0, 10),
    "requests_per_second": _positive,
    "max_connections": _count(1, 256),
    "api_revision": _revision,
    "verify": _verify,
    "proxies": _proxies,
    "allow_http": _flag,
}
"""The options of the connection's Extra, each with its reader, which raises what the option must be."""
