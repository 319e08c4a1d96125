"""The state of a tracker: what it knows after some answers, when it polls again, and how it survives a deferral."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_passnotify.api.protocol import (
    Outcome,
    TransportFailure,
    Verdict,
    judge,
    judge_failure,
    ticket_request,
)
from airflow_provider_passnotify.api.ticket_event import as_event, load_event
from airflow_provider_passnotify.api.ticket_poll import MAX_BACK_OFF, MAX_RETRY_AFTER_BETWEEN_POLLS, PollSchedule
from airflow_provider_passnotify.api.ticket_tracker import End, TicketTracker
from airflow_provider_passnotify.api.tickets import StatusWords, TicketState, read_ticket
from airflow_provider_passnotify.exceptions import TicketError
from airflow_provider_passnotify.operators.polling import conclude


def answer(status_code: int, body: Any, **headers: str) -> Verdict:
    """The protocol's verdict about an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(ticket_request(1), status_code, headers, content)


def status(word: str, **more: Any) -> Verdict:
    return answer(200, {"Status": word, "createdAt": "2013-03-28 18:18:36.0", **more})


TROUBLE = [
    pytest.param(answer(429, {}, **{"Retry-After": "7"}), "HTTP 429", True, id="429"),
    pytest.param(answer(408, b""), "HTTP 408", True, id="408"),
    pytest.param(answer(425, b""), "HTTP 425", True, id="425"),
    pytest.param(answer(500, b"oops"), "HTTP 500", True, id="500"),
    pytest.param(answer(307, b"", Location="http://x"), "a redirect", True, id="redirect"),
    pytest.param(judge_failure(TransportFailure.UNREACHABLE, "refused"), "unreachable", True, id="unreachable"),
    pytest.param(judge_failure(TransportFailure.LOST, "reset"), "no usable answer", True, id="lost"),
    pytest.param(answer(200, b"<html>"), "without a JSON body", False, id="no JSON"),
    pytest.param(answer(200, [1]), "is no JSON object", False, id="list"),
    pytest.param(answer(200, {"ID": 1}), "has no status", False, id="no status"),
]


def test_nothing_to_wait_for_has_succeeded() -> None:
    assert TicketTracker([]).end is End.SUCCESS


def test_it_ends_when_all_have_ended_and_asks_only_those_that_have_not() -> None:
    tracker = TicketTracker([3, 1, 2, 3])
    assert tracker.begin_cycle() == [3, 1, 2]
    tracker.take(1, status("COMPLETED"))
    tracker.take(2, status("PENDING"))
    assert tracker.end is None
    assert tracker.begin_cycle() == [3, 2]
    tracker.take(3, status("done"))
    tracker.take(2, status("PROCESSING"))
    assert tracker.message == "1 of 3 tickets did not end: 2 (PROCESSING)."
    tracker.take(2, status("SUCCESS"))
    assert (tracker.end, tracker.message) == (End.SUCCESS, "3 of 3 tickets succeeded.")


def test_one_failure_among_many_is_named_once_all_have_ended() -> None:
    tracker = TicketTracker(range(2000))
    for ticket_id in tracker.begin_cycle():
        tracker.take(ticket_id, status("FAILED" if ticket_id == 1234 else "DONE", children={"5": "gone"}))
        if ticket_id == 1234:
            assert tracker.end is None
    assert tracker.end is End.FAILED
    assert tracker.message == '1 of 2000 tickets failed: 1234 (FAILED). Children of 1234: {"5": "gone"}.'
    [failed] = tracker.tickets(TicketState.FAILED)
    assert (failed.id, failed.children) == (1234, {"5": "gone"})


@pytest.mark.parametrize(("verdict", "reason", "of_the_server"), TROUBLE)
def test_a_problem_is_asked_again_and_named_when_the_time_is_up(
    verdict: Verdict, reason: str, of_the_server: bool
) -> None:
    tracker = TicketTracker([1, 2])
    assert tracker.take(1, verdict) is not of_the_server
    assert (tracker.end, tracker.cycle.server_failed) == (None, of_the_server)
    assert reason in tracker.cycle.problem
    tracker.timed_out = True
    assert tracker.end is End.TIMEOUT
    assert "1 (no answer yet)" in tracker.message
    assert "ticket 1: " in tracker.message.partition("The last problem: ")[2]
    tracker.take(1, status("DONE"))
    tracker.take(2, status("DONE"))
    assert tracker.end is End.SUCCESS


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
def test_a_refusal_ends_it_at_once_and_names_the_ticket(code: int) -> None:
    tracker = TicketTracker([1, 404404, 3])
    assert not tracker.take(404404, answer(code, {"code": code, "description": "no"}))
    assert tracker.end is End.ERROR
    assert tracker.message == f"Ticket 404404 cannot be looked up: HTTP {code}: no."


