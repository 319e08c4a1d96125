"""The sandbox and the fixture for the tests of users."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_passnotify.exceptions import DeliveryUnknownError, NotSentError, RejectedError
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from airflow_provider_passnotify.testing import Delivery, Sandbox, running_sandbox

PASS = {"target_type": "pass", "pass_id": 9001}


@pytest.fixture
def sandbox(passnotify_sandbox: Sandbox) -> Sandbox:
    passnotify_sandbox.add_pass(9001, template_id=77, external_id="seat-1A", tags=["flight BA 117"])
    passnotify_sandbox.add_pass(9002, template_id=77, tags=["flight BA 117"], segments=[("p", "s")])
    return passnotify_sandbox


def test_the_default_connection_is_the_sandbox(sandbox: Sandbox) -> None:
    started = datetime.now(timezone.utc)
    ticket_id = PassNotifyHook().send_notification(PASS, value="Gate B7", label="Gate")
    (delivery,) = sandbox.deliveries(9001)
    assert delivery == Delivery(9001, "Gate B7", "Gate", ticket_id, delivery.at)
    clock_step = timedelta(seconds=1)  # a machine's clock may be set meanwhile
    assert started - clock_step <= delivery.at <= datetime.now(timezone.utc) + clock_step
    assert sandbox.deliveries("9001") == sandbox.deliveries() == [delivery]
    assert sandbox.deliveries(9002) == []
    assert sandbox.requests() == [("POST", "/v1/pass/9001/notify", 200)]


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        ({"target_type": "external_pass", "template_id": 77, "pass_external_id": "seat-1A"}, [9001]),
        ({"target_type": "tag", "tag": "flight BA 117", "template_id": 77}, [9001, 9002]),
        ({"target_type": "segment", "project_id": "p", "segment_id": "s", "template_id": 77}, [9002]),
        ({"target_type": "template", "template_id": 77}, [9001, 9002]),
        ({"target_type": "pass", "pass_id": 123}, [123]),
    ],
)
def test_a_pass_is_found_by_every_name_it_was_given(sandbox: Sandbox, target: dict, passes: list[int]) -> None:
    PassNotifyHook().send_notification(target, value="x")
    assert [delivery.pass_id for delivery in sandbox.deliveries()] == passes


def test_a_template_is_found_by_its_external_id(sandbox: Sandbox) -> None:
    sandbox.add_pass(9003, template_id=78, template_external_id="boarding")
    PassNotifyHook().send_notification(
        {"target_type": "external_template", "template_external_id": "boarding"}, value="x"
    )
    assert [delivery.pass_id for delivery in sandbox.deliveries()] == [9003]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"pass_id": 0}, "pass_id"),
        ({"pass_id": "007"}, "pass_id"),
        ({"pass_id": 9003, "tags": ["x"]}, "template_id is missing"),
        ({"pass_id": 9003, "template_id": 77, "external_id": "seat-1A"}, "is that of pass 9001"),
        ({"pass_id": 9003, "template_id": 78, "template_external_id": "12345"}, "is that of template 777"),
    ],
)
def test_a_pass_that_cannot_be_is_refused_whole(sandbox: Sandbox, names: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sandbox.add_pass(**names)
    with pytest.raises(RejectedError):
        PassNotifyHook().send_notification({"target_type": "pass", "pass_id": 9003}, value="x")


def test_the_extra_passes_have_their_template_for_themselves() -> None:
    with running_sandbox(passes=3) as sandbox, pytest.raises(ValueError, match="extra passes"):
        sandbox.add_pass(9001, template_id=20000)


def test_another_sandbox_does_not_know_them(sandbox: Sandbox) -> None:
    with running_sandbox() as other:
        other.add_pass(9001, template_id=99)
        assert other.url != sandbox.url
    PassNotifyHook().send_notification({"target_type": "template", "template_id": 77}, value="x")
    with pytest.raises(RejectedError):
        PassNotifyHook().send_notification({"target_type": "template", "template_id": 99}, value="x")


def test_fail_with_a_status_delivers_nothing(sandbox: Sandbox) -> None:
    sandbox.fail(404, path="/pass/9001/")
    with pytest.raises(RejectedError):
        PassNotifyHook().send_notification(PASS, value="x")
    assert sandbox.deliveries() == []
    PassNotifyHook().send_notification(PASS, value="y")
    assert [delivery.value for delivery in sandbox.deliveries()] == ["y"]


def test_fail_with_an_action_may_deliver(sandbox: Sandbox) -> None:
    sandbox.fail("close_after")
    with pytest.raises(DeliveryUnknownError):
        PassNotifyHook().send_notification(PASS, value="x")
    assert [delivery.value for delivery in sandbox.deliveries()] == ["x"]


def test_faults_are_cleared(sandbox: Sandbox, no_back_off: None) -> None:  # noqa: ARG001
    sandbox.fail(503, times=None)
    with pytest.raises(NotSentError):
        PassNotifyHook().send_notification(PASS, value="x")
    sandbox.clear_faults()
    PassNotifyHook().send_notification(PASS, value="x")
    sandbox.fail(404, nth=2)
    PassNotifyHook().send_notification(PASS, value="x")
    with pytest.raises(RejectedError):
        PassNotifyHook().send_notification(PASS, value="x")


def test_a_fault_that_cannot_be_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="times"):
        sandbox.fail(404, times=0)


def test_tickets_end_at_once_unless_told_otherwise(sandbox: Sandbox) -> None:
    hook = PassNotifyHook()
    assert hook.get_ticket(hook.send_notification(PASS, value="x")).status == "COMPLETED"
    sandbox.set_tickets(final="FAILED")
    assert hook.get_ticket(hook.send_notification(PASS, value="x")).status == "FAILED"


def test_what_the_back_shows(sandbox: Sandbox) -> None:
    assert sandbox.shows(9001) is None
    PassNotifyHook().send_notification(PASS, value="x")
    assert sandbox.shows(9001) == "x"
    PassNotifyHook().delete_notification(PASS)
    assert sandbox.shows(9001) is None
    assert len(sandbox.deliveries(9001)) == 1


def test_reset_forgets_what_happened_and_keeps_the_passes(sandbox: Sandbox) -> None:
    sandbox.fail(404)
    sandbox.reset()
    PassNotifyHook().send_notification(PASS, value="x")
    assert len(sandbox.deliveries()) == 1


@pytest.mark.parametrize("missing", ["pytest", "uvicorn"])
def test_what_is_not_installed(missing: str) -> None:
    """Without pytest there is no fixture; without the extra, an error that names it."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
from airflow_provider_passnotify.testing import running_sandbox
try:
    with running_sandbox() as sandbox:
        print(sandbox.url)
except ImportError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = {"pytest": "http://127.0.0.1:", "uvicorn": "airflow-provider-passnotify[sandbox]"}
    assert expected[missing] in done.stdout
