"""How the answer about a ticket is read: spellings, status words, and bodies that are no ticket."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pendulum
import pytest

from airflow_provider_passnotify.api import tickets
from airflow_provider_passnotify.api.tickets import StatusWords, TicketState, clean_ticket_id, read_ticket


@pytest.mark.parametrize("key", ["status", "Status", "STATUS"])
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("COMPLETED", TicketState.SUCCEEDED),
        ("completed", TicketState.SUCCEEDED),
        (" Failed ", TicketState.FAILED),
        ("PROCESSING", TicketState.RUNNING),
    ],
)
def test_both_spellings_any_case(key: str, word: str, state: TicketState) -> None:
    ticket = read_ticket(7, {key: word, "createdAt": "2013-03-28 18:18:36.0", "children": {"1": "x"}})
    assert (ticket.id, ticket.status, ticket.state, ticket.children) == (7, word, state, {"1": "x"})
    assert ticket.created_at == pendulum.datetime(2013, 3, 28, 18, 18, 36, tz="UTC")
    assert ticket.as_dict() == {
        "id": 7,
        "status": word,
        "state": state.value,
        "created_at": "2013-03-28T18:18:36+00:00",
        "children": {"1": "x"},
    }


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"status": "PENDING", "Status": "COMPLETED"}, "PENDING"),
        ({"Status": "COMPLETED", "status": "PENDING"}, "PENDING"),
        ({"STATUS": "FAILED", "Status": "COMPLETED"}, "COMPLETED"),
        ({"status": "DONE", "STATUS": "FAILED", "Status": "COMPLETED"}, "DONE"),
        ({"STATUS": "QUEUED", "sTATUS": "DONE"}, "QUEUED"),
    ],
)
def test_of_several_spellings_one_counts(payload: dict[str, str], status: str) -> None:
    assert read_ticket(1, payload).status == status
    dates = {"CREATEDAT": "2001-01-01 00:00", "createdAt": "2002-02-02 00:00", "createdat": "2003-03-03 00:00"}
    ticket = read_ticket(1, {**payload, **dates, "children": [1], "Children": [2]})
    assert (ticket.created_at, ticket.children) == (pendulum.datetime(2002, 2, 2, tz="UTC"), [1])


@pytest.mark.parametrize("own_id", [8, "8", "x", -7, 7.0, True, [7]])
def test_an_answer_about_another_ticket_says_nothing_of_this_one(own_id: Any) -> None:
    for key in ("ID", "id", "Id"):
        with pytest.raises(ValueError, match="ticket 7: the answer is about another ticket"):
            read_ticket(7, {"status": "FAILED", key: own_id})
        assert read_ticket(7, {"status": "FAILED", key: "7"}).state is TicketState.FAILED


@pytest.mark.parametrize("word", ["error", "Failed"])
def test_a_gateways_error_is_no_failed_ticket(word: str) -> None:
    with pytest.raises(ValueError, match=f"ticket 7: the answer says '{word}' and nothing else that a ticket has"):
        read_ticket(7, {"status": word, "message": "upstream failed"})


def test_a_long_status_is_cut_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for status in ("x" * 5_000_000, "FAILED" + " " * 300 + "?", " " * 300 + "FAILED"):
        ticket = read_ticket(7, {"status": status, "ID": 7, "createdAt": "2" * 5_000_000})
        assert len(ticket.status) <= 200
        assert (ticket.status[-1], ticket.state, ticket.created_at) == ("…", TicketState.RUNNING, None)
    assert all(len(record.getMessage()) < 500 for record in caplog.records)


@pytest.mark.parametrize("created_at", [None, 5, "", "yesterday", "12:00", "99999-01-01"])
def test_a_date_that_cannot_be_read_is_none(created_at: Any) -> None:
    assert read_ticket(1, {"status": "DONE", "createdAt": created_at}).created_at is None


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([], "ticket 7: the answer is no JSON object"),
        ("COMPLETED", "ticket 7: the answer is no JSON object: .COMPLETED."),
        ({"ID": 7}, r"ticket 7: the answer has no status; it has \['ID'\]"),
        ({"status": None}, "has no status"),
        ({"status": " "}, "has no status"),
        ({"status": {"code": 1}}, "has no status"),
    ],
)
def test_a_body_that_is_no_ticket_is_refused(payload: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ticket(7, payload)


@pytest.mark.parametrize("value", [None, "None", "", True, False, -1, "-1", "abc", "1.5", 1.5, [1], {}, "1" * 20])
def test_what_is_no_ticket_id_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"ticket_id\[3\] must be a ticketId"):
        clean_ticket_id(value, "ticket_id[3]")


@pytest.mark.parametrize(("value", "ticket_id"), [(0, 0), (1001, 1001), ("1001", 1001), ("007", 7)])
def test_a_ticket_id_is_an_int(value: object, ticket_id: int) -> None:
    assert clean_ticket_id(value) == ticket_id


def test_words_of_the_user_outweigh_the_defaults() -> None:
    words = StatusWords(success=["partly", "failed"], failure=["Vanished"])
    assert words.state("PARTLY") is TicketState.SUCCEEDED
    assert words.state("Failed") is TicketState.SUCCEEDED
    assert words.state("vanished") is TicketState.FAILED
    assert words.state("COMPLETED") is TicketState.SUCCEEDED


def test_words_may_come_from_a_generator() -> None:
    words = StatusWords(success=(word for word in ["partly"]), failure=iter(["Vanished"]))
    assert (words.success, words.failure) == (("partly",), ("Vanished",))
    assert words.state("PARTLY") is TicketState.SUCCEEDED
    assert words.state("vanished") is TicketState.FAILED


@pytest.mark.parametrize(
    ("success", "failure", "message"),
    [
        ("DONE", (), "success_statuses must be a list of words, not 'DONE'"),
        (5, (), "success_statuses must be a list of words, not 5"),
        ((), None, "failure_statuses must be a list of words, not None"),
        ((), [1], r"failure_statuses must be a list of words, not \(1,\)"),
        ((), iter([1]), r"failure_statuses must be a list of words, not \(1,\)"),
        (["odd"], ["ODD"], "success_statuses and failure_statuses both hold ODD"),
    ],
)
def test_words_that_cannot_be_used_are_refused(success: Any, failure: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StatusWords(success, failure)


def test_an_unknown_word_is_running_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tickets, "_logged", set())
    with caplog.at_level(logging.WARNING, logger=tickets.__name__):
        for word in ("Snoozing", "SNOOZING", "snoozing"):
            assert StatusWords().state(word) is TicketState.RUNNING
        assert [record.getMessage().split("'")[1] for record in caplog.records] == ["Snoozing"]
        for percent in range(1000):
            StatusWords().state(f"{percent} %")
    assert len(caplog.records) == 100


def test_what_airflow_could_not_carry_is_made_harmless() -> None:
    """Half an emoji or an infinite number in an event would end Airflow's whole triggerer."""
    children = {"half \ud83d": ["\ud83d", 2**70, float("nan"), None, True, 1.5, {"x": -(2**63)}]}
    ticket = read_ticket(1, {"status": "DONE \ud83d", "children": children})
    assert ticket.status == "DONE ?"
    assert ticket.children == {"half ?": ["?", str(2**70), None, None, True, 1.5, {"x": -(2**63)}]}
    msgspec.msgpack.encode(ticket.as_dict())


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+01:00", "12:00", "", "x", 5])
def test_a_time_that_is_none(at: object) -> None:
    assert read_ticket(1, {"status": "DONE", "createdAt": at}).created_at is None


@pytest.mark.parametrize("text", ["1::36", "20130328/T181836Z", "P1Y2M/PT4H", "18:18:36/19:18:36"])
def test_no_created_at_ends_a_look_up(text: str) -> None:
    assert read_ticket(1, {"status": "COMPLETED", "createdAt": text}).created_at is None


def test_children_nested_deeper_than_python_goes() -> None:
    children: Any = "x"
    for _ in range(5000):
        children = [children]
    assert read_ticket(1, {"status": "FAILED", "children": children}).children == "left out: nested too deeply"


def test_the_first_key_with_a_value_counts() -> None:
    assert read_ticket(1, {"status": None, "Status": "COMPLETED"}).status == "COMPLETED"


def test_an_answer_without_a_status_is_named_briefly() -> None:
    with pytest.raises(ValueError, match="has no status; it has") as caught:
        read_ticket(1, {f"key {number} {'x' * 100}": 1 for number in range(1000)})
    assert len(str(caught.value)) < 2000
