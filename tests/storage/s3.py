"""An S3 on a free port: moto's server, and in front of it whatever can go wrong with a store.

::

    with running_s3() as s3:
        s3.rule = lambda request: REFUSE if request.method == "PUT" else None
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

REFUSE, CUT, CUT_ANSWER, EMPTY = "refuse", "cut", "cut answer", "empty"
"""403; the connection breaks in the middle of the request; or when it was taken, before its answer; an old listing."""
CONN_ID = "s3_store"
_FORBIDDEN = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
_NOTHING = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'
_HALF = 10
_ACCOUNT = "123456789012"  # whose everything is, at moto's


@dataclass(frozen=True)
class Request:
    """One request to the store.

    :param name: of the object, without its bucket.
    """

    method: str
    name: str
    is_listing: bool


@dataclass
class S3:
    """A running store.

    :param url: of its endpoint.
    """

    url: str = ""
    rule: Callable[[Request], str | None] = lambda _: None
    """Says of each request what goes wrong with it, if anything; it may wait."""
    requests: list[Request] = field(default_factory=list)

    def connection(self, **config: Any) -> str:
        """Return an Airflow connection to it, as a user writes it.

        :param config: botocore's settings.
        """
        extra = {"endpoint_url": self.url, "region_name": "us-east-1", "config_kwargs": config}
        return json.dumps({"conn_type": "aws", "login": "key", "password": "secret", "extra": extra})

    def reset(self) -> None:
        """Forget all buckets, rules and requests."""
        self.rule = lambda _: None
        for backends in BackendDict._instances:  # type: ignore[misc]  # as moto's own /moto-api/reset
            for account in backends.values():
                account.reset()
        self.requests.clear()

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        requests.put(f"{self.url}/{name}", timeout=30).raise_for_status()

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object behind everybody's back."""
        s3_backends[_ACCOUNT]["aws"].put_object(bucket, name, data)

    def names(self, method: str = "PUT") -> list[str]:
        """Return the objects that were written, in order, without the folders above them."""
        return [request.name.rpartition("/")[2] for request in self.requests if request.method == method]


class _Application:
    def __init__(self, s3: S3) -> None:
        self._s3, self._inner = s3, DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        bucket, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
        request = Request(environ["REQUEST_METHOD"], name, bool(bucket) and not name)
        self._s3.requests.append(request)
        match self._s3.rule(request):
            case "refuse":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [] if request.method == "HEAD" else [_FORBIDDEN]
            case "empty":
                start_response("200 OK", [("Content-Type", "application/xml")])
                return [_NOTHING]
            case "cut":
                environ["wsgi.input"].read(min(_HALF, int(environ.get("CONTENT_LENGTH") or 0)))
                return self._cut(environ)
            case "cut answer":
                list(self._inner(environ, lambda *_: None))
                return self._cut(environ)
        return self._inner(environ, start_response)

    def _cut(self, environ: dict[str, Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError("cut on purpose")


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection that was cut is not used again

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def running_s3() -> Iterator[S3]:
    """Run the store until the block ends."""
    s3 = S3()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, _Application(s3), threaded=True, request_handler=_Quiet)
    s3.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield s3
    finally:
        s3.rule = lambda _: None
        server.shutdown()
        thread.join()
        server.server_close()
