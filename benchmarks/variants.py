"""The ways of sending that are compared. Each one runs in a new process and prints its figures as JSON.

``python benchmarks/variants.py NAME URL COUNT``: COUNT notifications to the server at URL.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 256
HEADERS = {
    "Authorization": "Basic " + base64.b64encode(b"key:secret").decode(),
    "Api-Revision": "1.2",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
CA_FILE = os.environ.get("BENCHMARK_CA_FILE", "")


def path_of(number: int) -> str:
    return f"/v1/pass/{number}/notify"


def body_of(number: int) -> bytes:
    return json.dumps({"label": "Points", "value": f"You have {number} points"}).encode()


def http_hook(url: str, count: int) -> None:
    """Airflow's HttpHook in a loop, as in a ``@task`` written by hand."""
    _set_http_connection(url)
    from airflow.providers.http.hooks.http import HttpHook

    def send(number: int) -> None:
        hook = HttpHook(method="POST", http_conn_id="api")
        answer = hook.run(path_of(number), body_of(number), HEADERS, {"verify": CA_FILE or True})
        assert answer.json()["ticketId"]

    _measure(count, lambda: [send(number) for number in range(count)], warm_up=lambda: send(0))


def requests_loop(url: str, count: int) -> None:
    """One ``requests.Session`` in a loop."""
    import requests

    session = requests.Session()
    session.headers.update(HEADERS)
    verify = CA_FILE or True  # with each request, as the environment overrides the session's

    def send(number: int) -> None:
        answer = session.post(url + path_of(number), data=body_of(number), timeout=30, verify=verify)
        assert answer.json()["ticketId"]

    _measure(count, lambda: [send(number) for number in range(count)], warm_up=lambda: send(0))


def aiohttp_loop(url: str, count: int) -> None:
    """``aiohttp`` by hand: workers that pull from one iterator; no journal, report, progress or error handling."""
    import aiohttp

    async def main() -> None:
        numbers = iter(range(count))
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=_ssl_context())

        async def work(session: aiohttp.ClientSession) -> None:
            for number in numbers:
                async with session.post(url + path_of(number), data=body_of(number)) as response:
                    assert (await response.json())["ticketId"]

        async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:
            await asyncio.gather(*(work(session) for _ in range(CONNECTIONS)))

    _measure(count, lambda: asyncio.run(main()))


def sender(url: str, count: int) -> None:
    """The sender alone: error table, throttle and counters, without journal and report."""
    from airflow_provider_passnotify.api.async_client import PassNotifyAsyncClient
    from airflow_provider_passnotify.api.config import Config
    from airflow_provider_passnotify.api.protocol import Outcome, Verdict, send_request
    from airflow_provider_passnotify.delivery.batch.sender import Job, Sender
    from airflow_provider_passnotify.targets import PassTarget

    async def jobs() -> AsyncIterator[Job]:
        for number in range(count):
            yield Job(number, send_request(PassTarget(number), value=f"You have {number} points", label="Points"))

    async def main() -> None:
        sent = 0

        def on_result(_job: Job, verdict: Verdict) -> None:
            nonlocal sent
            sent += verdict.outcome is Outcome.ACCEPTED

        config = Config(url, "a2V5OnNlY3JldA==", max_connections=CONNECTIONS, verify=CA_FILE or True)
        async with PassNotifyAsyncClient(config) as client:
            await Sender(client).run(jobs(), on_result)
        assert sent == count

    _measure(count, lambda: asyncio.run(main()))


def our_batch(url: str, count: int) -> None:
    """SendNotificationBatchOperator: rows from a file, journal, report and progress included."""
    import batch

    with tempfile.TemporaryDirectory() as folder:
        rows, report = batch.write_rows(Path(folder, "rows.jsonl"), count), Path(folder, "report.jsonl")
        options = {"max_connections": CONNECTIONS, "verify": CA_FILE or True}
        one_row = batch.write_rows(Path(folder, "one.jsonl"), 1)
        _measure(
            count,
            lambda: batch.send(url, rows, report, **options),
            warm_up=lambda: batch.send(url, one_row, report, **options),
        )
        with report.open() as lines:
            assert sum(json.loads(line)["ticket_id"] == 1234 for line in lines) == count


def libcurl(url: str, count: int) -> None:
    """libcurl's multi interface, a C client: the practical limit."""
    import pycurl

    headers = [f"{name}: {value}" for name, value in HEADERS.items()]

    def handle() -> pycurl.Curl:
        curl = pycurl.Curl()
        curl.setopt(pycurl.HTTPHEADER, headers)
        if CA_FILE:
            curl.setopt(pycurl.CAINFO, CA_FILE)
        return curl

    def start(multi: pycurl.CurlMulti, curl: pycurl.Curl, number: int) -> None:
        curl.answer = io.BytesIO()
        curl.setopt(pycurl.URL, url + path_of(number))
        curl.setopt(pycurl.POSTFIELDS, body_of(number))
        curl.setopt(pycurl.WRITEDATA, curl.answer)
        multi.add_handle(curl)

    def main() -> None:
        multi, numbers = pycurl.CurlMulti(), iter(range(count))
        multi.setopt(pycurl.M_MAXCONNECTS, CONNECTIONS)
        for number in (next(numbers, None) for _ in range(CONNECTIONS)):
            if number is not None:
                start(multi, handle(), number)
        done = 0
        while done < count:
            multi.perform()
            _, finished, failed = multi.info_read(CONNECTIONS)
            assert not failed, failed
            for curl in finished:
                assert json.loads(curl.answer.getvalue())["ticketId"]
                multi.remove_handle(curl)
                done += 1
                if (number := next(numbers, None)) is not None:
                    start(multi, curl, number)
            if not finished:
                multi.select(1.0)

    _measure(count, main)


def mapped_tasks(url: str, count: int) -> None:
    """One mapped HttpOperator task for each notification, in ``dag.test``. With a scheduler it would take longer."""
    _set_http_connection(url)
    os.environ["BENCHMARK_HEADERS"] = json.dumps(HEADERS)
    os.environ["BENCHMARK_ENDPOINTS"] = json.dumps([path_of(number) for number in range(count)])
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parent / "dags")
    from airflow.utils.db import initdb

    initdb()
    from dags.mapped_http import dag

    def run() -> None:
        state = str(dag.test().state)
        assert "success" in state, state

    _measure(count, run)


VARIANTS: dict[str, Callable[[str, int], None]] = {
    function.__name__: function
    for function in (http_hook, requests_loop, mapped_tasks, our_batch, sender, aiohttp_loop, libcurl)
}


def _set_http_connection(url: str) -> None:
    parts = urlsplit(url)
    connection = {"conn_type": "http", "schema": parts.scheme, "host": parts.hostname, "port": parts.port}
    os.environ["AIRFLOW_CONN_API"] = json.dumps(connection | {"login": "key", "password": "secret"})


def _ssl_context() -> object:
    import ssl

    return ssl.create_default_context(cafile=CA_FILE) if CA_FILE else True


def _measure(count: int, send: Callable[[], object], warm_up: Callable[[], object] = lambda: None) -> None:
    warm_up()
    wall, cpu = time.perf_counter(), time.process_time()
    send()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"per_second": count / wall, "cpu_per_1000": cpu / count * 1000, "peak_mib": peak}))


if __name__ == "__main__":
    VARIANTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
