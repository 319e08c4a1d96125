"""The synchronous transport: one call at a time over ``requests``, with connections reused."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

import requests

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.attempt import Attempt
from airflow_provider_passnotify.api.config import Config
from airflow_provider_passnotify.api.failure_text import check_size
from airflow_provider_passnotify.api.protocol import Request, Verdict
from airflow_provider_passnotify.api.rate_limit import RateLimiter
from airflow_provider_passnotify.api.watched_connection import Watchdog, WatchedAdapter, ended_clean

log = logging.getLogger(__name__)

_NAP_SECONDS = 0.5
_PIECE = 65536


class PassNotifyClient:
    """Calls the API; every call ends in a :class:`~airflow_provider_passnotify.api.protocol.Verdict`.

    :param config: the settings of the connection, already read.
    :param rate_limiter: the rate limiter of another client for this connection, if both share one rate.
    """

    def __init__(self, config: Config, rate_limiter: RateLimiter | None = None) -> None:
        self.config = config
        self.rate_limiter = rate_limiter or RateLimiter(config.requests_per_second)
        self._session: requests.Session | None = None
        self._process = os.getpid()
        self.in_flight = False
        """Whether the last request may have been on its way when the call was interrupted."""

    def call(self, request: Request, before_attempt: Callable[[], None] | None = None) -> Verdict:
        """Make a request, and repeat it where that is safe and may help.

        :param before_attempt: called right before anything is written, and from time to time during waits. It can
            raise an exception to stop the call.
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
            self.in_flight = False  # only when it is certain that nothing was done
            wait(delay, before_attempt)
            attempt += 1

    def attempt(self, request: Request) -> Verdict:
        """Make one attempt of a request."""
        attempt = Attempt(request, self.config)
        verdict, clean = None, False
        try:
            with Watchdog(attempt, self.config.deadline):
                clean = self._exchange(attempt)
            verdict = attempt.judge()
        finally:
            self.in_flight = attempt.on_its_way
            if verdict is None or not (clean and attempt.leaves_connection_clean(verdict)):
                self.close()
        return verdict

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            self._session.close()

    def _exchange(self, attempt: Attempt) -> bool:
        """Send the request and read the answer. Return whether nothing else came after the answer."""
        request = attempt.request
        try:
            session = self._get_session()
            prepared = session.prepare_request(
                requests.Request(
                    request.method,
                    self.config.base_url + request.url_path,
                    headers=request.headers,
                    data=request.body,
                )
            )
            # The adapter's send(), not the session's: the session also processes redirects and cookies, even bad ones.
            with session.get_adapter(self.config.base_url).send(
                prepared,
                stream=True,
                timeout=self.config.timeout,
                verify=self.config.ca_bundle,
                proxies=session.proxies,
            ) as response:
                attempt.begin_answer(response.status_code, response.headers)
                body = bytearray()
                while not attempt.expired and (piece := response.raw.read(_PIECE, decode_content=False)):
                    body += piece
                    check_size(len(body), request.max_answer_bytes)
                clean = ended_clean(response.raw)
                attempt.end_answer(bytes(body))
                return clean
        except Exception as error:  # noqa: BLE001 (what counts is how far the attempt got, not the class of the error)
            attempt.fail(error)
            return False

    def _get_session(self) -> requests.Session:
        if self._process != os.getpid():  # after a fork, these are the parent's connections: its answers come on them
            self._process, self._session = os.getpid(), None
        if self._session is None:
            self._session = _open_session(self.config)
        return self._session


def wait(seconds: float, check: Callable[[], None] | None) -> None:
    """Sleep in short steps. A signal does not end a sleep, and a task that must stop has very little time to react."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_SECONDS))
        if check:
            check()


def _open_session(config: Config) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # .netrc must not replace our credential; config has already read proxy and CA bundle
    session.headers.update(config.headers)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if config.proxy:
        session.proxies = {"http": config.proxy, "https": config.proxy}
    for prefix in ("http://", "https://"):
        session.mount(prefix, WatchedAdapter())
    return session
