"""The notifier: what it refuses at parse time, what it sends, and that it never raises."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.exceptions import InvalidNotificationError, PassNotifyConfigError
from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier
from airflow_provider_passnotify.testing import Sandbox

PASS = {"target_type": "pass", "pass_id": 123, "value": "x"}


def context(**more: Any) -> dict[str, Any]:
    """Return the context of a callback, as far as the notifier reads it."""
    dag = DAG("nightly", schedule=None, render_template_as_native_obj=True)
    ti = SimpleNamespace(task_id="load", dag_id="nightly", run_id="r1", map_index=3)
    dag_run = SimpleNamespace(dag_id="nightly", run_id="r1")
    return {"dag": dag, "ti": ti, "dag_run": dag_run, **more}


def call(notifier: PassNotifyNotifier, given: dict[str, Any]) -> None:
    notifier(given)


def wait(notifier: PassNotifyNotifier, given: dict[str, Any]) -> None:
    notifier.context = given

    async def run() -> None:
        await notifier

    asyncio.run(run())


@pytest.fixture(params=[call, wait], ids=["sync", "async"])
def ring(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[..., None]:
    """Calls a notifier in each of the two ways."""
    caplog.set_level(logging.INFO)

    def run(notifier: PassNotifyNotifier, given: dict[str, Any] | None = None) -> None:
        request.param(notifier, context() if given is None else given)

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pass_id": None}, "pass_id missing"),
        ({"pass_id": ""}, "pass_id is empty"),
        ({"pass_id": True}, "pass_id must be a string or an int"),
        ({"tag": "t"}, "does not take tag"),
        ({"target_type": "passs"}, "target_type"),
        ({"target_type": "{{ x }}", "pass_id": ".."}, "pass_id"),
        ({"target_type": "segment", "pass_id": None, "project_id": 1, "segment_id": 2}, "template_id is missing"),
        ({"value": ""}, "value is empty"),
        ({"value": None}, "value is missing"),
        ({"value": 5}, "value must be a string"),
        ({"label": 5}, "label must be a string"),
        ({"passnotify_conn_id": ""}, "passnotify_conn_id"),
        ({"at_most_every": timedelta(hours=1)}, "needs a dedupe_key"),
        ({"at_most_every": timedelta(hours=1), "dedupe_key": " "}, "needs a dedupe_key"),
        ({"at_most_every": timedelta(hours=1), "dedupe_key": "k"}, "needs journal_path"),
        ({"at_most_every": timedelta(0), "dedupe_key": "k", "journal_path": "/x"}, "at_most_every must be seconds"),
        ({"at_most_every": "1h", "dedupe_key": "k", "journal_path": "/x"}, "at_most_every must be seconds"),
        ({"at_most_every": 60, "dedupe_key": "k", "journal_path": "x"}, "journal_path must be an absolute path"),
        ({"at_most_every": 60, "dedupe_key": "k", "journal_path": ""}, "journal_path must be an absolute path"),
        ({"at_most_every": 60, "dedupe_key": "k", "journal_path": 5}, "journal_path must be an absolute path"),
        ({"dedupe_key": "k"}, "at_most_every, which is missing"),
        ({"journal_path": "/x"}, "at_most_every, which is missing"),
    ],
)
def test_what_is_refused_at_parse_time(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNotificationError, match=message):
        PassNotifyNotifier(**{**PASS, **arguments})


def test_another_tasks_output_is_refused() -> None:
    output = SimpleNamespace(iter_references=lambda: ())
    with pytest.raises(InvalidNotificationError, match="pass_id cannot be another task's output"):
        PassNotifyNotifier(**{**PASS, "pass_id": output})


def test_the_configurations_journal_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__PASSNOTIFY__JOURNAL_PATH", str(tmp_path))
    PassNotifyNotifier(**PASS, at_most_every=60, dedupe_key="k")
    monkeypatch.setenv("AIRFLOW__PASSNOTIFY__JOURNAL_PATH", "relative")
    with pytest.raises(PassNotifyConfigError, match=r"\[passnotify\].*absolute path"):
        PassNotifyNotifier(**PASS, at_most_every=60, dedupe_key="k")


def test_a_folder_that_is_relative_holds_the_alert_back(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process has a working directory of its own, so they would all ring."""
    ring(limited(Path("{{ 'here' }}")))
    assert "journal_path must be an absolute path" in caplog.text
    assert passnotify_sandbox.requests() == []


def test_the_ways_in_which_airflow_makes_and_calls_it() -> None:
    """Airflow looks at the signatures: the context goes to the constructor, and to the call as one argument."""
    assert "context" in inspect.signature(PassNotifyNotifier).parameters
    kinds = {parameter.kind for parameter in inspect.signature(PassNotifyNotifier(**PASS)).parameters.values()}
    assert kinds == {inspect.Parameter.VAR_POSITIONAL}
    assert hasattr(PassNotifyNotifier, "__await__")


