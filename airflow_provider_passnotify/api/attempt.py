"""One attempt of a request, for both clients: how far it got, what came back, and what follows from both.

The clients only note what they see. This module decides what it means, by the same rules for both:

* As long as certainly no byte of the request was given to the network, every error means "not sent".
* After that, every error means "no answer". An answer that came after the deadline also means "no answer": when a
  connection is shut down, a cut answer can look like a complete one.
* An error status counts even if its body was cut or cannot be decoded. A success needs its complete body.
* What came before the first byte of the request is never its answer. Nothing is written then: "not sent".
* An answer that cannot be assigned to the request for certain is "no answer": it breaks the rules of HTTP, or something
  else came behind it, or it says "accepted" although the request was not completely written.
* A connection is used again only if the answer was complete and was understood, and nothing else came with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sized
from types import MappingProxyType

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.failure_text import (
    BREAKS_RULES,
    TOO_MANY_HEADERS,
    causes,
    check_size,
    failure_text,
    is_tls_problem,
)
from airflow_provider_passnotify.api.protocol import Outcome, Request, TransportFailure, Verdict

_AUTOMATIC_ZLIB_OR_GZIP = 47
_LENGTH, _TRANSFER = "content-length", "transfer-encoding"
FRAMING = frozenset({_LENGTH, _TRANSFER, "content-encoding"})
"""These say how the body is to be read."""
_MAX_LENGTH_DIGITS = 19
MAX_HEADERS = 99
"""What ``http.client`` reads. aiohttp reads more, and how many depends on its release."""
MAX_LINE = 65536
"""The longest line that ``http.client`` reads. aiohttp would read 8190 bytes of it."""
QUIET_SECONDS = 0.01
"""For this time, a new connection without TLS must be silent before the first request is written on it.

A server that writes something as soon as it has accepted a connection needs a moment for that. Without TLS, nothing
tells that it is the right server.
"""


class SpokeFirstError(ConnectionError):
    """Something came on a connection before the request. It would be taken for the answer."""

    def __str__(self) -> str:
        return "the server sent something, or closed the connection, before it was asked"


class AmbiguousAnswerError(Exception):
    """The answer cannot be assigned to the request for certain, whatever its status says."""

    def __str__(self) -> str:
        return BREAKS_RULES


class SeveralAnswersError(AmbiguousAnswerError):
    """Something else came behind the answer."""

    def __str__(self) -> str:
        return "something else came behind the answer, so nobody knows which answer belongs to the request"


class EarlyAnswerError(AmbiguousAnswerError):
    """The answer says "accepted", and the request was not yet completely written."""

    def __str__(self) -> str:
        return "the answer was there before the request was completely written"


class Attempt:
    """What a client notes of one attempt.

    :param request: what is asked.
    :param config: the connection. Its secrets must not appear in any text that comes from a server.
    """

    on_its_way = False
    """Whether a byte of the request may have been given to the network."""
    is_written = True
    """Whether the operating system has taken the whole request. (It is asked when an answer comes.)"""
    expired = False
    """Whether the deadline passed before the answer was completely read."""
    _status: int | None = None
    _headers: Mapping[str, str] = MappingProxyType({})
    _body: bytes | None = None
    _failure = "the reason is not known"
    _is_tls_problem = False

    def __init__(self, request: Request, config: Config) -> None:
        self.request, self._config = request, config

    def begin_answer(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the status and the headers of the answer.

        :param headers: with case-insensitive look-up. They must have passed :func:`check_headers`.
        :raises EarlyAnswerError: when it says "accepted" before the request was completely written.
        :raises ValueError: when there are too many.
        """
        if status < 400 and not self.is_written:
            raise EarlyAnswerError
        _check_number(headers)
        self._status, self._headers = status, headers

    def end_answer(self, body: bytes) -> None:
        """Note that the complete body has come.

        :raises ValueError: when it cannot be decoded.
        """
        self._body = _decoded(body, self._headers.get("Content-Encoding", ""), self.request.max_answer_bytes)

    def fail(self, error: Exception, *, is_ambiguous: bool = False) -> None:
        """Note what ended the attempt. The error itself is not kept: its traceback would keep the connection open.

        :param is_ambiguous: whether the answer cannot be assigned to the request, as after AmbiguousAnswerError.
        """
        if is_ambiguous or any(isinstance(cause, AmbiguousAnswerError) for cause in causes(error)):
            self._status = None
        self._is_tls_problem = any(map(is_tls_problem, causes(error)))
        has_begun = self._status is not None
        self._failure = failure_text(error, timeout=self._config.timeout, is_sent=self.on_its_way, has_begun=has_begun)

    def judge(self) -> Verdict:
        """Return the outcome of the attempt."""
        cut = self._body is None
        if self._status is None or self.expired or (cut and self._status < 400):
            return self._judge_failure()
        redact = self._config.redact
        return protocol.judge(self.request, self._status, self._headers, self._body or b"", redact=redact)

    def leaves_connection_clean(self, verdict: Verdict) -> bool:
        """Whether the answer allows the connection to be used again."""
        return self._body is not None and not self.expired and verdict.outcome is not Outcome.UNKNOWN

    def _judge_failure(self) -> Verdict:
        if self.on_its_way:
            failure = TransportFailure.LOST
        elif self._is_tls_problem:
            failure = TransportFailure.TLS
        else:
            failure = TransportFailure.UNREACHABLE
        detail = self._failure
        if self.expired:
            deadline = f"{self._config.deadline:g} s"
            is_sent = self.on_its_way
            detail = f"it took longer than its deadline, {deadline}" if is_sent else f"no connection within {deadline}"
        return protocol.judge_failure(failure, f"{self._config.peer}: {detail}", redact=self._config.redact)


