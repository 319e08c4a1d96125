"""Reports of earlier runs: what is read back from one, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_passnotify.delivery.batch.earlier_reports import EarlierReport
from airflow_provider_passnotify.delivery.batch.ledger import Ledger, Result, Status
from airflow_provider_passnotify.delivery.batch.resume import Entry, LeftOut, Resumed, resume
from airflow_provider_passnotify.exceptions import PassNotifyError
from airflow_provider_passnotify.rows.reader import RowReader

Row = dict[str, Any]
Write = Callable[..., EarlierReport]
READER = RowReader({"target_type": "pass", "value": "Hello"})
AT = 1_800_000_000_123


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the report of a batch.

    Its rows are given by what became of them; those of ``earlier`` tries come first.
    """
    count = 0

    def write(*rows: tuple[Row, str], earlier: list[Entry] | None = None, reader: RowReader = READER) -> EarlierReport:
        nonlocal count
        count += 1
        with Ledger(try_number=2) as ledger:
            ledger.fill([row for row, _ in rows], reader)
            resume(ledger, earlier or [], send_unknown=False)
            results = {
                "sent": lambda number: Result(number, Status.SENT, 1000 * count + number, at=AT + number),
                "failed": lambda number: Result(number, Status.FAILED, None, "HTTP 404", 404, AT),
                "unknown": lambda number: Result(number, Status.UNKNOWN, None, "unknown: lost", None, AT),
            }
            ledger.record([results[what](number) for number, (_, what) in enumerate(rows, 1) if what in results])
            path = tmp_path / f"report-{count}.jsonl"
            path.write_text("".join(ledger.report()))
        return EarlierReport(str(path))

    return write


def new_run(
    rows: list[Row], *reports: EarlierReport, again: bool = False, reader: RowReader = READER, **more: Any
) -> tuple[list[str], Resumed, list[Row]]:
    """Return what becomes of the rows of a run, what was told of it, and its report."""
    with Ledger() as ledger:
        ledger.fill(rows, reader)
        resumed = resume(ledger, more.pop("entries", []), send_unknown=again, reports=reports)
        lines = [json.loads(line) for line in ledger.report()]
        return [line["status"] for line in lines], resumed, lines


def passes(*numbers: int, **more: Any) -> list[Row]:
    return [{"pass_id": number, **more} for number in numbers]


class TestWhatItSays:
    def test_sent_is_left_out_and_the_rest_is_not(self, write: Write) -> None:
        report = write((passes(1)[0], "sent"), (passes(2)[0], "failed"), (passes(3)[0], "unknown"))
        statuses, resumed, lines = new_run(passes(4, 3, 2, 1), report)
        assert statuses == ["pending", "unknown", "pending", "left_out"]
        assert resumed == Resumed(left_out=(LeftOut(report.path, sent=1, unknown=1),))
        assert lines[1]["error"] == (
            f"unknown: the run of the report {report.path} may have sent it; it is not sent again automatically"
        )
        assert {key: lines[3][key] for key in ("ticket_id", "at", "try_number", "report")} == {
            "ticket_id": 1001,
            "at": "2027-01-15T08:00:00.124+00:00",
            "try_number": 2,
            "report": report.path,
        }

    def test_unknown_is_sent_again_at_least_once(self, write: Write) -> None:
        report = write((passes(1)[0], "unknown"), (passes(2)[0], "sent"))
        with Ledger() as ledger:
            ledger.fill(passes(1, 2), READER)
            resume(ledger, [], send_unknown=True, reports=[report])
            assert [row.row for row in ledger.pending(0, 9)] == [1]
            ledger.record([Result(1, Status.FAILED, None, "HTTP 404", 404)])
            assert ledger.failures(9)[0]["error"] == (
                f"unknown: the run of the report {report.path} may have sent it; now: HTTP 404"
            )

    def test_messages_to_nobody_of_this_run_are_not_added(self, write: Write) -> None:
        report = write((passes(1)[0], "sent"), (passes(2)[0], "unknown"))
        assert new_run(passes(3), report)[:2] == (["pending"], Resumed(left_out=(LeftOut(report.path),)))

    def test_tickets_are_those_of_this_run(self, write: Write) -> None:
        with Ledger() as ledger:
            ledger.fill(passes(1, 2), READER)
            resume(ledger, [], send_unknown=False, reports=[write((passes(1)[0], "sent"))])
            ledger.record([Result(2, Status.SENT, 7)])
            assert list(ledger.ticket_ids()) == [7]
            assert str(ledger.counts()) == "1 of 2 sent, 1 left out"

    def test_message_of_an_earlier_try_whose_row_was_gone(self, write: Write) -> None:
        """Its line names no target; the digest tells whom it was for."""
        message = READER.read(passes(5)[0])
        gone = Entry(message.recipient_digest, message.content_digest, 77, 1, AT)
        report = write((passes(1)[0], "sent"), earlier=[gone])
        assert new_run(passes(5, 6), report)[0] == ["left_out", "pending"]

    def test_rows_equal_to_another(self, write: Write) -> None:
        report = write((passes(1)[0], "failed"), (passes(1)[0], "duplicate"))
        assert new_run(passes(1, 1), report)[0] == ["pending", "duplicate"]
        report = write((passes(1)[0], "sent"), (passes(1)[0], "duplicate"))
        assert new_run(passes(1, 1), report)[0] == ["left_out", "duplicate"]


