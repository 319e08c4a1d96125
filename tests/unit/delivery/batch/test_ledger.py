"""The ledger: all rows of a batch in a temporary file, compared with what earlier tries have sent."""

from __future__ import annotations

import json
import random
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Result, Status, TooManyRowsError
from airflow_provider_passnotify.delivery.batch.resume import Entry, Resumed, resume
from airflow_provider_passnotify.rows.reader import RowReader
from airflow_provider_passnotify.rows.source import BadRow

READER = RowReader({"target_type": "pass", "value": "Hello"})


def filled(rows: Iterable[Any]) -> Ledger:
    ledger = Ledger()
    ledger.fill(rows, READER)
    return ledger


def statuses(ledger: Ledger) -> list[str]:
    return [json.loads(line)["status"] for line in ledger.report()]


def waiting(ledger: Ledger) -> list[int]:
    return [row.row for row in ledger.pending(0, 1_000_000)]


class TestFilling:
    def test_file_is_the_users_alone_and_goes(self) -> None:
        with Ledger() as ledger:
            folder = Path(ledger._folder.name)
            assert folder.stat().st_mode & 0o777 == 0o700
        assert not folder.exists()

    def test_equal_rows_wait_once(self) -> None:
        rows = [
            {"pass_id": 1},
            {"pass_id": 2},
            {"pass_id": "1"},
            {"pass_id": 1, "value": "Other"},
            {"pass_id": 1, "x": 9},
        ]
        ledger = filled(rows)
        assert waiting(ledger) == [1, 2, 4]
        assert [json.loads(line).get("same_as") for line in ledger.report()] == [None, None, 1, None, 1]
        assert (ledger.counts().total, ledger.counts().duplicate) == (5, 2)

    def test_bad_rows_are_kept_with_their_reason(self) -> None:
        ledger = filled([{"pass_id": 1}, BadRow("line 2 is odd."), {"pass_id": None, "tag": "x"}])
        assert waiting(ledger) == [1]
        assert ledger.failures(100) == [
            {"row": 2, "target": {}, "error": "line 2 is odd.", "status_code": None},
            {
                "row": 3,
                "target": {"target_type": "pass", "tag": "x"},
                "error": "target_type='pass' does not take tag; it takes pass_id.",
                "status_code": None,
            },
        ]

    def test_more_rows_than_allowed(self) -> None:
        endless = ({"pass_id": number} for number in iter(int, 1))
        with Ledger() as ledger, pytest.raises(TooManyRowsError, match="more than 10 rows"):
            ledger.fill(endless, READER, limit=10)
        with Ledger() as ledger:
            ledger.fill([{"pass_id": number} for number in range(10)], READER, limit=10)

    def test_empty(self) -> None:
        ledger = filled([])
        assert (ledger.counts().total, waiting(ledger), list(ledger.report())) == (0, [], [])


class TestWaiting:
    def test_large_bodies_come_in_small_parts(self) -> None:
        ledger = filled({"pass_id": number, "value": "x" * 1_000_000} for number in range(10))
        sizes = []
        after = 0
        while rows := ledger.pending(after, 1000):
            sizes.append(len(rows))
            after = rows[-1].row
        assert sizes == [3, 3, 3, 1]

    def test_request_is_the_rows_own(self) -> None:
        ledger = filled([{"pass_id": 5, "label": "L"}])
        (row,) = ledger.pending(0, 10)
        assert row.request == READER.read({"pass_id": 5, "label": "L"}).request

    def test_deletion(self) -> None:
        with Ledger() as ledger:
            ledger.fill([{"pass_id": 5}], RowReader({"target_type": "pass"}, delete=True))
            assert ledger.pending(0, 10)[0].request.method == "DELETE"