def check_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Refuse headers from which two programs may read differently where the answer ends.

    :param headers: each header as it came; one that came twice is there twice.
    :raises AmbiguousAnswerError: if there are such headers.
    """
    seen = set()
    for name, value in headers:
        if " " in name or "\0" in value:
            raise AmbiguousAnswerError
        if (known := name.lower()) in FRAMING:
            if known in seen:
                raise AmbiguousAnswerError
            seen.add(known)
            value = value.strip(" \t\r\n")  # with a line end, if it stands in the next line
            if (known == _LENGTH and not _is_number(value)) or (known == _TRANSFER and value.lower() != "chunked"):
                raise AmbiguousAnswerError
    if _LENGTH in seen and _TRANSFER in seen:
        raise AmbiguousAnswerError


def check_interim(headers: Collection[tuple[str, str]], *, is_last: bool) -> None:
    """Refuse an interim answer (such as 103) that makes it uncertain what the next answer belongs to.

    :param headers: each header as it came.
    :param is_last: whether it says that the server closes the connection behind it.
    :raises AmbiguousAnswerError: if its headers break the rules, or if there must not be another answer behind it.
    :raises ValueError: if there are too many headers.
    """
    if is_last:
        raise AmbiguousAnswerError
    _check_number(headers)
    check_headers(headers)


def _check_number(headers: Sized) -> None:
    if len(headers) > MAX_HEADERS:
        raise ValueError(TOO_MANY_HEADERS)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Decode a body that was compressed although we did not ask for that. A small body may decode to gigabytes."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise ValueError(f"the answer could not be decompressed: its Content-Encoding is {encoding!r:.50}")
    decoder = zlib.decompressobj(_AUTOMATIC_ZLIB_OR_GZIP)
    try:
        decoded = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise ValueError(f"the answer could not be decompressed: it is no {encoding}") from None
    check_size(len(decoded), limit, kind="decompressed ")
    if not decoder.eof:
        raise ValueError(f"the answer could not be decompressed: its {encoding} was cut off")
    return decoded