class TestSamePersonTwice:
    A, B = passes(1, value="a")[0], passes(1, value="b")[0]

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_text_tells_which_was_sent(self, write: Write, order: int) -> None:
        report = write((self.A, "sent"), (self.B, "failed"))
        assert new_run([self.A, self.B][::order], report)[0] == ["left_out", "pending"][::order]

    def test_what_failed_is_sent_although_another_row_was_sent(self, write: Write) -> None:
        """The rows of the new run are only those that failed."""
        report = write((self.A, "sent"), (self.B, "failed"))
        assert new_run([self.B], report)[0] == ["pending"]
        assert new_run([{"pass_id": 1, "value": "a, changed"}, self.B], report)[0] == ["left_out", "pending"]
        assert new_run([self.B], report, write((self.B, "sent")))[0] == ["left_out"], "by then it was sent"

    def test_another_text_to_one_who_was_reached_is_left_out(self, write: Write) -> None:
        """As on a retry: a person with n rows gets at most n messages over both runs."""
        report = write((self.A, "sent"))
        statuses, resumed, _ = new_run([{"pass_id": 1, "value": "now"}], report)
        assert statuses == ["left_out"]
        assert resumed.left_out[0].changed == 1
        assert new_run([self.B, {"pass_id": 1, "value": "c"}], report)[0] == ["left_out", "pending"]

    def test_one_message_in_several_reports_counts_once(self, write: Write) -> None:
        """The second run had resumed from the first, so its report names the first one's message, too."""
        first = write((self.A, "sent"), (passes(2)[0], "failed"))
        with Ledger() as ledger:
            ledger.fill([{"pass_id": 1, "value": "changed"}, *passes(2)], READER)
            resume(ledger, [], send_unknown=False, reports=[first])
            ledger.record([Result(2, Status.SENT, 9, at=AT)])
            second = EarlierReport(f"{first.path}.2")
            Path(second.path).write_text("".join(ledger.report()))
        for reports in ([first, second], [second, first], [second, second]):
            statuses, resumed, _ = new_run([self.A, self.B, *passes(2)], *reports)
            assert statuses == ["left_out", "pending", "left_out"]
            assert sum(one.sent for one in resumed.left_out) == 2
        assert new_run([self.A, *passes(2)], second)[0] == ["left_out"] * 2, "a chain needs the last report only"

    def test_sent_outweighs_unknown_and_failed(self, write: Write) -> None:
        reports = [write((self.A, what)) for what in ("unknown", "failed", "sent")]
        assert new_run([self.A], *reports)[0] == ["left_out"]
        assert new_run([self.A], *reports[:2])[0] == ["unknown"]

    def test_own_journal_counts_before_a_report(self, write: Write) -> None:
        message = READER.read(self.A)
        own = Entry(message.recipient_digest, message.content_digest, 5, 1, AT)
        statuses, resumed, lines = new_run([self.A, self.B], write((self.A, "sent")), entries=[own])
        assert statuses == ["sent", "pending"], "the report tells nothing new, and does not take the other row"
        assert (resumed.sent, resumed.left_out[0].sent, lines[0]["ticket_id"]) == (1, 0, 5)