def test_the_users_words_count() -> None:
    tracker = TicketTracker([1, 2], StatusWords(["Shown"], ["Lost"]))
    tracker.take(1, status("SHOWN"))
    tracker.take(2, status("lost"))
    assert tracker.end is End.FAILED
    assert [ticket.id for ticket in tracker.tickets(TicketState.SUCCEEDED)] == [1]


@pytest.mark.parametrize("count", [1, 100, 101, 2000])
def test_an_event_holds_the_state_of_every_ticket_and_stays_small(count: int) -> None:
    tracker = TicketTracker(range(10**9, 10**9 + count))
    for number, ticket_id in enumerate(tracker.begin_cycle()):
        word = "FAILED" if number % 10 == 0 else "COMPLETED" if number % 2 else "PROCESSING"
        tracker.take(ticket_id, status(word, createdAt="2013-03-28 18:18:36.0", children={"a": "b" * 50}))
    tracker.timed_out = True
    event = json.loads(json.dumps(as_event(tracker)))
    assert len(json.dumps(event)) < 60_000
    assert event["status"] == ("timeout" if count > 1 else "failed")

    resumed = TicketTracker([])
    load_event(resumed, event)
    assert (resumed.end, resumed.message) == (tracker.end, tracker.message)
    key = lambda ticket: ticket.id  # noqa: E731
    assert sorted(resumed.tickets(), key=key) == sorted(tracker.tickets(), key=key)
    assert resumed.tickets(TicketState.FAILED)[0].children == {"a": "b" * 50}


def test_a_poll_cycle_without_problems_forgets_the_last_one() -> None:
    tracker = TicketTracker([1])
    tracker.begin_cycle()
    tracker.take(1, answer(500, b"odd"))
    assert (tracker.cycle.server_failed, tracker.cycle.problem) == (True, "ticket 1: HTTP 500: odd")
    tracker.begin_cycle()
    tracker.take(1, status("PROCESSING"))
    assert (tracker.cycle.server_failed, tracker.cycle.problem) == (False, "")


def test_half_an_emoji_in_an_error_can_be_stored() -> None:
    for code in (404, 500):
        tracker = TicketTracker([1])
        tracker.take(1, answer(code, b'{"code": 1, "description": "half \\ud83d"}'))
        json.dumps(as_event(tracker), ensure_ascii=False).encode()
        assert "half ?" in as_event(tracker)["message"]


def test_children_of_a_ticket_that_runs_are_not_kept() -> None:
    tracker = TicketTracker([1])
    tracker.take(1, status("PROCESSING", children={"5": "x"}))
    assert read_ticket(1, {"status": "PROCESSING", "children": {"5": "x"}}).children == {"5": "x"}
    tracker.take(1, status("FAILED", children={"5": "x"}))
    assert tracker.tickets(TicketState.FAILED)[0].children == {"5": "x"}


def test_long_children_are_left_out_of_an_event() -> None:
    tracker = TicketTracker([1, 2])
    tracker.take(1, status("FAILED", children="x" * 50_000))
    tracker.take(2, status("y" * 5_000))
    assert as_event(tracker)["tickets"][0]["children"] == "left out: 50002 characters"
    assert len(json.dumps(as_event(tracker))) < 2_000


def test_what_was_known_before_a_deferral_and_what_the_trigger_saw_add_up() -> None:
    before = TicketTracker([1, 2, 3])
    before.take(1, status("FAILED", children=["why"]))
    before.take(2, status("PENDING"))
    trigger = TicketTracker(before.left)
    trigger.take(2, status("DONE"))
    trigger.take(3, status("DONE"))

    after = TicketTracker([3, 2, 1])
    load_event(after, as_event(before))
    load_event(after, as_event(trigger))
    assert after.end is End.FAILED
    assert [ticket.children for ticket in after.tickets(TicketState.FAILED)] == [["why"]]


