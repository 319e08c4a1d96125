"""The options in the Extra of a connection: name, type, default and help of each option, and how it is read.

Each value is read strictly, but in every form that it may have. For example, a connection URI gives ``"false"`` on one
Airflow version and ``False`` on another.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Option:
    """One option of the connection's Extra. The parser, the connection form and the guide all use this definition.

    :param name: its key in Extra.
    :param label: its name in the form.
    :param help: what it does, in one or two sentences.
    :param read: returns its value, or raises an error that says what the value must be.
    :param default: what to write to get the default; ``None`` if no text can be written for it.
    :param default_words: what happens without the option, if ``default`` is ``None``.
    :param kind: its JSON type in the form.
    """

    name: str
    label: str
    help: str
    read: Callable[[object], Any]
    default: str | None = None
    default_words: str = ""
    kind: Literal["string", "integer"] = "string"

    @property
    def default_value(self) -> Any:
        """The value without this option."""
        return None if self.default is None else self.read(self.default)

    @property
    def explanation(self) -> str:
        """What it does, and its default, as the connection form shows it."""
        return f"{self.help} Default: {self.default or self.default_words}."


def read_extra(extra: str | None) -> dict[str, Any]:
    """Read a connection's Extra, strictly.

    :param extra: a JSON object as text, or nothing.
    :return: the value of each option that is given.
    :raises ValueError: it names the option and says what its value must be.
    """
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
            continue  # this field of the form was left empty
        try:
            options[name] = OPTIONS[name].read(value)
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
    if not 0.001 <= number <= 1_000_000:  # (clocks and sockets overflow with larger numbers)
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
        raise ValueError("seconds from 0.001 to 1000000: one number, or two as [connect, read]") from None
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
        if isinstance(value, str) and is_ca_bundle(value):
            return value
        raise ValueError("true, false, or the path of a CA bundle (a PEM file or a folder) that can be read") from None


def is_ca_bundle(path: str) -> bool:
    """Whether certificates can be read from a file. A folder is not read here: OpenSSL reads it when it needs it."""
    try:
        if not Path(path).is_dir():
            file = Path(path).stat()
            _read_certificates(path, file.st_mtime_ns, file.st_size)
    except (OSError, ValueError):  # (ssl.SSLError is an OSError)
        return False
    return True


@functools.lru_cache(maxsize=4)
def _read_certificates(path: str, *_: object) -> None:
    """Raise if there are no certificates in a file. Remembered, because it takes 20 ms, until the file changes."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)


def _proxies(value: object) -> dict[str, str]:
    try:
        proxies: Any = json.loads(value) if isinstance(value, str) else value
        usable = all(scheme in {"http", "https", "all"} and is_proxy_url(url) for scheme, url in proxies.items())
    except (ValueError, AttributeError, TypeError):
        usable = False
    if not usable:
        raise ValueError('an object of scheme (http, https or all) and URL: {"https": "http://proxy.example.com:3128"}')
    return dict(proxies)


def is_proxy_url(url: str) -> bool:
    """Whether both clients can use this URL as a proxy."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


OPTIONS = {
    option.name: option
    for option in (
        Option("timeout", "Timeout", "Seconds to connect and to wait for an answer: 30, or 10,30.", _timeout, "10,30"),
        Option(
            "max_retries",
            "Retries",
            "How often one request is repeated if it was certainly not sent, or may be sent twice. 0 to 10.",
            _count(0, 10),
            "3",
            kind="integer",
        ),
        Option(
            "requests_per_second",
            "Requests per second",
            "The most one process asks of the API.",
            _positive,
            default_words="no limit",
        ),
        Option(
            "max_connections",
            "Connections",
            "Connections at once, for batches. 1 to 256.",
            _count(1, 256),
            "32",
            kind="integer",
        ),
        Option("api_revision", "API revision", "Sent as Api-Revision.", _revision, "1.2"),
        Option("verify", "Verify TLS", "true, false, or the path of a CA bundle.", _verify, "true"),
        Option(
            "proxies",
            "Proxies",
            'JSON such as {"https": "http://proxy.example.com:3128"}.',
            _proxies,
            default_words="those of the environment",
        ),
        Option("allow_http", "Allow plain http", "true to send the credential unencrypted.", _flag, "false"),
    )
}
"""The options of the connection's Extra by their names."""
