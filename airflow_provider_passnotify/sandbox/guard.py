"""Who may use the sandbox: programs, and its own pages, but no page of another site in somebody's browser.

A browser sends the name of the server in ``Host``, and the site of the page in ``Origin``. Programs send no ``Origin``.
After DNS rebinding, ``Host`` holds a foreign name. An IP address in ``Host`` is always accepted, because DNS rebinding
needs a name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_FOREIGN = "This request comes from a page of another site."


class Guard:
    """Recognises requests that come from another site.

    :param allowed_hosts: names that ``Host`` may hold, without a port. ``localhost`` and IP addresses are always good.
    """

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self._allowed = {"localhost", *(name.lower().rstrip(".") for name in allowed_hosts)}
        self._known: set[bytes] = set()
        """Values of ``Host`` that were accepted before. They repeat, so each one is checked only once."""

    def objection(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return why a request is refused, or ``None``."""
        host, origin, is_foreign, is_link = b"", None, False, False
        for name, value in headers:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                is_foreign = value not in (b"same-origin", b"none")
            elif name == b"sec-fetch-dest":
                is_link = value == b"document"  # a link to the sandbox; a form would send an Origin
        if host not in self._known:
            own_name = _name_of(host)
            if own_name is None or not (own_name in self._allowed or _is_address(own_name)):
                return (
                    f"The sandbox does not go by the name {host.decode('latin-1')!r:.100}. Where it should, as in a "
                    "container, start it with --allow-host NAME."
                )
            if len(self._known) < 100:
                self._known.add(host)
        if is_foreign and not is_link:
            return _FOREIGN
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.decode("latin-1").lower():
            return _FOREIGN
        return None


def _name_of(host: bytes) -> str | None:
    try:
        return (urlsplit(f"//{host.decode('ascii')}").hostname or "").rstrip(".")
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
