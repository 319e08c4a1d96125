"""A process is frozen or killed at an exact step of a send whose journal is in a folder, without Airflow's store.

This is the race with an orphan: the process of try 1 is frozen with SIGSTOP, try 2 (and 3) run to their end, and then
the first process goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_passnotify.sandbox.server import RunningSandbox

ROOT = Path(__file__).parents[2]
TRY = """
import os, signal, sys
from airflow_provider_passnotify.api.client import PassNotifyClient
from airflow_provider_passnotify.delivery.folder import LocalFiles
from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from tests.stores import context_of

try_number, max_tries, clear_number, delivery, step, number = sys.argv[1:]
write, read, call = LocalFiles.write, LocalFiles.read, PassNotifyClient.call
done = []

def reach(name):
    if name == step:
        os.kill(os.getpid(), int(number))

def note_write(self, name, data):
    reach("before " + name)
    write(self, name, data)
    done.append(name)
    reach("after " + name)

def note_read(self, name):
    if f"try.{try_number}.intent" in done and name.startswith("superseded"):
        reach("before look")
    return read(self, name)

def note_call(self, *args, **kwargs):
    reach("before POST")
    verdict = call(self, *args, **kwargs)
    reach("after answer")
    return verdict

LocalFiles.write, LocalFiles.read, PassNotifyClient.call = note_write, note_read, note_call
context = context_of(None, int(try_number), int(max_tries), retries=1, clear_number=int(clear_number))
operator = SendNotificationOperator(
    task_id="send", target_type="pass", pass_id=123, value="Gate 7", delivery=delivery, retries=1
)
try:
    print("ticket", operator.execute(context))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


class Tries:
    """Tries of one task, each a process of its own.

    :param folder: the journal's.
    """

    def __init__(self, folder: Path, connection: str, delivery: str) -> None:
        self.folder, self.delivery = folder, delivery
        self._env = {**os.environ, "AIRFLOW_CONN_PASSNOTIFY_DEFAULT": connection, "PYTHONPATH": str(ROOT)}
        self._env["AIRFLOW__PASSNOTIFY__JOURNAL_PATH"] = str(folder)

    def start(
        self,
        number: int,
        *,
        max_tries: int = 1,
        clear_number: int = 0,
        step: str = "",
        send: signal.Signals = signal.SIGKILL,
    ) -> subprocess.Popen[str]:
        """Start a try.

        :param step: the step at which it gets a signal.
        """
        task = [str(number), str(max_tries), str(clear_number)]
        arguments = [*task, self.delivery, step, str(int(send))]
        return subprocess.Popen(
            [sys.executable, "-c", TRY, *arguments],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def freeze(self, number: int, step: str) -> subprocess.Popen[str]:
        """Start a try, and return when it is frozen at a step."""
        process = self.start(number, step=step, send=signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), process.stdout and process.stdout.read()
        return process

    def run(self, number: int, **more: int) -> str:
        """Run a try to its end, and return its result."""
        return self.start(number, **more).communicate()[0]

    def go_on(self, process: subprocess.Popen[str]) -> str:
        """Let the frozen process go on, and return its result."""
        process.send_signal(signal.SIGCONT)
        return process.communicate()[0]


@pytest.fixture
def tries(tmp_path: Path, sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Tries:
    return Tries(tmp_path / "journal", sandbox.connection, getattr(request, "param", "at_most_once"))


AT_LEAST_ONCE = pytest.mark.parametrize("tries", ["at_least_once"], indirect=True)


def test_frozen_between_intent_and_look_it_does_not_send(tries: Tries, sandbox: RunningSandbox) -> None:
    orphan = tries.freeze(1, "before look")
    assert "DeliveryUnknownError" in tries.run(2)
    assert "SupersededError" in tries.go_on(orphan)
    assert sandbox.counts() == {}


def test_what_was_refused_writes_nothing_more(tries: Tries) -> None:
    orphan = tries.freeze(1, "before look")
    tries.run(2)
    before = sorted(tries.folder.rglob("*"))
    tries.go_on(orphan)
    assert sorted(tries.folder.rglob("*")) == before


@AT_LEAST_ONCE
def test_frozen_between_intent_and_look_it_leaves_sending_to_the_next_try(
    tries: Tries, sandbox: RunningSandbox
) -> None:
    orphan = tries.freeze(1, "before look")
    assert "ticket" in tries.run(2)
    assert "SupersededError" in tries.go_on(orphan)
    assert sandbox.counts() == {"123": 1}


def test_frozen_between_look_and_post_it_is_the_only_one_that_sends(tries: Tries, sandbox: RunningSandbox) -> None:
    orphan = tries.freeze(1, "before POST")
    assert "DeliveryUnknownError" in tries.run(2)
    assert "ticket" in tries.go_on(orphan)
    assert sandbox.counts() == {"123": 1}


def test_frozen_between_look_and_post_and_ordered_again_by_a_person_both_send(
    tries: Tries, sandbox: RunningSandbox
) -> None:
    """The only case that remains (see the guide): a person was told that it may have been sent, and cleared."""
    orphan = tries.freeze(1, "before POST")
    assert "DeliveryUnknownError" in tries.run(2)
    assert "ticket" in tries.run(3, max_tries=3, clear_number=1)
    assert "ticket" in tries.go_on(orphan)
    assert sandbox.counts() == {"123": 2}


@pytest.mark.parametrize(
    ("step", "next_try", "delivered"),
    [
        ("before try.1.start", "SendRefusedError", 0),  # nobody can know that it did not send
        ("after try.1.start", "ticket", 1),
        ("before try.1.intent", "ticket", 1),
        ("after try.1.intent", "DeliveryUnknownError", 0),
        ("before POST", "DeliveryUnknownError", 0),
        ("after answer", "DeliveryUnknownError", 1),
        ("before try.1.outcome", "DeliveryUnknownError", 1),
        ("after try.1.outcome", "ticket", 1),
    ],
)
def test_killed_at_each_step(tries: Tries, sandbox: RunningSandbox, step: str, next_try: str, delivered: int) -> None:
    process = tries.start(1, step=step)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert next_try in tries.run(2)
    assert sum(sandbox.counts().values()) == delivered


def test_a_second_process_of_the_same_try_is_refused(tries: Tries, sandbox: RunningSandbox) -> None:
    orphan = tries.freeze(1, "before look")
    refused = tries.run(1)
    assert "StartedTwiceError" in refused
    assert f"pid {orphan.pid}" in refused
    assert "ticket" in tries.go_on(orphan)
    assert sandbox.counts() == {"123": 1}
