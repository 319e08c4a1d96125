"""Both clients with the same interface, so that a test can run with each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
from airflow_provider_passnotify.api.client import PassNotifyClient
from airflow_provider_passnotify.api.config import Config, read_config
from airflow_provider_passnotify.api.protocol import Request, Verdict, delete_request, send_request
from airflow_provider_passnotify.targets import PassTarget

LOGIN, PASSWORD = "project-key", "s3cr3t-of-the-project"
SEND = send_request(PassTarget(123), value="20% off")
DELETE = delete_request(PassTarget(123))
LOOK = Request("GET", "/ticket/1")

Call = Callable[..., list[Verdict]]


def config_for(url: str, **options: Any) -> Config:
    """Return the configuration of a connection to ``url``. The ``options`` are its Extra."""
    return read_config(
        conn_type="passnotify", host=url, login=LOGIN, password=PASSWORD, extra=json.dumps({"timeout": 20, **options})
    )


def call_requests(config: Config, *requests: Request, between: Callable[[], object] = lambda: None) -> list[Verdict]:
    """Make calls one after the other with the synchronous client. Run ``between`` after each call."""
    client = PassNotifyClient(config)
    try:
        return [(client.call(request), between())[0] for request in requests]
    finally:
        client.close()


def call_aiohttp(config: Config, *requests: Request, between: Callable[[], object] = lambda: None) -> list[Verdict]:
    """Make calls one after the other with the asynchronous client. Run ``between`` after each call."""

    async def run() -> list[Verdict]:
        verdicts = []
        async with PassNotifyAsyncClient(config) as client:
            for request in requests:
                verdicts.append(await client.call(request))
                await asyncio.to_thread(between)
        return verdicts

    return asyncio.run(run())


CLIENTS: dict[str, Call] = {"requests": call_requests, "aiohttp": call_aiohttp}