class TestResults:
    def test_one_line_for_each_row(self) -> None:
        ledger = Ledger(try_number=3)
        ledger.fill([{"pass_id": number % 6} for number in range(8)], READER)
        ledger.record(
            [
                Result(1, Status.SENT, 11, at=1_800_000_000_007),
                Result(2, Status.FAILED, None, 'no "such" pass', 404),
                Result(3, Status.UNKNOWN, None, "unknown: lost"),
            ]
        )
        ledger.give_up("not sent: stopped")
        lines = [json.loads(line) for line in ledger.report()]
        assert [line["row"] for line in lines] == list(range(1, 9))
        assert lines[0] == {
            "row": 1,
            "target": {"target_type": "pass", "pass_id": "0"},
            "status": "sent",
            "ticket_id": 11,
            "at": "2027-01-15T08:00:00.007+00:00",
            "try_number": 3,
            "dedupe_key": None,
            "digest": b64encode(b"".join(READER.read({"pass_id": 0})[2:4])).decode(),
        }
        assert ["digest" in line for line in lines] == [True] * 6 + [False] * 2
        assert (lines[1]["error"], lines[1]["status_code"]) == ('no "such" pass', 404)
        assert (lines[2]["status"], lines[2]["status_code"]) == ("unknown", None)
        assert [line["status"] for line in lines[3:]] == ["failed"] * 3 + ["duplicate"] * 2
        assert lines[3]["error"] == "not sent: stopped"

    def test_every_line_says_when_which_try_and_which_key(self) -> None:
        began = datetime.now(timezone.utc)
        reader = RowReader({"target_type": "pass", "value": "Hello {name}", "dedupe_key": "order {order}"})
        with Ledger(try_number=2) as ledger:
            rows: list[Any] = [
                {"pass_id": 1, "name": "A", "order": '5 "\ud83d'},  # half an emoji
                {"pass_id": 1, "name": "A", "order": 6},  # equal to the first
                {"pass_id": 1, "name": None, "order": 7},
                {"pass_id": 1, "name": "B", "order": None},
                BadRow("line 5 is odd."),
                {"pass_id": 2, "name": "C", "order": 8},
            ]
            ledger.fill(rows, reader)
            ledger.give_up("not sent: stopped")
            lines = [json.loads(line) for line in ledger.report()]
        keys = ['order 5 "\ud83d', "order 6", "order 7", None, None, "order 8"]
        assert [line["dedupe_key"] for line in lines] == keys
        assert {line["try_number"] for line in lines} == {2}
        for line in lines:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["at"])
            assert abs(datetime.fromisoformat(line["at"]) - began) < timedelta(minutes=1)

    def test_what_an_earlier_try_did_keeps_its_time_and_number(self) -> None:
        with Ledger(try_number=4) as ledger:
            ledger.fill([{"pass_id": number} for number in range(4)], READER)
            earlier = [
                entry({"pass_id": 0}, 5, 1)._replace(at=1_700_000_000_999),
                entry({"pass_id": 1}, None, 2)._replace(at=1_700_000_001_000),
                entry({"pass_id": 2}, 6, 3),  # of an older release: without a time
                entry({"pass_id": 99}, 7, 3)._replace(at=0),
            ]
            resume(ledger, earlier, send_unknown=False)
            ledger.record([Result(4, Status.SENT, 8, at=1_700_000_002_000)])
            lines = [json.loads(line) for line in ledger.report()]
        assert [(line["status"], line["try_number"], line["at"]) for line in lines] == [
            ("sent", 1, "2023-11-14T22:13:20.999+00:00"),
            ("unknown", 2, "2023-11-14T22:13:21.000+00:00"),
            ("sent", 3, None),
            ("sent", 4, "2023-11-14T22:13:22.000+00:00"),
            ("sent", 3, "1970-01-01T00:00:00.000+00:00"),
        ]

    def test_tickets_larger_than_an_integer_of_sqlite(self) -> None:
        ledger = filled([{"pass_id": number} for number in range(3)])
        ledger.record([Result(n + 1, Status.SENT, ticket) for n, ticket in enumerate([0, 2**63, 10**19 - 1])])
        assert list(ledger.ticket_ids()) == [0, 2**63, 10**19 - 1]
        assert [json.loads(line)["ticket_id"] for line in ledger.report()] == [0, 2**63, 10**19 - 1]

    def test_first_failures_only(self) -> None:
        ledger = filled(BadRow("bad") for _ in range(300))
        assert [failure["row"] for failure in ledger.failures(100)] == list(range(1, 101))