def test_a_refusal_and_an_error_survive_the_event() -> None:
    refused = TicketTracker([5])
    refused.take(5, answer(404, {"code": 404, "description": "gone"}))
    resumed = TicketTracker([5])
    load_event(resumed, as_event(refused))
    assert resumed.rejected is not None
    assert resumed.rejected[0] == 5
    assert (resumed.rejected[1].outcome, resumed.rejected[1].status_code) == (Outcome.REJECTED, 404)
    assert resumed.message == refused.message

    broken = TicketTracker([5])
    broken.error = "Connection 'x': it has no host."
    resumed = TicketTracker([5])
    load_event(resumed, as_event(broken))
    assert (resumed.end, resumed.message) == (End.ERROR, broken.error)


def test_the_interval_has_jitter_but_keeps_to_the_poll_interval() -> None:
    tracker, schedule = TicketTracker([1]), PollSchedule(30)
    waits = [schedule.next(tracker.cycle) for _ in range(200)]
    assert all(27 <= wait <= 33 for wait in waits)
    assert len(set(waits)) > 100
    firsts = [schedule.first() for _ in range(200)]
    assert min(firsts) < 5 < 25 < max(firsts) <= 30


def test_problems_of_the_server_lengthen_the_interval_until_it_answers() -> None:
    tracker, schedule = TicketTracker([1]), PollSchedule(10)
    for factor in (2, 4, 8, 16):
        tracker.begin_cycle()
        tracker.take(1, answer(500, b""))
        assert schedule.next(tracker.cycle) == pytest.approx(10 * factor, rel=0.11)
    for _ in range(20):
        wait = schedule.next(tracker.cycle)
    assert wait <= MAX_BACK_OFF * 1.1
    tracker.begin_cycle()
    tracker.take(1, answer(200, b"odd"))
    assert schedule.next(tracker.cycle) == pytest.approx(10, rel=0.11)


@pytest.mark.parametrize(("asked", "waited"), [("3", 10), ("60", 60)])
def test_a_poll_cycle_that_got_answers_lengthens_nothing(asked: str, waited: float) -> None:
    """If the server answers 300 of 2,000 polls and then says 429, this is progress."""
    tracker, schedule = TicketTracker([1, 2]), PollSchedule(10)
    tracker.begin_cycle()
    tracker.take(1, answer(500, b""))
    assert schedule.next(tracker.cycle) == pytest.approx(20, rel=0.11)
    for _ in range(5):
        tracker.begin_cycle()
        tracker.take(1, status("PROCESSING"))
        tracker.take(2, answer(429, {}, **{"Retry-After": asked}))
        assert schedule.next(tracker.cycle) == pytest.approx(waited, rel=0.11)
    tracker.begin_cycle()
    tracker.take(1, answer(429, {}))
    assert schedule.next(tracker.cycle) == pytest.approx(20, rel=0.11), "it grows anew from the start"


@pytest.mark.parametrize(("asked", "obeyed"), [("120", 120), ("1", 22), ("86400", MAX_RETRY_AFTER_BETWEEN_POLLS)])
def test_retry_after_is_obeyed_within_reason(asked: str, obeyed: float) -> None:
    tracker = TicketTracker([1])
    tracker.take(1, answer(429, {}, **{"Retry-After": asked}))
    assert PollSchedule(10).next(tracker.cycle) == pytest.approx(obeyed, rel=0.21)


def test_growth_ends_at_the_longest() -> None:
    tracker, schedule = TicketTracker([1]), PollSchedule(10, growth=2, longest=25)
    waits = [schedule.next(tracker.cycle) for _ in range(5)]
    assert [round(wait / 5) * 5 for wait in waits] == pytest.approx([10, 20, 25, 25, 25], abs=5)


def test_a_poll_cycle_that_is_cut_short_begins_elsewhere_the_next_time() -> None:
    """Otherwise the last tickets would never be polled if each poll cycle ends at the server's limit."""
    tracker = TicketTracker([1, 2, 3, 4])
    tracker.take(tracker.begin_cycle()[0], status("PROCESSING"))
    tracker.take(2, answer(429, {}))
    assert tracker.begin_cycle() == [3, 4, 1, 2]
    tracker.take(3, answer(500, b"oops"))
    assert tracker.begin_cycle() == [4, 1, 2, 3]
    assert {ticket.id: ticket.status for ticket in tracker.tickets()} == {1: "PROCESSING", 2: "", 3: "", 4: ""}


def test_tickets_that_changed_while_it_was_deferred_are_no_success() -> None:
    tracker = TicketTracker([2])
    done = TicketTracker([1])
    done.take(1, status("COMPLETED"))
    load_event(tracker, as_event(done))
    with pytest.raises(TicketError, match=r"(?s)have changed.*2 \(no answer yet\)"):
        conclude(tracker, final=True)