class TestKeys:
    KEYED = RowReader({"target_type": "pass", "value": "Hello {order}", "dedupe_key": "{order}"})

    def test_key_tells_whom(self, write: Write) -> None:
        report = write(({"pass_id": 1, "order": 5}, "sent"), reader=self.KEYED)
        rows = [{"pass_id": 1, "order": 6}, {"pass_id": 2, "order": 5}]
        assert new_run(rows, report, reader=self.KEYED)[0] == ["pending", "left_out"]

    def test_key_then_and_none_now_is_refused(self, write: Write) -> None:
        report = write(({"pass_id": 1, "order": 5}, "sent"), reader=self.KEYED)
        told = (
            rf"Row 2 is for pass 1, without a dedupe_key\.\n- The report {report.path} names pass 1 with a dedupe_key"
        )
        with pytest.raises(ValueError, match=told):
            new_run(passes(2, 1), report)
        with pytest.raises(ValueError, match="names pass 1 without a dedupe_key"):
            new_run([{"pass_id": 1, "order": 5}], write((passes(1)[0], "sent")), reader=self.KEYED)
        assert new_run(passes(2), report)[0] == ["pending"], "others do not matter"

    def test_very_same_message_needs_no_key(self, write: Write) -> None:
        report = write(({"pass_id": 1, "order": 5}, "sent"), reader=self.KEYED)
        assert new_run(passes(1, value="Hello 5"), report)[0] == ["left_out"]


class TestOlderReleases:
    def old(self, report: EarlierReport) -> EarlierReport:
        path = Path(report.path)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        names = {"at", "try_number", "dedupe_key", "digest"}
        kept = ({key: value for key, value in line.items() if key not in names} for line in lines)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
        return report

    def test_the_target_tells_whom(self, write: Write) -> None:
        rows = [({"target_type": "tag", "tag": "x/y", "template_id": 5}, "sent"), (passes(1)[0], "sent")]
        statuses, resumed, lines = new_run([row for row, _ in rows] + passes(2), self.old(write(*rows)))
        assert statuses == ["left_out", "left_out", "pending"]
        assert (lines[0]["at"], lines[0]["try_number"]) == (None, None)
        assert resumed.left_out[0].changed == 2, "it does not say with which text"

    def test_its_keys_are_not_known(self, write: Write) -> None:
        report = self.old(write(({"pass_id": 1, "order": 5}, "sent"), reader=TestKeys.KEYED))
        with pytest.raises(ValueError, match="dedupe_key"):
            new_run([{"pass_id": 1, "order": 5}], report, reader=TestKeys.KEYED)

    def test_message_without_a_name_is_refused(self, write: Write) -> None:
        gone = Entry(b"x" * 12, b"y" * 12, 77, 1)
        with pytest.raises(ValueError, match=r"line 2 .*does not say to whom"):
            new_run(passes(1), self.old(write((passes(1)[0], "sent"), earlier=[gone])))


