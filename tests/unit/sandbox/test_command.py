"""The sandbox as a command of its own."""

from __future__ import annotations

import ast
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from airflow_provider_passnotify import sandbox
from airflow_provider_passnotify.sandbox.__main__ import main
from airflow_provider_passnotify.sandbox.server import running_sandbox
from tests.servers import free_port

COMMAND = [sys.executable, "-m", "airflow_provider_passnotify.sandbox"]


@contextmanager
def command(*options):
    process = subprocess.Popen([*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, text=True)
    try:
        where, export = process.stdout.readline(), process.stdout.readline()
        yield process, re.search(r"http://\S+", where).group(), export
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_says_where_to_point_a_connection():
    with command("--login", "me", "--password", "it's") as (_, url, export):
        keyword, assignment = shlex.split(export)
        name, _, value = assignment.partition("=")
        connection = json.loads(value)
        assert (keyword, name) == ("export", "AIRFLOW_CONN_PASSNOTIFY_DEFAULT")
        assert connection == {"conn_type": "passnotify", "host": url, "login": "me", "password": "it's"}
        auth = (connection["login"], connection["password"])
        assert requests.delete(f"{url}/v1/pass/123/notify", auth=auth, timeout=30).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_cleanly(number):
    fault = '{"action": "read_timeout"}'
    with (
        command("--fault", fault) as (process, url, _),
        socket.create_connection(tuple(url.removeprefix("http://").split(":"))) as client,
    ):
        client.sendall(b"GET /v1/ticket/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        query = {"wait_for_held": 1, "timeout": 30}
        assert requests.get(f"{url}/_sandbox/requests", params=query, timeout=60).status_code == 200
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""


def test_options():
    options = ["--passes", "3", "--ticket-seconds", "0", "--api-key-error", "--fault", "status:status=503,nth=2"]
    with command(*options) as (_, url, _):
        auth = ("sandbox", "sandbox")
        sent = requests.post(f"{url}/v1/pass/1000003/notify", json={"value": "x"}, auth=auth, timeout=30)
        assert sent.status_code == 200
        assert requests.get(f"{url}/v1/ticket/1001", auth=auth, timeout=30).status_code == 503
        assert requests.get(f"{url}/v1/ticket/1001", auth=auth, timeout=30).json()["Status"] == "COMPLETED"
        assert requests.get(f"{url}/v1/ticket/1001", timeout=30).status_code == 500
        requests.post(f"{url}/_sandbox/reset", timeout=30)
        assert requests.get(f"{url}/_sandbox/faults", timeout=30).json()["faults"] == [
            {"action": "status", "status": 503, "nth": 2, "matched": 0, "hit": 0}
        ]


def test_port_in_use_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr
    assert "in use" in done.stderr


def test_unknown_host_is_said_in_one_line(capsys):
    assert main(["--host", "no.such.host.invalid"]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "no.such.host.invalid" in said


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--port", "99999"], "65535"),
        (["--port", "eighty"], "eighty"),
        (["--passes", "-1"], "-1"),
        (["--passes", "1" + "0" * 30], "too many"),
        (["--ticket-seconds", "nan"], "nan"),
        (["--rate-limit", "0"], "above 0"),
        (["--login", "a:b"], "colon"),
        (["--fault", "explode"], "explode"),
        (["--fault", "status:status=503,color=red"], "color"),
        (["--fault", '{"action": "status"'], "JSON"),
        (["--fault", ""], "action"),
    ],
)
def test_wrong_option_is_explained(capsys, options, word):
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert word in capsys.readouterr().err.splitlines()[-1]


def test_only_this_machine_can_connect():
    with running_sandbox() as running:
        assert running.call(lambda _: running._server._socket.getsockname()[0]) == "127.0.0.1"


def test_answers_are_not_delayed():
    """asyncio checks whether the socket names TCP. If not, an answer of two packets takes 40 ms."""
    with running_sandbox() as running:
        assert running.call(lambda _: running._server._socket.proto) == socket.IPPROTO_TCP


def test_in_a_thread_it_closes_no_idle_connection():
    """After a pause of the whole machine, it would close it while the client of the same process sends on it."""
    with running_sandbox() as running:
        assert running.state.options.keep_alive >= 600
    with running_sandbox(keep_alive=5) as running:
        assert running.state.options.keep_alive == 5


def test_shares_no_code_with_the_rest():
    """If they shared code, one could hide the mistake of the other. And a worker should not load a web server."""
    package = Path(sandbox.__file__).parent
    inside = sandbox.__name__
    for path in package.parent.rglob("*.py"):
        if path == package.parent / "testing.py":
            continue  # it starts the sandbox, for the users' own tests
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                if package in path.parents:
                    assert name.startswith(inside) or name.split(".")[0] not in ("airflow", inside.split(".")[0]), path
                else:
                    assert not name.startswith(inside), path


def test_sandbox_in_a_thread_stops_and_frees_its_port():
    port = free_port()
    with running_sandbox(port=port) as first:
        assert first.url == f"http://127.0.0.1:{port}"
        assert json.loads(first.connection)["host"] == first.url
    with running_sandbox(port=port) as second:
        assert second.url == first.url
        assert requests.get(f"{second.url}/v1/system/status", timeout=30).json() == {"Hello": "World"}
