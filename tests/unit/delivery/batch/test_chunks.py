"""The journal of a batch: what is written before and after, and what the next try reads."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.delivery.batch.chunks import (
    MAX_CHUNK_ROWS,
    NOT_SENT,
    SENT,
    UNKNOWN,
    Chunk,
    ChunkJournal,
)
from airflow_provider_passnotify.delivery.batch.ledger import PendingRow
from airflow_provider_passnotify.delivery.store import MemoryStore, TaskStore
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.exceptions import JournalError

NOW = 1_800_000_000_123
"""In milliseconds."""


class Store:
    """Return a value as Airflow's store returns it: it is stored as JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any, *, retention: object = None) -> None:  # noqa: ARG002
        self.values[key] = json.dumps(value, allow_nan=False)


def rows(*numbers: int) -> list[PendingRow]:
    return [
        PendingRow(number, b"who%9d" % number, b"what%8d" % number, Request("POST", "/pass/1/notify", b"{}"))
        for number in numbers
    ]


def journal(
    store: Any, try_number: int = 1, max_tries: int = 3, *, resume: bool = True, clear_number: int = 0, **more: Any
) -> ChunkJournal:
    this_try = TaskTry(try_number=try_number, max_tries=max_tries, retries=3, clear_number=clear_number)
    return ChunkJournal(TaskStore(this_try, store, **more), resume=resume)


def write(store: Any, number: int, chunk: Chunk, **options: Any) -> None:
    written = journal(store, **options)
    written.begin()
    written.write(chunk.as_value(), number, chunk.stage)


def read(store: Any, **options: Any) -> list[tuple[int, int | None, int]]:
    """Return what a try would read, without changing the store."""
    reader = journal(deepcopy(store), **options)
    reader.begin()
    return [(int(e.recipient_digest[3:]), e.ticket_id, e.try_number) for e in reader.read()]


def test_intent_leaves_its_rows_unknown() -> None:
    store = Store()
    write(store, 0, Chunk(0, rows(1, 2)))
    assert read(store, try_number=2) == [(1, None, 1), (2, None, 1)]


def test_outcome_takes_the_place_of_the_intent() -> None:
    store = Store()
    chunk = Chunk(0, rows(1, 2, 3, 4, 5))
    write(store, 0, chunk)
    chunk.settle(0, SENT, 70, NOW)
    chunk.settle(1, NOT_SENT, None, NOW)
    chunk.settle(2, UNKNOWN, None, NOW)
    chunk.settle(4, SENT, 10**19 - 1, NOW)
    write(store, 0, chunk)
    assert [key for key in store.values if ".chunk." in key] == [
        "passnotify.v1.try.1.chunk.0.intent",
        "passnotify.v1.try.1.chunk.0.part",
    ]
    assert read(store, try_number=2) == [(1, 70, 1), (3, None, 1), (4, None, 1), (5, 10**19 - 1, 1)]


