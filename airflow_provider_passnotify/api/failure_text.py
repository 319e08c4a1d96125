"""Why there is no usable answer, in plain words. Both clients use the same words.

The texts of ``requests``, ``urllib3`` and ``aiohttp`` are made for programmers, and change from release to release. So
this module looks at the classes of their errors. It knows them by name, because importing both libraries takes time.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeGuard

_NO_ANSWER = "the server closed the connection without an answer"
_BROKEN_OFF = "the connection was broken off"
_CUT = "the answer was cut off"
BREAKS_RULES = "the answer is no HTTP, or breaks its rules (check the connection's host and port)"
TOO_MANY_HEADERS = "the answer has too many headers"
_LONG_LINE = "the answer has a header line that is too long"
_BY_CLASS = {
    "http.RemoteDisconnected": _NO_ANSWER,
    "http.IncompleteRead": _CUT,
    "http.BadStatusLine": BREAKS_RULES,
    "http.LineTooLong": _LONG_LINE,
    "http.HTTPException": BREAKS_RULES,
    "urllib3.InvalidChunkLength": BREAKS_RULES,
    "aiohttp.ServerDisconnectedError": _NO_ANSWER,
    "aiohttp.ClientPayloadError": _CUT,
    "aiohttp.BadStatusLine": BREAKS_RULES,
    "aiohttp.LineTooLong": _LONG_LINE,
    "aiohttp.ContentLengthError": _CUT,
    "aiohttp.BadHttpMessage": BREAKS_RULES,
    "ssl.SSLEOFError": _BROKEN_OFF,
    "builtins.BrokenPipeError": _BROKEN_OFF,
    "builtins.ConnectionAbortedError": _BROKEN_OFF,
    "builtins.ConnectionRefusedError": "connection refused",
    "builtins.ConnectionResetError": _BROKEN_OFF,
}
_TIMEOUTS = {"builtins.TimeoutError", "asyncio.TimeoutError"}
"""They are two classes in Python 3.10."""
_PACKAGE = __name__.partition(".")[0]
_OWN = (ValueError, ConnectionError)
"""If an error is exactly of one of these classes, its text is ours."""
_TOO_MANY_HEADERS = re.compile("got more than [0-9]+ headers|Too many headers")
_PROXY_STATUS = re.compile("Tunnel connection failed: ([0-9]{3})")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and then what led to it: the innermost cause comes last."""
    while error is not None:
        yield error
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        error = inner or next((arg for arg in error.args if isinstance(arg, BaseException)), None)


def failure_text(error: BaseException | None, *, timeout: tuple[float, float], is_sent: bool, has_begun: bool) -> str:
    """Say what ended an attempt.

    :param timeout: the seconds that a connection, and something to read, may take.
    :param is_sent: whether the request was on its way.
    :param has_begun: whether the headers of an answer were there.
    """
    chain = list(causes(error))
    if own := next((cause for cause in chain if type(cause).__module__.startswith(_PACKAGE)), None):
        return str(own)
    for cause in reversed(chain):  # the innermost cause says what happened; the errors around it repeat URLs
        names = [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(cause).__mro__]
        if not _TIMEOUTS.isdisjoint(names):
            if not is_sent:
                return f"no connection within {timeout[0]:g} s"
            return (f"{_CUT}: nothing more came" if has_begun else "nothing came") + f" for {timeout[1]:g} s"
        if text := _special(cause, names) or next(filter(None, map(_BY_CLASS.get, names)), None):
            return _CUT if has_begun and text == _BROKEN_OFF else text
    return _other(chain[-1]) if chain else "the reason is not known"


def is_tls_problem(error: BaseException) -> TypeGuard[ssl.SSLError]:
    """Whether it is about TLS. A server that only closes the connection in the handshake may have other reasons."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)


def check_size(size: int, limit: int, *, kind: str = "") -> None:
    """Refuse an answer that is too large.

    :param size: the bytes that there are.
    :raises ValueError: when they are more than the limit.
    """
    if size > limit:
        raise ValueError(f"the {kind}answer is larger than {limit / 1024**2:g} MB")


def _special(error: BaseException, names: list[str]) -> str | None:
    """Return the text for an error whose class alone does not tell enough, or ``None``."""
    text = str(error)
    if names[0] == "aiohttp.ServerDisconnectedError" and not isinstance(getattr(error, "message", ""), str):
        return _CUT  # the message is what aiohttp has read of the headers
    if names[0] == "aiohttp.TransferEncodingError" and "Not enough data" in text:
        return _CUT
    if names[0] == "aiohttp.ClientHttpProxyError":
        return f"the proxy answered with HTTP {getattr(error, 'status', '?')}"
    if match := _PROXY_STATUS.search(text):
        return f"the proxy answered with HTTP {match[1]}"
    if _TOO_MANY_HEADERS.search(text):
        return TOO_MANY_HEADERS
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    if is_tls_problem(error):
        return f"no TLS connection could be made: {(error.reason or text).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return f"the address of the host was not found ({error.strerror})"
    return None


def _other(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio replaces the text by the address
    return str(error) if type(error) in _OWN else f"{type(error).__name__}: {error}"
