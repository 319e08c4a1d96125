"""The journal in a bucket: what dies, who is fenced off, and what a store and a network can do to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_passnotify.exceptions import DeliveryUnknownError, JournalError
from airflow_provider_passnotify.sandbox.server import RunningSandbox
from tests.storage import tries
from tests.storage.s3 import CUT, CUT_ANSWER, EMPTY, REFUSE, S3, Request

pytestmark = pytest.mark.usefixtures("no_back_off")
IMPATIENT = {"connect_timeout": 60, "read_timeout": 60, "retries": {"max_attempts": 0}}


def at(method: str, end: str, what: str) -> Callable[[Request], str | None]:
    """Return a rule for the requests about one object."""
    return lambda request: what if request.method == method and request.name.endswith(end) else None


class TestDeath:
    """SIGKILL at each step of a try; then the next one."""

    @pytest.mark.parametrize(
        ("step", "next_try", "delivered"),
        [
            ("before try.1.start", "SendRefusedError", 0),
            ("after try.1.start", "done", 1),
            ("before try.1.intent", "done", 1),
            ("after try.1.intent", "DeliveryUnknownError", 0),
            ("before POST", "DeliveryUnknownError", 0),
            ("after answer", "DeliveryUnknownError", 1),
            ("before try.1.outcome", "DeliveryUnknownError", 1),
            ("after try.1.outcome", "done", 1),
        ],
    )
    def test_single(
        self, bucket: str, env: dict[str, str], sandbox: RunningSandbox, step: str, next_try: str, delivered: int
    ) -> None:
        assert tries.run("single", bucket, 1, env, step) == ("", -9)
        said, code = tries.run("single", bucket, 2, env)
        assert (said.split(":")[0].split()[0], code) == (next_try, 0), said
        assert sandbox.counts() == ({"123": 1} if delivered else {})

    @pytest.mark.parametrize(
        ("step", "next_try", "delivered"),
        [
            ("before try.1.start", "SendRefusedError", 0),
            ("after try.1.start", "'sent': 3", 3),
            ("after try.1.begin", "'sent': 3", 3),
            ("before try.1.chunk.0.intent", "'sent': 3", 3),
            ("after try.1.chunk.0.intent", "'unknown': 3", 0),
            ("before try.1.chunk.0.outcome", "'unknown': 3", 3),
            ("after try.1.chunk.0.outcome", "'sent': 3", 3),
            ("after try.1.ended", "'sent': 3", 3),
        ],
    )
    def test_batch(
        self, bucket: str, env: dict[str, str], sandbox: RunningSandbox, step: str, next_try: str, delivered: int
    ) -> None:
        assert tries.run("batch", bucket, 1, env, step) == ("", -9)
        said, code = tries.run("batch", bucket, 2, env)
        assert next_try in said, said
        assert code == 0
        assert sorted(sandbox.counts().values()) == [1] * delivered


class TestWhole:
    def test_writes_of_a_send(self, bucket: str, s3: S3) -> None:
        for try_number in (1, 2):
            tries.send(bucket, try_number)
        records = ["try.1.start", "try.1.intent", "try.1.outcome", "try.2.start", "superseded.1"]
        assert s3.names() == records

    @pytest.mark.parametrize("kind", tries.KINDS)
    def test_once_over_all_tries(self, kind: str, bucket: str, sandbox: RunningSandbox) -> None:
        found = [tries.KINDS[kind](bucket, number) for number in (1, 2, 3)]
        assert set(sandbox.counts().values()) == {1}
        if kind == "single":
            assert found[0] == found[1] == found[2]
        else:
            assert [summary["sent"] for summary in found] == [3, 3, 3]

    @pytest.mark.parametrize("kind", tries.KINDS)
    def test_old_listings_do_not_matter(self, kind: str, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        """Each listing of this store says that there is nothing, and so do those that the process has kept."""
        s3.rule = lambda request: EMPTY if request.is_listing and request.method == "GET" else None
        tries.KINDS[kind](bucket, 1)
        from airflow_provider_passnotify.delivery.storage import storage_path

        root = storage_path(bucket)
        for folder in {name.rpartition("/")[0] for name in (request.name for request in s3.requests) if "/" in name}:
            root.fs.dircache[f"{root.path}/{folder}"] = []  # "there is nothing"
        tries.KINDS[kind](bucket, 2)
        assert set(sandbox.counts().values()) == {1}


class TestFence:
    def test_superseded_while_it_looks(self, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        """The look of try 1 is on its way while try 2 begins and ends."""
        looks, go_on = threading.Event(), threading.Event()

        def hold(request: Request) -> None:
            if request.name.endswith("superseded.1") and request.method != "PUT":
                looks.set()
                assert go_on.wait(60)

        s3.rule = hold
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(tries.attempt, "single", bucket, 1)
            assert looks.wait(60)
            second = tries.attempt("single", bucket, 2)
            go_on.set()
            assert "SupersededError" in first.result()
        assert second.startswith("DeliveryUnknownError")
        assert sandbox.counts() == {}
        assert "try.1.outcome" not in s3.names(), "who was refused writes nothing more"

    def test_superseded_while_it_sends(self, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        """Try 2 begins when try 1 has looked, and ends before that writes its outcome."""
        sent, go_on = threading.Event(), threading.Event()

        def hold(request: Request) -> None:
            if request.name.endswith("try.1.outcome") and request.method == "PUT":
                sent.set()
                assert go_on.wait(60)

        s3.rule = hold
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(tries.attempt, "single", bucket, 1)
            assert sent.wait(60)
            assert tries.attempt("single", bucket, 2).startswith("DeliveryUnknownError")
            go_on.set()
            assert first.result().startswith("done")
        assert sandbox.counts() == {"123": 1}

    @pytest.mark.parametrize("kind", tries.KINDS)
    def test_two_processes_of_one_try(
        self, kind: str, bucket: str, s3: S3, env: dict[str, str], sandbox: RunningSandbox
    ) -> None:
        """Both find no start before either has written its own."""
        both, met = threading.Barrier(2), []

        def hold(request: Request) -> None:
            if request.name.endswith("try.1.start") and request.method != "PUT" and len(met) < 2:
                met.append(request)
                both.wait(60)

        s3.rule = hold
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(lambda _: tries.run(kind, bucket, 1, env)[0], range(2)))
        assert len(met) == 2
        assert all(count == 1 for count in sandbox.counts().values()), found
        assert len({said for said in found if said.startswith("done")}) <= 1, "who does not send may find the ticket"


class TestStore:
    """What the store does."""

    @pytest.mark.parametrize("kind", tries.KINDS)
    @pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
    def test_that_refuses(self, kind: str, method: str, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        if method != "PUT":
            tries.KINDS[kind](bucket, 1)
        before = sandbox.counts()
        s3.rule = lambda request: REFUSE if request.method == method else None
        with pytest.raises(JournalError, match=r"(?s)journal.*PermissionError"):
            tries.KINDS[kind](bucket, 2 if method != "PUT" else 1)
        assert sandbox.counts() == before

    @pytest.mark.parametrize("kind", tries.KINDS)
    @pytest.mark.usefixtures("env")
    def test_bucket_that_is_not_there(self, kind: str, sandbox: RunningSandbox) -> None:
        with pytest.raises(JournalError, match=r"journal_path cannot be used .*no-such-bucket"):
            tries.KINDS[kind]("s3://s3_store@no-such-bucket", 1)
        assert sandbox.counts() == {}

    def test_that_is_slow(self, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        """Nothing is sent before the intent is there, however long that takes."""
        waits, go_on = threading.Event(), threading.Event()

        def hold(request: Request) -> None:
            if request.method == "PUT" and request.name.endswith("try.1.intent"):
                waits.set()
                assert go_on.wait(60)

        s3.rule = hold
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(tries.attempt, "single", bucket, 1)
            assert waits.wait(60)
            assert sandbox.counts() == {}
            go_on.set()
            assert first.result().startswith("done")
        assert sandbox.counts() == {"123": 1}

    def test_that_stores_half_a_record(self, bucket: str, sandbox: RunningSandbox) -> None:
        from airflow_provider_passnotify.delivery.storage import storage_path

        tries.send(bucket, 1)
        (outcome,) = (path for path in storage_path(bucket).rglob("*") if path.name == "try.1.outcome")
        outcome.write_text(outcome.read_text()[:20])
        with pytest.raises(DeliveryUnknownError):
            tries.send(bucket, 2)
        assert sandbox.counts() == {"123": 1}


class TestNetwork:
    """The connection to the store breaks."""

    @pytest.fixture
    def bucket(self, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """Let nothing try again by itself: each break counts."""
        monkeypatch.setenv("AIRFLOW_CONN_S3_IMPATIENT", s3.connection(**IMPATIENT))
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
        return bucket.replace("s3_store@", "s3_impatient@")

    @pytest.mark.parametrize(
        ("kind", "record", "next_try", "next_try_if_stored", "delivered"),
        [
            ("single", "try.1.start", "SendRefusedError", "done", 0),
            ("single", "try.1.intent", "done", "DeliveryUnknownError", 0),
            ("single", "try.1.outcome", "DeliveryUnknownError", "done", 1),
            ("batch", "try.1.begin", "'sent': 3", "'sent': 3", 0),
            ("batch", "try.1.chunk.0.intent", "'sent': 3", "'sent': 3", 0),  # it has written that it did not send
            ("batch", "try.1.chunk.0.outcome", "'unknown': 3", "'sent': 3", 3),
        ],
    )
    @pytest.mark.parametrize("is_stored", [False, True])
    def test_in_the_middle_of_a_write(
        self,
        bucket: str,
        s3: S3,
        sandbox: RunningSandbox,
        kind: str,
        record: str,
        next_try: str,
        next_try_if_stored: str,
        delivered: int,
        is_stored: bool,
    ) -> None:
        s3.rule = at("PUT", record, CUT_ANSWER if is_stored else CUT)
        tries.attempt(kind, bucket, 1)
        assert sum(sandbox.counts().values()) == delivered
        s3.rule = lambda _: None
        said = tries.attempt(kind, bucket, 2)
        assert (next_try_if_stored if is_stored else next_try) in said
        assert set(sandbox.counts().values()) <= {1}

    def test_once_is_tried_again_by_the_store_itself(self, bucket: str, s3: S3, sandbox: RunningSandbox) -> None:
        """With the store's own settings one break is not even noticed."""
        broken: list[Request] = []

        def once(request: Request) -> str | None:
            if request.method == "PUT" and request.name.endswith("try.1.intent") and not broken:
                broken.append(request)
                return CUT
            return None

        s3.rule = once
        assert tries.attempt("single", bucket.replace("s3_impatient@", "s3_store@"), 1).startswith("done")
        assert broken
        assert sandbox.counts() == {"123": 1}


def test_records_are_json_that_a_person_can_read(bucket: str) -> None:
    from airflow_provider_passnotify.delivery.storage import storage_path

    tries.send(bucket, 1)
    found = {path.name: json.loads(path.read_text()) for path in storage_path(bucket).rglob("*") if path.is_file()}
    assert set(found) == {"try.1.start", "try.1.intent", "try.1.outcome"}
