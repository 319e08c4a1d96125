"""What the passengers receive."""

import pytest


@pytest.fixture
def passengers(passnotify_sandbox):
    passnotify_sandbox.add_pass(9001, template_id=77, tags=["BA 117"])
    passnotify_sandbox.add_pass(9002, template_id=77, tags=["BA 117"])
    passnotify_sandbox.add_pass(9003, template_id=77, tags=["BA 118"])
    return passnotify_sandbox


def test_only_this_flight_is_told(dags, passengers):
    run = dags["gate_change"].test(run_conf={"gate": "C2"})
    assert run.state == "success"
    assert [(push.pass_id, push.value) for push in passengers.deliveries()] == [
        (9001, "Your gate is C2"),
        (9002, "Your gate is C2"),
    ]


def test_nobody_is_told_twice(dags, passengers):
    """The API carries the send out, and the connection is lost before its answer."""
    passengers.fail("close_after", method="POST")
    run = dags["gate_change"].test()
    assert run.state == "failed"
    assert len(passengers.deliveries(9001)) == 1