def entry(row: dict[str, Any], ticket_id: int | None = 7, try_number: int = 1) -> Entry:
    message = READER.read(row)
    return Entry(message.recipient_digest, message.content_digest, ticket_id, try_number)


class TestResuming:
    def test_nothing_earlier(self) -> None:
        ledger = filled([{"pass_id": 1}])
        assert resume(ledger, [], send_unknown=False) == Resumed()
        assert waiting(ledger) == [1]

    def test_other_order_and_other_rows(self) -> None:
        ledger = filled([{"pass_id": number} for number in (9, 3, 1, 2)])
        earlier = [entry({"pass_id": number}, number) for number in (1, 2, 3, 4)]
        assert resume(ledger, earlier, send_unknown=False) == Resumed(sent=3, gone=1)
        assert waiting(ledger) == [1]
        lines = [json.loads(line) for line in ledger.report()]
        assert [line.get("ticket_id") for line in lines] == [None, 3, 1, 2, 4]
        assert (lines[4]["row"], lines[4]["target"], lines[4]["status"]) == (None, {}, "sent")

    def test_changed_text_is_not_sent_again(self) -> None:
        ledger = filled([{"pass_id": 1, "value": "You have 11"}])
        earlier = [entry({"pass_id": 1, "value": "You have 10"})]
        assert resume(ledger, earlier, send_unknown=False) == Resumed(sent=1, changed=1)
        assert waiting(ledger) == []

    def test_exact_text_comes_first(self) -> None:
        """There are two messages to one pass, and the second was sent. So the first must still be sent."""
        ledger = filled([{"pass_id": 1, "value": "a"}, {"pass_id": 1, "value": "b"}])
        resume(ledger, [entry({"pass_id": 1, "value": "b"})], send_unknown=False)
        assert waiting(ledger) == [1]

    def test_unknown_is_not_sent_again(self) -> None:
        ledger = filled([{"pass_id": 1}, {"pass_id": 2}])
        assert resume(ledger, [entry({"pass_id": 1}, None, 2)], send_unknown=False) == Resumed(unknown=1)
        assert waiting(ledger) == [2]
        (failure,) = ledger.failures(10)
        assert failure["error"].startswith("unknown: try 2 may have sent it")

    def test_unknown_is_sent_again_at_least_once(self) -> None:
        ledger = filled([{"pass_id": 1}, {"pass_id": 2}])
        earlier = [entry({"pass_id": 1}, None), entry({"pass_id": 2}, 5)]
        assert resume(ledger, earlier, send_unknown=True) == Resumed(sent=1, unknown=1)
        assert waiting(ledger) == [1]

    @pytest.mark.parametrize("ticket_id", [6, None])
    def test_doubt_that_was_sent_again_with_another_text(self, ticket_id: int | None) -> None:
        """A later try answers what was unknown after the first one. It must not be reported as unknown any more."""
        ledger = filled([{"pass_id": 1, "value": "You have 11"}])
        earlier = [
            entry({"pass_id": 1, "value": "You have 10"}, None, 1),
            entry({"pass_id": 1, "value": "You have 11"}, ticket_id, 2),
        ]
        expected = Resumed(unknown=1) if ticket_id is None else Resumed(sent=1)
        assert resume(ledger, earlier, send_unknown=True) == expected
        assert statuses(ledger) == ["pending" if ticket_id is None else "sent"]

    def test_doubt_that_nothing_has_answered_stays(self) -> None:
        """The message of another row to the same target does not answer what is unknown."""
        ledger = filled([{"pass_id": 1, "value": "a"}])
        earlier = [entry({"pass_id": 1, "value": "a"}, 5, 1), entry({"pass_id": 1, "value": "b"}, None, 2)]
        assert resume(ledger, earlier, send_unknown=True) == Resumed(sent=1, gone=1)
        assert statuses(ledger) == ["sent", "unknown"]

    def test_what_may_have_been_sent_never_counts_as_failed(self) -> None:
        ledger = filled([{"pass_id": number} for number in (1, 2, 3)])
        resume(ledger, [entry({"pass_id": number}, None, 2) for number in (1, 2, 3)], send_unknown=True)
        ledger.record([Result(1, Status.FAILED, None, "HTTP 404", 404), Result(2, Status.SENT, 7)])
        ledger.give_up("not sent: send_before has passed")
        assert statuses(ledger) == ["unknown", "sent", "unknown"]
        assert [failure["error"] for failure in ledger.failures(9)] == [
            "unknown: try 2 may have sent it; now: HTTP 404",
            "unknown: try 2 may have sent it; now: not sent: send_before has passed",
        ]

    @pytest.mark.parametrize("order", [1, -1])
    def test_ticket_outweighs_doubt(self, order: int) -> None:
        ledger = filled([{"pass_id": 1}])
        earlier = [entry({"pass_id": 1}, None, 1), entry({"pass_id": 1}, 8, 2)][::order]
        assert resume(ledger, earlier, send_unknown=True) == Resumed(sent=1)
        assert list(ledger.ticket_ids()) == [8]

    def test_doubt_whose_row_is_gone_is_reported(self) -> None:
        ledger = filled([])
        assert resume(ledger, [entry({"pass_id": 1}, None)], send_unknown=False) == Resumed(gone=1)
        assert ledger.counts().unknown == 1
        assert ledger.failures(10)[0]["row"] is None

    def test_duplicates_stay_duplicates(self) -> None:
        ledger = filled([{"pass_id": 1}, {"pass_id": 1}])
        resume(ledger, [entry({"pass_id": 1})], send_unknown=False)
        assert statuses(ledger) == ["sent", "duplicate"]

    def test_equal_rows_with_other_keys_in_another_order(self) -> None:
        """Two equal rows have different keys, and one was sent. In any order, neither row is sent now."""
        rows = [{"pass_id": 1, "dedupe_key": key} for key in "ba"]
        ledger = filled(rows)
        resume(ledger, [entry(rows[1])], send_unknown=False)
        assert waiting(ledger) == []

    def test_dedupe_key_that_moved_to_another_target(self) -> None:
        ledger = filled([{"pass_id": 2, "dedupe_key": "order 5"}])
        resume(ledger, [entry({"pass_id": 1, "dedupe_key": "order 5"})], send_unknown=False)
        assert waiting(ledger) == []

    @pytest.mark.parametrize("seed", range(30))
    def test_nobody_gets_more_than_there_are_rows(self, seed: int) -> None:
        """Tries may end anywhere, and rows may change (order, text, number). Nobody gets more than n messages."""
        rng = random.Random(seed)
        earlier: list[Entry] = []
        sent: Counter[int] = Counter()
        most: Counter[int] = Counter()
        for try_number in range(1, 6):
            rows = [
                {"pass_id": rng.randrange(4), "value": f"text {rng.randrange(4)}"} for _ in range(rng.randrange(12))
            ]
            different = Counter(pass_id for pass_id, _ in {(row["pass_id"], row["value"]) for row in rows})
            most |= different
            with filled(rows) as ledger:
                resume(ledger, earlier, send_unknown=False)
                for row in ledger.pending(0, 100):
                    if rng.random() < 0.3:
                        break
                    sent[int(row.request.address.split("/")[2])] += 1
                    ticket_id = rng.choice([None, 5])
                    earlier.append(Entry(row.recipient_digest, row.content_digest, ticket_id, try_number))
                assert ledger.counts().total >= len(rows)
            assert all(sent[pass_id] <= most[pass_id] for pass_id in sent)


def test_what_people_read_of_deletions() -> None:
    """Only the word is another: the status is the same."""
    rows = [{"target_type": "pass", "pass_id": number} for number in (1, 2, 3)]
    with Ledger(done="deleted") as ledger:
        ledger.fill(rows, RowReader({}, delete=True))
        ledger.record([Result(1, Status.SENT, 7)])
        ledger.give_up("not deleted: the task was told to stop")
        assert str(ledger.counts()) == "1 of 3 deleted, 2 failed"
        assert json.loads(next(ledger.report()))["status"] == "sent"
