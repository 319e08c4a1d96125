"""All spellings in which a server may echo a credential. They are used to remove the credential from every text.

Not covered: a part of a credential; one that is encrypted, hashed or encoded twice; one with other white space.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

MIN_LENGTH = 5
"""Shorter secrets are not removed, or every text would be full of gaps. Airflow's own masker does the same."""
_FOR_HTML = re.compile("[<>&'+=]")
"""Characters that some libraries escape in JSON, so that the JSON can be put into HTML."""
_PERCENT = re.compile(r"%[0-9A-F]{2}")


def spellings(secrets: Iterable[str]) -> list[str]:
    """Return every likely spelling of each secret, the longest first. They must be removed in this order."""
    long = (secret for secret in secrets if len(secret) >= MIN_LENGTH)
    return sorted({form for secret in long for form in _spellings(secret)}, key=len, reverse=True)


def proxy_secrets(url: str | None) -> tuple[str, ...]:
    """Return the password in the URL of a proxy, and the key that Basic authentication makes of user and password."""
    parts = urlsplit(url or "")
    if not parts.password:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    # aiohttp and requests use Latin-1 where it can hold the text.
    keys = {base64.b64encode(f"{user}:{password}".encode(codec, "replace")).decode() for codec in ("utf-8", "latin-1")}
    return (password, parts.password, *(key.rstrip("=") for key in keys))


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield secret.replace("+", "-").replace("/", "_")  # URL-safe Base64
    yield repr(secret)[1:-1]
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret), quote_plus(secret, safe="/")):
        yield quoted
        yield _PERCENT.sub(lambda match: match[0].lower(), quoted)
    for in_json in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield in_json
        yield in_json.replace("/", r"\/")
        escaped = _FOR_HTML.sub(lambda match: rf"\u{ord(match[0]):04x}", in_json)
        yield escaped
        yield escaped.replace(r"\u002b", r"\u002B").replace(r"\u003d", r"\u003D").replace(r"\u003c", r"\u003C")
    for in_html in (html.escape(secret), html.escape(secret, quote=False)):
        yield in_html
        yield in_html.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        yield in_html.replace("&#x27;", "&apos;")
        yield in_html.replace("+", "&#43;").replace("=", "&#61;").replace("/", "&#47;")
        yield in_html.replace("/", "&#x2F;").replace("=", "&#x3D;").replace("+", "&#x2B;")
