"""One attempt of a request, whichever client makes it: how far it got, what came back, and what follows from both.

The clients only note what they see. What it means is decided here, by one rule for both:

* Before a byte of the request may have been handed to the network, whatever goes wrong means "not sent".
* From then on, whatever goes wrong means "no answer", and so does an answer that came after the deadline: when a
  connection is shut down, a cut answer can look like a whole one.
* An error status counts although its body was cut or cannot be decoded; a success needs its whole body.
* A connection is used again only after an answer that came whole, alone, and was understood.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator, Mapping

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Outcome, Request, TransportFailure, Verdict

_AUTOMATIC_ZLIB_OR_GZIP = 47


class Attempt:
    """What a client notes of one attempt.

    :param request: what is asked.
    :param config: where, and with which secrets, which no text of a server may repeat.
    """

    def __init__(self, request: Request, config: Config) -> None:
        self.request, self._config = request, config
        self.on_its_way = False
        """Whether a byte of the request may have been handed to the network."""
        self.expired = False
        """Whether the deadline had passed before the answer was read to its end."""
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._body: bytes | None = None
        self._error: Exception | None = None

    def begin_answer(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the head of the answer.

        :param headers: with case-insensitive look-up.
        """
        self._status, self._headers = status, headers

    def end_answer(self, body: bytes) -> None:
        """Note that the whole body has come.

        :raises ValueError: when it cannot be decoded.
        """
        self._body = _decoded(body, self._headers.get("Content-Encoding", ""), self.request.max_answer_bytes)

    def fail(self, error: Exception) -> None:
        """Note what ended the attempt."""
        self._error = error

    def judge(self) -> Verdict:
        """Return what it came to."""
        cut = self._body is None
        if self._status is None or self.expired or (cut and self._status < 400):
            return self._judge_failure()
        redact = self._config.redact
        return protocol.judge(self.request, self._status, self._headers, self._body or b"", redact=redact)

    def leaves_connection_clean(self, verdict: Verdict) -> bool:
        """Whether the connection may be used again, as far as the answer tells."""
        return self._body is not None and not self.expired and verdict.outcome is not Outcome.UNKNOWN

    def _judge_failure(self) -> Verdict:
        if self.on_its_way:
            failure = TransportFailure.LOST
        elif any(isinstance(error, ssl.SSLError) for error in _chain(self._error)):
            failure = TransportFailure.TLS
        else:
            failure = TransportFailure.UNREACHABLE
        if self.expired:
            detail = f"it took longer than its deadline, {self._config.deadline:g} s"
        else:
            # The innermost cause says what happened; the wrappers repeat URLs and object addresses.
            *_, cause = _chain(self._error)
            detail = f"{type(cause).__name__}: {cause}"
        return protocol.judge_failure(failure, detail, redact=self._config.redact)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Decode a body that was compressed although nobody had asked for it; a small one may hold gigabytes."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise ValueError(f"the answer's Content-Encoding is {encoding!r:.50}, which nobody asked for")
    decoder = zlib.decompressobj(_AUTOMATIC_ZLIB_OR_GZIP)
    try:
        decoded = decoder.decompress(body, limit)
    except zlib.error as error:
        raise ValueError(f"the answer is no {encoding}: {error}") from None
    if not decoder.eof:
        raise ValueError(f"the answer, decoded, is cut or larger than {limit} bytes")
    return decoded
