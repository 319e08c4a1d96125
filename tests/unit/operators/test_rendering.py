"""Template fields: text stays text, constants do not change, and an argument that renders to nothing is refused."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from inspect import Parameter, signature, unwrap
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.passnotify import (
    DeleteNotificationBatchOperator,
    DeleteNotificationOperator,
    SendNotificationBatchOperator,
    SendNotificationOperator,
)
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor
from airflow_provider_passnotify.transfers.sql_to_passnotify import SqlToPassNotifyOperator

SEND = {"task_id": "t", "target_type": "pass", "pass_id": 123, "value": "x"}
BATCH = {"task_id": "t", "target_type": "pass", "value": "x", "notifications": [{"pass_id": 1}]}


@pytest.fixture(params=[False, True], ids=["plain", "native"])
def dag(request: pytest.FixtureRequest) -> Iterator[DAG]:
    with DAG("d", schedule=None, render_template_as_native_obj=request.param) as dag:
        yield dag


def rendered(operator: Any, dag: DAG, **context: Any) -> Any:
    operator.render_template_fields({"dag": dag, "ti": None, **context})
    return operator


@pytest.mark.parametrize("text", ["1_2_3", "1234", "0x10", "[1, 2]", "True", "1e3", " 7", "007", "'a'"])
def test_text_stays_text(dag: DAG, text: str) -> None:
    send = SendNotificationOperator(
        task_id="t",
        target_type="{{ kind }}",
        pass_id="{{ it }}",
        value="{{ it }}",
        notification_label="{{ it }}",
        passnotify_conn_id="{{ it }}",
        send_before="{{ it }}",
    )
    rendered(send, dag, it=text, kind="pass")
    names = ("pass_id", "value", "notification_label", "passnotify_conn_id", "send_before")
    assert [getattr(send, name) for name in names] == [text] * 5
    batch = SendNotificationBatchOperator(
        task_id="b", notifications="{{ it }}.csv", dedupe_key="{{ it }}", report_path="{{ it }}"
    )
    rendered(batch, dag, it=text)
    assert (batch.dedupe_key, batch.report_path) == (text, text)
    sql = SqlToPassNotifyOperator(task_id="s", sql="{{ it }}", sql_conn_id="{{ it }}")
    rendered(sql, dag, it=text)
    assert (sql.sql, sql.sql_conn_id) == (text, text)


@pytest.mark.parametrize("text", ["1_2_3", "two lines\n\n", "50 % off {now}", "a\r\nb", "} } {", "'x'"])
def test_a_constant_is_left_as_it_is(dag: DAG, text: str) -> None:
    send = rendered(SendNotificationOperator(task_id="t", target_type="pass", pass_id=1, value=text), dag)
    assert send.value == text


def test_what_follows_the_dag(dag: DAG) -> None:
    batch = SendNotificationBatchOperator(task_id="b", target_type="pass", value="x", notifications="{{ rows }}")
    rendered(batch, dag, rows=[{"pass_id": 1}])
    assert batch.notifications == ([{"pass_id": 1}] if dag.render_template_as_native_obj else "[{'pass_id': 1}]")


def test_a_function_gives_the_value_on_every_airflow(dag: DAG) -> None:
    def text(context: Any, jinja_env: Any) -> str:  # noqa: ARG001
        return f"{context['it']} {{{{ not rendered }}}}"

    arguments: dict[str, Any] = {**SEND, "value": text, "pass_id": lambda context, jinja_env: 7}  # noqa: ARG005
    send = rendered(SendNotificationOperator(**arguments), dag, it=5)
    assert (send.value, send.pass_id) == ("5 {{ not rendered }}", 7)
    rows = [{"pass_id": 1}]
    arguments = {**BATCH, "task_id": "b", "notifications": lambda context, jinja_env: rows}  # noqa: ARG005
    batch = SendNotificationBatchOperator(**arguments)
    assert rendered(batch, dag).notifications == rows
    sensor = NotificationTicketSensor(task_id="s", ticket_id=lambda context, jinja_env: 5)  # type: ignore[arg-type]  # noqa: ARG005
    assert rendered(sensor, dag).ticket_id == 5


def test_what_expand_takes_from_upstream_is_not_rendered(dag: DAG) -> None:
    upstream = "{{ it }}"
    send = SendNotificationOperator(**{**SEND, "value": upstream, "notification_label": "{{ it }}!"})
    env = send.get_template_env()
    context: Any = {"dag": dag, "it": "rendered"}
    send._do_render_template_fields(send, send.template_fields, context, env, {id(upstream)})
    assert (send.value, send.notification_label) == ("{{ it }}", "rendered!")


@pytest.mark.parametrize("by_template", [False, True], ids=["function", "template"])
@pytest.mark.parametrize("came_to", [None, "", "  ", "None"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda it: SendNotificationOperator(**{**SEND, "send_before": it}), "send_before"),
        (lambda it: SendNotificationOperator(**{**SEND, "value": it}), "value"),
        (lambda it: SendNotificationOperator(**{**SEND, "passnotify_conn_id": it}), "passnotify_conn_id"),
        (lambda it: DeleteNotificationOperator(task_id="t", target_type="pass", pass_id=it), "pass_id"),
        (
            lambda it: DeleteNotificationOperator(
                task_id="t", target_type="segment", project_id=1, segment_id=2, template_id=it
            ),
            "template_id",
        ),
        (lambda it: SendNotificationBatchOperator(**{**BATCH, "report_path": it}), "report_path"),
        (lambda it: SendNotificationBatchOperator(**{**BATCH, "value": it}), "value"),
        (lambda it: SendNotificationBatchOperator(**{**BATCH, "dedupe_key": it}), "dedupe_key"),
        (lambda it: SendNotificationBatchOperator(**{**BATCH, "template_id": it}), "template_id"),
        (lambda it: SendNotificationBatchOperator(**{**BATCH, "send_before": it}), "send_before"),
        (lambda it: DeleteNotificationBatchOperator(task_id="t", notifications=[], template_id=it), "template_id"),
        (lambda it: NotificationTicketSensor(task_id="t", ticket_id=it), "ticket_id"),
    ],
)
def test_what_is_given_and_comes_to_nothing_is_refused(
    dag: DAG, make: Any, name: str, came_to: str | None, by_template: bool
) -> None:
    it = "{{ it }}" if by_template else lambda context, jinja_env: came_to  # noqa: ARG005
    operator = rendered(make(it), dag, it=came_to)
    with pytest.raises(InvalidNotificationError, match=f"Task 't': {name} came to nothing"):
        operator.pre_execute({}) if name == "ticket_id" else operator.execute({})


def test_a_none_that_expand_gave_is_refused(dag: DAG) -> None:
    for operator, name in (
        (SendNotificationOperator(**SEND, send_before=None), "send_before"),
        (SendNotificationBatchOperator(**{**BATCH, "task_id": "b"}, max_notifications=None), "max_notifications"),
    ):
        env = operator.get_template_env()
        operator._do_render_template_fields(operator, operator.template_fields, {"dag": dag}, env, {id(None)})
        with pytest.raises(InvalidNotificationError, match=f"{name} came to nothing"):
            operator.execute({})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("came_to", [None, "", " "])
def test_a_label_may_come_to_nothing(dag: DAG, came_to: str | None) -> None:
    arguments: dict[str, Any] = {**SEND, "notification_label": lambda context, jinja_env: came_to}  # noqa: ARG005
    send = rendered(SendNotificationOperator(**arguments), dag)
    send._check()
    assert send._request().body == b'{"value": "x"}'


def test_a_label_that_is_the_text_none_is_refused(dag: DAG) -> None:
    send = rendered(SendNotificationOperator(**{**SEND, "notification_label": "{{ it }}"}), dag, it=None)
    with pytest.raises(InvalidNotificationError, match="notification_label is the text 'None'"):
        send._check()


@pytest.mark.parametrize("unstable", [iter("ab"), frozenset("ab"), {"a": iter("ab")}, [frozenset("ab")]])
@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (SendNotificationOperator, "success_statuses"),
        (DeleteNotificationOperator, "failure_statuses"),
        (SendNotificationBatchOperator, "notifications"),
        (DeleteNotificationBatchOperator, "notifications"),
        (SqlToPassNotifyOperator, "parameters"),
        (NotificationTicketSensor, "success_statuses"),
    ],
)
def test_partial_refuses_what_looks_different_at_each_parse(cls: Any, name: str, unstable: Any) -> None:
    with pytest.raises(InvalidNotificationError, match=f"Task 't': {name} holds a .*new version of the DAG"):
        cls.partial(task_id="t", **{name: unstable})


def test_airflow_can_copy_an_operator(dag: DAG) -> None:
    send = rendered(SendNotificationOperator(**SEND), dag)
    sensor = rendered(NotificationTicketSensor(task_id="s", ticket_id=1), dag)
    assert [deepcopy(task).task_id for task in (send, sensor)] == ["t", "s"]


def test_partial_refuses_label() -> None:
    with pytest.raises(InvalidNotificationError, match="write notification_label"):
        SendNotificationOperator.partial(task_id="t", label="x")


def test_sets_and_generators_become_lists_in_one_order() -> None:
    words = {"B", "C", "A"}
    for given in (words, frozenset(words), (word for word in "ABC")):
        sensor = NotificationTicketSensor(task_id="s", ticket_id=(n for n in [1, 2]), success_statuses=given)
        assert (sensor.ticket_id, sensor.success_statuses) == ([1, 2], ["A", "B", "C"])
    batch = SendNotificationBatchOperator(**{**BATCH, "notifications": (row for row in [{"pass_id": 1}])})
    assert "generator" not in repr(batch.notifications)
    sql = SqlToPassNotifyOperator(task_id="s", sql="select 1", sql_conn_id="c", parameters=(n for n in [1]))  # type: ignore[arg-type]
    assert sql.parameters == [1]


def own_arguments(cls: type) -> set[str]:
    """Return the arguments that our classes add to those of Airflow."""
    return {
        name
        for base in cls.__mro__
        if base.__module__.startswith("airflow_provider_passnotify") and "__init__" in vars(base)
        for name, parameter in signature(unwrap(vars(base)["__init__"])).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (SendNotificationOperator, SEND),
        (DeleteNotificationOperator, {"task_id": "t", "target_type": "pass", "pass_id": 1}),
        (SendNotificationBatchOperator, BATCH),
        (DeleteNotificationBatchOperator, {"task_id": "t", "notifications": [{"pass_id": 1}]}),
        (SqlToPassNotifyOperator, {"task_id": "t", "sql": "SELECT 1", "sql_conn_id": "c"}),
        (NotificationTicketSensor, {"task_id": "t", "ticket_id": 1}),
    ],
)
def test_what_is_not_rendered_refuses_xcoms_and_templates(cls: Any, arguments: dict[str, Any]) -> None:
    xcom = SendNotificationOperator(**{**SEND, "task_id": "upstream"}, dag=DAG("d", schedule=None)).output
    for name in own_arguments(cls) - set(cls.template_fields):
        for value in (xcom, "{{ params.x }}", [xcom], {"x": xcom}):
            with pytest.raises(InvalidNotificationError, match=f"Task 't': {name} must be "):
                cls(**{**arguments, name: value})


@pytest.mark.parametrize("cls", [SendNotificationOperator, SendNotificationBatchOperator, SqlToPassNotifyOperator])
def test_what_every_send_has_is_rendered(cls: Any) -> None:
    assert {"journal_path", "send_before", "value", "notification_label", "passnotify_conn_id"} <= {
        *cls.template_fields
    }
    assert len(set(cls.template_fields)) == len(cls.template_fields)
