"""The operators: what they refuse while a DAG is parsed and when a task starts, and that mapping works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_passnotify.exceptions import InvalidNotificationError
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator, SendNotificationOperator
from tests.servers import Server, serving
from tests.stores import Store, context_of

pytestmark = pytest.mark.usefixtures("no_proxy")

Connect = Callable[..., str]
BOTH = [SendNotificationOperator, DeleteNotificationOperator]


def make(cls: type, **arguments: Any) -> Any:
    defaults = {"value": "20% off"} if cls is SendNotificationOperator else {}
    return cls(**{"task_id": "the_task", **defaults, **arguments})


def render(task: Any, **context: Any) -> Any:
    """Render its templates as Airflow does before it runs it."""
    task.render_template_fields(context)
    return task


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"target_type": "pass"}, "pass_id missing"),
        ({"target_type": "pass", "pass_id": None}, "pass_id missing"),
        ({"target_type": "pass", "pass_id": ""}, "pass_id is empty"),
        ({"target_type": "pass", "pass_id": ".."}, "pass_id is '..'"),
        ({"target_type": "pass", "pass_id": True}, "pass_id must be a string or an int, not bool"),
        ({"target_type": "pass", "pass_id": "a\nb"}, "pass_id holds the control character"),
        ({"target_type": "pass", "pass_id": "1", "tag": "a"}, "does not take tag"),
        ({"target_type": "tag", "tag": "a"}, "template_id missing"),
        ({"target_type": "tag", "tag": "{{ ds }}"}, "template_id missing"),
        ({"target_type": "tag", "tag": "{{ ds }}", "template_id": "."}, "template_id is '.'"),
        ({"target_type": "{{ ds }}", "tag": ".."}, "tag is '..'"),
        ({"target_type": "passes", "pass_id": "1"}, "target_type is 'passes'; it must be one of: pass, "),
        ({"target_type": None, "pass_id": "1"}, "target_type is None"),
    ],
)
def test_refused_while_the_dag_is_parsed(cls: type, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidNotificationError, match=f"Task 'the_task': .*{why}"):
        make(cls, **arguments)


PASS = {"target_type": "pass", "pass_id": 123}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"value": ""}, "value is empty"),
        ({"value": None}, "value is missing"),
        ({"value": 5}, "value must be a string, not int"),
        ({"notification_label": 5}, "notification_label must be a string"),
        ({"label": "x"}, "write notification_label for the header"),
        ({"delivery": "twice"}, "delivery must be at_most_once or at_least_once, not 'twice'"),
        ({"delivery": []}, r"delivery must be at_most_once or at_least_once, not \[\]"),
        ({"on_clear": "x"}, "on_clear must be resend or resume, not 'x'"),
        ({"send_before": "soon"}, "send_before must be"),
    ],
)
def test_a_bad_send_is_refused_while_the_dag_is_parsed(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidNotificationError, match=f"Task 'the_task': .*{why}"):
        make(SendNotificationOperator, **PASS, **arguments)


def test_a_segment_needs_its_template_to_be_sent_to() -> None:
    segment = {"target_type": "segment", "project_id": 1, "segment_id": 2}
    make(DeleteNotificationOperator, **segment)
    with pytest.raises(InvalidNotificationError, match="template_id is missing"):
        make(SendNotificationOperator, **segment)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("name", ["pas_id", "vlaue"])
def test_a_misspelt_argument_is_named(cls: type, name: str) -> None:
    with pytest.raises(Exception, match=name):
        make(cls, **PASS, **{name: "x"})


@pytest.mark.parametrize(
    ("cls", "name"), [(SendNotificationOperator, "value"), *((cls, "target_type") for cls in BOTH)]
)
def test_a_missing_argument_is_named(cls: type, name: str) -> None:
    arguments = {"task_id": "the_task", "pass_id": 1, "target_type": "pass", "value": "x"}
    if cls is DeleteNotificationOperator:
        del arguments["value"]
    del arguments[name]
    with pytest.raises(Exception, match=name):
        cls(**arguments)


@pytest.mark.parametrize(
    ("rendered", "why"),
    [
        ("", "pass_id came to nothing"),
        ("None", "pass_id came to nothing"),
        ("..", "another path"),
        ("a\nb", "control character"),
    ],
)
@pytest.mark.parametrize("cls", BOTH)
def test_what_a_template_renders_to_is_checked_when_the_task_starts(
    cls: type, rendered: str, why: str, connection: Connect
) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        task = render(make(cls, target_type="pass", pass_id="{{ it }}"), it=rendered)
        with pytest.raises(InvalidNotificationError, match=why) as caught:
            task.execute(context_of(Store()))
    assert isinstance(caught.value, AirflowFailException)
    assert server.received == []


def test_every_argument_is_a_template(connection: Connect) -> None:
    names = {"target_type", "pass_id", "template_id", "pass_external_id", "project_id", "segment_id", "tag"}
    names |= {"template_external_id", "passnotify_conn_id"}
    assert names <= set(DeleteNotificationOperator.template_fields)
    assert names | {"value", "notification_label", "send_before"} <= set(SendNotificationOperator.template_fields)
    task = make(
        SendNotificationOperator,
        target_type="{{ kind }}",
        tag="{{ tag }}",
        template_id="{{ number }}",
        value="{{ text }}",
        notification_label="{{ text }}!",
        passnotify_conn_id="{{ conn }}",
        send_before="{{ later }}",
    )
    with serving() as server:
        connection("other", host=server.url, login="me", password="secret")
        later = str(pendulum.now("UTC").add(hours=1))
        render(task, kind="tag", tag="a b", number=5, text="hej", conn="other", later=later)
        assert task.execute(context_of(Store())) == 12345
    assert server.received[0].target == "/v1/tag/a%20b/notify?templateId=5"
    assert server.received[0].body == b'{"label": "hej!", "value": "hej"}'


def expand(server: Server, connection: Connect, mapped: Any, **values: Any) -> Any:
    """Run one task of a mapped operator as Airflow does: unmapped with its own arguments."""
    connection(host=server.url, login="me", password="secret")
    return mapped.unmap(values).execute(context_of(Store()))


def test_mapping(connection: Connect) -> None:
    with DAG("mapping", schedule=None), serving() as server:
        mapped = SendNotificationOperator.partial(task_id="send", target_type="pass", value="x").expand(pass_id=[1, 2])
        assert expand(server, connection, mapped, pass_id=2) == 12345
        assert server.received[0].target == "/v1/pass/2/notify"
        with pytest.raises(InvalidNotificationError, match="pass_id is empty"):
            expand(server, connection, mapped, pass_id="")
        assert len(server.received) == 1


def test_mapping_of_whole_targets(connection: Connect) -> None:
    targets = [{"target_type": "tag", "tag": "a", "template_id": 5}, {"target_type": "template", "template_id": "id/7"}]
    with DAG("mapping_kwargs", schedule=None), serving() as server:
        for cls in BOTH:
            value = {"value": "x"} if cls is SendNotificationOperator else {}
            mapped = cls.partial(task_id=cls.__name__, **value).expand_kwargs(targets)  # type: ignore[attr-defined]
            for target in targets:
                assert expand(server, connection, mapped, **target) == 12345
    assert [request.target for request in server.received[:2]] == [
        "/v1/tag/a/notify?templateId=5",
        "/v1/template/id/7/notify",
    ]


def test_an_output_is_known_later() -> None:
    with DAG("outputs", schedule=None):
        first = make(DeleteNotificationOperator, task_id="first", **PASS)
        second = make(SendNotificationOperator, target_type="pass", pass_id=first.output)
    assert first.task_id in second.upstream_task_ids


def test_operators_reuse_the_connection(connection: Connect) -> None:
    with serving() as server:
        connection(host=server.url, login="me", password="secret")
        task = make(DeleteNotificationOperator, **PASS)
        task.execute({})
        task.execute({})
    assert server.connections == 1
