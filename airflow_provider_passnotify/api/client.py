"""The synchronous transport: one call at a time over ``requests``, with connections reused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.protocol import Request, TransportFailure, Verdict
from airflow_provider_passnotify.api.rate_limit import RateLimiter

log = logging.getLogger(__name__)

_NAP_SECONDS = 0.5


class PassNotifyClient:
    """Calls the API; every call ends in a :class:`~airflow_provider_passnotify.api.protocol.Verdict`.

    :param config: the connection, read.
    :param rate_limiter: its rate, where another client has begun to use it up.
    """

    def __init__(self, config: Config, rate_limiter: RateLimiter | None = None) -> None:
        self.config = config
        self.rate_limiter = rate_limiter or RateLimiter(config.requests_per_second)
        self._session: requests.Session | None = None
        self._last_used = 0.0
        self.in_flight = False
        """Whether the last request may have been on its way when the call was interrupted."""

    def call(self, request: Request, before_attempt: Callable[[], None] | None = None) -> Verdict:
        """Do a request, again where that is safe and may help.

        :param before_attempt: called right before anything is written, and now and then during waits; it stops the
            call by raising.
        """
        attempt = 1
        self.in_flight = False
        while True:
            wait(self.rate_limiter.reserve(time.monotonic()), before_attempt)
            if before_attempt:
                before_attempt()
            self.in_flight = True
            verdict = self.attempt(request)
            delay = protocol.retry_delay(request, verdict, attempt=attempt, max_retries=self.config.max_retries)
            if delay is None:
                return verdict
            log.warning(protocol.RETRY_MESSAGE, request.method, request.url_path, verdict.reason, delay, attempt)
            self.in_flight = False  # not before it is certain that nothing was done
            wait(delay, before_attempt)
            attempt += 1

    def attempt(self, request: Request) -> Verdict:
        """Do a request once."""
        try:
            with self._get_session().request(
                request.method,
                self.config.base_url + request.url_path,
                data=request.body,
                headers=request.headers,
                timeout=self.config.timeout,
                verify=self.config.ca_bundle,  # here, as the session's own is overridden by the environment's
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read_body(response)
                redact = self.config.redact
                return protocol.judge(request, response.status_code, response.headers, body, redact=redact)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return protocol.judge_failure(_classify(error), self.config.redact(_describe(error)))

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            self._session.close()

    def _get_session(self) -> requests.Session:
        now = time.monotonic()
        if self._session is None:
            self._session = _open_session(self.config)
        elif now - self._last_used > protocol.MAX_IDLE_SECONDS:
            self._session.close()
        self._last_used = now
        return self._session


def wait(seconds: float, check: Callable[[], None] | None) -> None:
    """Sleep in naps, as a signal does not end a sleep: a task that was told to stop has only moments to say so."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_SECONDS))
        if check:
            check()


def _open_session(config: Config) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no .netrc in place of our credential; config has read proxy and CA bundle
    session.headers.update(config.headers)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if config.proxy:
        session.proxies = {"http": config.proxy, "https": config.proxy}
    for prefix in ("http://", "https://"):
        session.mount(prefix, _Adapter())
    return session


def _read_body(response: requests.Response) -> bytes:
    try:
        body: bytes = response.raw.read(protocol.MAX_ANSWER_BYTES, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError):
        if response.status_code < 400:
            raise
        return b""  # the status alone says that it was refused
    return body


class _ConnectErrors:
    """A connection that marks what fails before a byte of the request was written: surely not sent."""

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:
            error.not_connected = True  # type: ignore[attr-defined]
            raise


class _HTTPPool(urllib3.HTTPConnectionPool):
    class ConnectionCls(_ConnectErrors, urllib3.connection.HTTPConnection):
        pass


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    class ConnectionCls(_ConnectErrors, urllib3.connection.HTTPSConnection):
        pass


class _Adapter(HTTPAdapter):
    """The stock adapter (which repeats nothing by itself) over those connections."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager


def _classify(error: BaseException) -> TransportFailure:
    """Tell whether anything was written when it failed, from the exceptions that libraries wrap around each other."""
    chain = list(_chain(error))
    # (By no means every ValueError: requests.InvalidHeader tells of an answer, too.)
    unusable = isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
    if not unusable and not any(getattr(link, "not_connected", False) for link in chain):
        return TransportFailure.LOST
    tls = any(isinstance(link, requests.exceptions.SSLError | urllib3.exceptions.SSLError) for link in chain)
    return TransportFailure.TLS if tls else TransportFailure.UNREACHABLE


def _chain(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _describe(error: BaseException) -> str:
    """Return the innermost cause, which says what happened; the wrappers repeat URLs and object addresses."""
    *_, root = _chain(error)
    return f"{type(root).__name__}: {root}"