def test_it_sends(ring: Callable[..., None], passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    ring(PassNotifyNotifier(**{**PASS, "value": "{{ ti.task_id }} failed", "label": "{{ dag.dag_id }}"}))
    (delivery,) = passnotify_sandbox.deliveries(123)
    assert (delivery.value, delivery.label) == ("load failed", "nightly")
    assert f"Alert to pass 123: sent, ticketId {delivery.ticket_id}, " in caplog.text


def test_templates_come_to_text(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    """In a DAG with native types, the text "007" would become the number 7."""
    passnotify_sandbox.add_pass(7, template_id="007", external_id="1_2_3")
    notifier = PassNotifyNotifier(
        target_type="{{ 'external_pass' }}",
        template_id="{{ '007' }}",
        pass_external_id="1_2_3",
        value="{{ [1, 2] }}",
        label="{{ 5 }}",
    )
    ring(notifier)
    (delivery,) = passnotify_sandbox.deliveries(7)
    assert (delivery.value, delivery.label) == ("[1, 2]", "5")


def test_one_notifier_serves_many_callbacks(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    """With ``default_args``, all tasks share one notifier. The next task must not send the message of this one."""
    notifier = PassNotifyNotifier(**{**PASS, "value": "{{ ti.task_id }} failed"})
    for task_id in ("first", "second"):
        given = context(ti=SimpleNamespace(task_id=task_id))
        ring(notifier, given)
        assert set(given) == set(context())
    assert [delivery.value for delivery in passnotify_sandbox.deliveries()] == ["first failed", "second failed"]
    assert notifier.value == "{{ ti.task_id }} failed"


def test_what_the_triggerer_knows(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    given = {"dag_run": {"dag_id": "nightly", "dag_run_id": "r1"}, "deadline": {"deadline_time": "04:00"}}
    ring(
        PassNotifyNotifier(**{**PASS, "value": "{{ dag_run.dag_id }} is late: {{ deadline.deadline_time }}"}),
        given,
    )
    assert [delivery.value for delivery in passnotify_sandbox.deliveries()] == ["nightly is late: 04:00"]


def test_an_empty_label_is_none(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    ring(PassNotifyNotifier(**{**PASS, "label": "{{ '' }}"}))
    assert [delivery.label for delivery in passnotify_sandbox.deliveries()] == [None]


def test_a_function_gives_the_value(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    def text(context: Any, jinja_env: Any) -> str:  # noqa: ARG001
        return f"{context['ti'].task_id} {{{{ not rendered }}}}"

    arguments: dict[str, Any] = {"value": text, "pass_id": lambda context, jinja_env: 124}  # noqa: ARG005
    arguments["label"] = lambda context, jinja_env: None  # noqa: ARG005
    ring(PassNotifyNotifier(**{**PASS, **arguments}))
    (delivery,) = passnotify_sandbox.deliveries()
    assert (delivery.pass_id, delivery.value, delivery.label) == (124, "load {{ not rendered }}", None)


def test_a_dag_that_cannot_render(ring: Callable[..., None], passnotify_sandbox: Sandbox) -> None:
    """The object that Airflow 3 gives to a DAG's callback in ``dag.test()``."""
    ring(PassNotifyNotifier(**{**PASS, "value": "{{ dag.dag_id }}"}), context(dag=SimpleNamespace(dag_id="stored")))
    assert [delivery.value for delivery in passnotify_sandbox.deliveries()] == ["stored"]


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ({"value": "{{ ti.task_id }} failed"}, {"dag_run": {}}, "value cannot be rendered: 'ti' is undefined"),
        ({"value": "{{ ti.task_id }} failed"}, {"dag_run": {}}, r"(What this callback knows: dag_run.)"),
        ({"value": "{{ nothing }}"}, None, "value cannot be rendered: 'nothing' is undefined"),
        ({"value": "{{ ti"}, None, "value cannot be rendered"),
        ({"value": "{{ '' }}"}, None, "value came to ''"),
        ({"value": lambda context, jinja_env: None}, None, "value came to ''"),  # noqa: ARG005
        ({"pass_id": lambda context, jinja_env: 123.0}, None, "pass_id is '123.0', a number as a float"),  # noqa: ARG005
        ({"value": lambda: "x"}, None, "unexpected keyword argument"),
        ({"pass_id": "{{ none }}"}, None, "pass_id came to 'None'"),
        ({"label": "{{ none }}"}, None, "label came to 'None'"),
        ({"pass_id": "{{ '..' }}"}, None, "pass_id is '..'"),
        ({"target_type": "{{ 'tag' }}"}, None, "does not take pass_id"),
        ({"value": "{{ 1 / 0 }}"}, None, "division by zero"),
        ({"passnotify_conn_id": "nowhere"}, None, "nowhere"),
    ],
)
def test_what_cannot_be_sent_is_logged_and_nothing_raised(
    ring: Callable[..., None],
    passnotify_sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    given: dict[str, Any] | None,
    message: str,
) -> None:
    ring(PassNotifyNotifier(**{**PASS, **arguments}), given)
    assert message in caplog.text
    assert "not sent." in caplog.text  # not only "as far as is known": no request was made
    assert passnotify_sandbox.requests() == []


def test_a_missing_connection_is_told_without_a_traceback(
    ring: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    ring(PassNotifyNotifier(**{**PASS, "passnotify_conn_id": "nowhere"}))
    (record,) = (record for record in caplog.records if "not sent." in record.getMessage())
    assert not record.exc_info


def test_a_rejection_is_logged(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    ring(PassNotifyNotifier(**{**PASS, "pass_id": 999}))
    assert "Alert to pass 999: not sent." in caplog.text
    assert len(passnotify_sandbox.requests()) == 1


def test_an_unknown_is_logged_and_not_sent_again(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    passnotify_sandbox.fail("close_after", times=None)
    ring(PassNotifyNotifier(**PASS))
    assert "Alert to pass 123: unknown, it may have been sent." in caplog.text
    assert "not sent" not in caplog.text
    assert len(passnotify_sandbox.deliveries()) == 1


def test_a_cancelled_one_is_named(passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    passnotify_sandbox.fail("hold", stage="accepted")

    async def run() -> None:
        task = asyncio.ensure_future(PassNotifyNotifier(**PASS).async_notify(context()))
        await asyncio.to_thread(passnotify_sandbox._running.wait_for, held=1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert "unknown, it may have been sent" in caplog.text


def test_the_second_airflows_missed_sla(passnotify_sandbox: Sandbox) -> None:
    PassNotifyNotifier(**{**PASS, "value": "{{ dag.dag_id }} is late"})(context()["dag"], [], [], [], [])
    assert [delivery.value for delivery in passnotify_sandbox.deliveries()] == ["nightly is late"]


def limited(path: Path, **more: Any) -> PassNotifyNotifier:
    every = timedelta(days=365)
    return PassNotifyNotifier(
        **{**PASS, **more}, at_most_every=every, dedupe_key="{{ dag.dag_id }}", journal_path=str(path)
    )


def test_at_most_every(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        ring(limited(tmp_path))
    ring(limited(tmp_path, pass_id=124))
    ring(limited(tmp_path), context(dag=DAG("other", schedule=None)))
    assert [delivery.pass_id for delivery in passnotify_sandbox.deliveries()] == [123, 124, 123]
    assert caplog.text.count("Alert to pass 123: not sent, because one was sent at ") == 2
    assert "(at most one every 365 days" in caplog.text
    found = [json.loads(file.read_text()) for file in tmp_path.rglob("*.json")]
    assert {one["task_id"] for one in found if "at" in one} == {"load"}


def test_a_storm_rings_once(passnotify_sandbox: Sandbox, tmp_path: Path) -> None:
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(lambda _: limited(tmp_path)(context()), range(1000)))
    assert len(passnotify_sandbox.deliveries()) == 1
    assert len(passnotify_sandbox.requests()) == 1


@pytest.mark.parametrize(("how", "sent"), [(404, [124]), ("close_after", [123])])
def test_only_what_may_have_been_sent_counts(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, tmp_path: Path, how: int | str, sent: list[int]
) -> None:
    passnotify_sandbox.add_pass(124)
    passnotify_sandbox.fail(how)
    for _ in range(3):
        ring(limited(tmp_path))
    assert len(passnotify_sandbox.deliveries()) == 1
    assert len(passnotify_sandbox.requests()) == (2 if how == 404 else 1), sent


def test_an_alert_with_a_wrong_connection_holds_back_no_other(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, tmp_path: Path
) -> None:
    ring(limited(tmp_path, passnotify_conn_id="no_such_connection"))
    ring(limited(tmp_path))
    assert len(passnotify_sandbox.deliveries()) == 1


def test_a_memory_that_cannot_be_used_holds_the_alert_back(
    ring: Callable[..., None], passnotify_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    ring(limited(Path("/proc/nowhere")))
    assert "not sent" in caplog.text
    assert "journal_path '/proc/nowhere' cannot be used" in caplog.text
    assert passnotify_sandbox.requests() == []