def line(**fields: Any) -> str:
    target = {"target_type": "pass", "pass_id": "1"}
    return json.dumps({"row": 1, "target": target, "status": "sent", "ticket_id": 5, **fields}) + "\n"


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("", "is empty"),
            ("\n\n", "line 1 .*Was the file cut off"),
            (line() + line()[:-20], "line 2 .*Was the file cut off"),
            (line() + '{"row": 2, "targ', "line 2 .*Was the file cut off"),
            (line() + "{}\n", "line 2 .*no row, target and status"),
            ('{"pass_id": 1, "value": "Hello"}\n', "no row, target and status"),
            ("pass_id,value\n1,Hello\n", "line 1"),
            (f"[{line()}]", "no row|line 1"),
            (json.dumps([json.loads(line())]), "no row, target and status"),
            (line(status="SENT"), "not as a batch writes it"),
            (line(status="pending"), "not as a batch writes it"),
            (line(status=None), "not as a batch writes it"),
            (line(status=[]), "not as a batch writes it"),
            (line(target="pass 1"), "not as a batch writes it"),
            (line(ticket_id="5"), "not a whole number"),
            (line(ticket_id=True), "not a whole number"),
            (line().replace(', "ticket_id": 5', ""), "has no ticket_id"),
            (line(try_number=1.5), "not a whole number"),
            (line(dedupe_key=5), "not as a batch writes it"),
            (line(digest="AAAA"), "cut off"),
            (line(digest="not base64 at all!"), "line 1"),
            (line(digest=None), "line 1"),
            (line(digest="A" * 32, at="yesterday"), "yesterday"),
            (line(digest="A" * 32, at="2026-01-01T00:00:00"), "time zone"),
            (line(digest="A" * 32, at=5), "line 1"),
            (line(target={"target_type": "pass", "pass_id": None}), "pass_id missing"),
            (line(target={"target_type": "nobody", "pass_id": "1"}), "target_type"),
            (line(target={}), "does not say to whom"),
            ("[" * 100_000 + "\n", "line 1"),
        ],
    )
    @pytest.mark.parametrize("place", ["first", "last"])
    def test_what_no_batch_writes(self, tmp_path: Path, write: Write, content: str, told: str, place: str) -> None:
        good = Path(write((passes(9)[0], "sent")).path).read_text()
        path = tmp_path / "other.jsonl"
        if place == "last" and content.strip():
            told = told.replace("line 1", "line 2").replace("line 2 .*Was", r"line \d .*Was")
            path.write_text(good + content)
            told = told if "line 2" not in told or content.count("\n") < 2 else "line"
        else:
            path.write_text(content)
        with pytest.raises(ValueError, match=told) as caught:
            list(EarlierReport(str(path)).lines())
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 1000

    @pytest.mark.parametrize(
        "content",
        [gzip.compress(line().encode()), line().encode("utf-16"), line().encode()[:50] + b"\xff\xfe", b"\0" * 100],
        ids=["gzip", "utf-16", "cut", "zeros"],
    )
    def test_bytes_that_are_no_text(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "report.jsonl"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"report\.jsonl"):
            list(EarlierReport(str(path)).lines())

    def test_report_of_a_deletion(self, tmp_path: Path) -> None:
        """Whose message was taken away has not got the new one."""
        path = tmp_path / "deleted.jsonl"
        with Ledger() as ledger:
            ledger.fill(passes(1), RowReader({"target_type": "pass"}, delete=True))
            ledger.record([Result(1, Status.SENT, 5, at=AT)])
            path.write_text("".join(ledger.report()))
        with pytest.raises(ValueError, match="report of a deletion"):
            new_run(passes(1), EarlierReport(str(path)))

    @pytest.mark.parametrize("name", ["missing.jsonl", "", "no/such/folder/report.jsonl"])
    def test_file_that_cannot_be_read(self, tmp_path: Path, name: str) -> None:
        report = EarlierReport(str(tmp_path / name))
        told = r"Not sent: .*cannot be read(.|\n)*(FileNotFound|IsADirectory)Error"
        with pytest.raises(PassNotifyError, match=told) as caught:
            report.check()
        assert not isinstance(caught.value, ValueError), "a retry may help"

    def test_storage_that_breaks_off(self, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
        report = write((passes(1)[0], "sent"))

        class Breaking:
            def __init__(self, file: Any) -> None:
                self.file = file

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def readline(self, _size: int) -> bytes:
                raise ConnectionError("reset by peer")

        monkeypatch.setattr(
            "airflow_provider_passnotify.delivery.batch.earlier_reports.open_for_reading",
            lambda _: Breaking(io.BytesIO()),
        )
        with pytest.raises(PassNotifyError, match="ConnectionError: reset by peer"):
            report.check()


def test_stops_when_it_is_told_to(write: Write) -> None:
    def stop() -> None:
        raise PassNotifyError("told to stop")

    report = write((passes(1)[0], "sent"))
    with Ledger() as ledger, pytest.raises(PassNotifyError, match="told to stop"):
        resume(ledger, [], send_unknown=False, reports=[report], check=stop)