def test_when_each_row_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the millisecond; of a row in flight, when its chunk began. A clock that was set back changes no order."""
    monkeypatch.setattr("airflow_provider_passnotify.delivery.batch.chunks.now_ms", lambda: NOW)
    store = Store()
    chunk = Chunk(0, rows(1, 2, 3, 4, 5))
    chunk.settle(0, SENT, 70, NOW + 7)
    chunk.settle(1, UNKNOWN, None, NOW + 86_400_001)
    chunk.settle(3, SENT, 71, NOW - 5000)
    chunk.settle(4, SENT, 72, NOW + 2**40)
    write(store, 0, chunk)
    reader = journal(store, try_number=2)
    reader.begin()
    assert [entry.at for entry in reader.read()] == [NOW + 7, NOW + 86_400_001, NOW, NOW, NOW + 2**32 - 1]


def test_chunks_of_an_older_release_have_no_times() -> None:
    store = Store()
    write(store, 0, Chunk(0, rows(1, 2)))
    key = "passnotify.v1.try.1.chunk.0.intent"
    store.set(key, {name: value for name, value in store.get(key).items() if name not in {"since", "times"}})
    reader = journal(store, try_number=2)
    reader.begin()
    assert [(entry.try_number, entry.at) for entry in reader.read()] == [(1, None), (1, None)]


def test_write_that_arrives_late_hides_no_later_one() -> None:
    """Airflow repeats a write that got no answer. The first one may arrive after the next value was written."""
    store = Store()
    chunk = Chunk(0, rows(1, 2))
    late = [(chunk.as_value(), 0, chunk.stage)]
    chunk.settle(0, SENT, 70, NOW)
    late.append((chunk.as_value(), 0, chunk.stage))
    chunk.settle(1, SENT, 71, NOW)
    write(store, 0, chunk)
    for value, number, stage in reversed(late):
        journal(store).write(value, number, stage)
    assert read(store, try_number=2) == [(1, 70, 1), (2, 71, 1)]


def test_all_tries_and_chunks_are_read() -> None:
    store = Store()
    for try_number in (1, 3):
        for number in range(3):
            write(store, number, Chunk(number, rows(100 * try_number + number)), try_number=try_number)
    found = read(store, try_number=4)
    assert sorted(row for row, _, _ in found) == [100, 101, 102, 300, 301, 302]
    assert {try_number for _, _, try_number in found} == {1, 3}


def test_process_of_the_same_try_writes_behind_the_one_before() -> None:
    store = Store()
    write(store, 0, Chunk(0, rows(1)))
    write(store, 1, Chunk(1, rows(2)))
    later = journal(store)
    assert len(list(later.read())) == 2
    assert later.next_number == 2


def test_clear_counts_unless_resumed() -> None:
    store = Store()
    for try_number, max_tries in ((1, 3), (2, 5)):
        write(store, 0, Chunk(0, rows(try_number)), try_number=try_number, max_tries=max_tries, resume=False)
        journal(store, try_number=try_number, resume=False).end()
    assert read(store, try_number=3, max_tries=5, resume=False) == [(2, None, 2)]
    assert read(store, try_number=3, max_tries=9) == [(2, None, 2)], "what try 2 decided holds"
    assert read(store, try_number=3, max_tries=9, resume=False) == []
    resumed = Store()
    for try_number, max_tries in ((1, 3), (2, 5)):
        write(resumed, 0, Chunk(0, rows(try_number)), try_number=try_number, max_tries=max_tries)
        journal(resumed, try_number=try_number).end()
    assert read(resumed, try_number=3, max_tries=9) == [(2, None, 2), (1, None, 1)]


def test_clear_of_a_try_that_has_not_ended_goes_on() -> None:
    """Airflow may also raise ``max_tries`` if a running task is cleared."""
    store = Store()
    for try_number, max_tries in ((1, 3), (2, 3), (3, 6)):
        write(store, 0, Chunk(0, rows(try_number)), try_number=try_number, max_tries=max_tries)
    store.set("passnotify.v1.try.1.ended", {"at": "now"})  # an older release's, as its chunks are
    assert [row for row, *_ in read(store, try_number=4, max_tries=8, resume=False)] == [3, 2, 1]
    store.set("passnotify.v1.try.4.ended", {"at": "now"})
    assert read(store, try_number=5, max_tries=9, resume=False) == [], "cleared again, it sends all"


def test_failed_tickets_may_be_sent_again() -> None:
    store = Store()
    chunk = Chunk(0, rows(1, 2))
    chunk.settle(0, SENT, 70, NOW)
    chunk.settle(1, SENT, 71, NOW)
    write(store, 0, chunk)
    journal(store, try_number=2).write_failed([71])
    assert read(store, try_number=3) == [(1, 70, 1)]
    assert read(store, try_number=2) == [(1, 70, 1)]


def test_largest_chunk_is_small_enough_for_airflow() -> None:
    store = Store()
    chunk = Chunk(0, rows(*range(MAX_CHUNK_ROWS)))
    for index in range(MAX_CHUNK_ROWS):
        chunk.settle(index, SENT, 10**19 - 1, NOW)
    write(store, 0, chunk)
    assert max(map(len, store.values.values())) < 64 * 1024
    assert len(read(store, try_number=2)) == MAX_CHUNK_ROWS


def test_refused_write_is_an_error() -> None:
    class Refusing(Store):
        def set(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("superseded")

    with pytest.raises(JournalError, match=r"try\.1\.chunk\.0\.intent: RuntimeError: superseded"):
        journal(Refusing()).write(Chunk(0, rows(1)).as_value(), 0, "intent")
    with pytest.raises(JournalError, match="did not accept"):
        journal(Refusing()).write_failed([1])


@pytest.mark.parametrize(
    "change",
    [
        {"identities": None},
        {"texts": "AAAA"},
        {"states": "ssss"},
        {"states": "s"},
        {"tickets": ["x"], "states": "si"},
        {"tickets": [], "states": "ss"},
        {"times": "AAAA"},
        {"times": "AAAAAAA="},
        {"times": None},
        {"since": None},
    ],
)
def test_value_of_another_release_is_refused(change: dict[str, Any]) -> None:
    store = Store()
    write(store, 0, Chunk(0, rows(1, 2)))
    key = "passnotify.v1.try.1.chunk.0.intent"
    store.set(key, {**store.get(key), **change})
    with pytest.raises(JournalError, match="does not understand"):
        read(store, try_number=2)


def test_memory_does_not_remember() -> None:
    store = MemoryStore()
    write(store, 0, Chunk(0, rows(1)))
    assert list(journal(store).read()) == [], "and does not grow"
    assert not journal(MemoryStore()).is_durable
    assert journal(Store()).is_durable
