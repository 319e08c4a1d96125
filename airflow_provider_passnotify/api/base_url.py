"""Where requests go: makes one base URL from host, schema and port of a connection, in the forms that people paste."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def read_base_url(host: str | None, schema: str | None, port: int | None, *, allow_http: bool) -> str:
    """Return scheme, host and port, without ``/v1``.

    :param allow_http: whether plain http to another machine is allowed.
    :raises ValueError: it names the field, and says what is wrong with it and what to do.
    """
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


def is_loopback(hostname: str) -> bool:
    """Whether a host is certainly this machine. No name server is asked."""
    if hostname.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def _split_host(host: str | None) -> tuple[SplitResult, str]:
    text = (host or "").strip()
    if not text:
        raise ValueError("it has no host. Give the API's host, such as https://wallet-api.example.com.")
    if any(char.isspace() for char in text):  # (urlsplit would silently remove some of them)
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
        shown = re.split("[?#]", text)[0]  # behind it there may be a secret
        raise ValueError(f"its host {shown!r:.100} holds more than an address; give the host alone.")
    if not _HOST.fullmatch(hostname) and not _is_ipv6(hostname):
        raise ValueError(f"its host {text!r:.100} is not a host name or address.")
    return url, hostname


def _is_ipv6(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).version == 6
    except ValueError:
        return False
