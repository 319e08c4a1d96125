"""Tickets to follow, from the sandbox."""

from __future__ import annotations

import requests

from airflow_provider_passnotify.sandbox.server import RunningSandbox


def send(sandbox: RunningSandbox, count: int = 1) -> list[int]:
    """Send notifications and return their tickets."""
    with requests.Session() as session:
        session.auth = sandbox.credential
        return [
            session.post(f"{sandbox.url}/v1/pass/123/notify", json={"value": "x"}).json()["ticketId"]
            for _ in range(count)
        ]
