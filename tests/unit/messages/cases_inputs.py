"""What is refused of arguments, connections and rows. Most of it is seen when the DAG file is parsed."""

from __future__ import annotations

import io
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow_provider_passnotify import arguments, targets
from airflow_provider_passnotify.api import config, protocol, tickets
from airflow_provider_passnotify.delivery.journal import check_choices
from airflow_provider_passnotify.notifications.passnotify import PassNotifyNotifier
from airflow_provider_passnotify.operators.passnotify import (
    DeleteNotificationBatchOperator,
    SendNotificationBatchOperator,
    SendNotificationOperator,
)
from airflow_provider_passnotify.rows import files, texts
from airflow_provider_passnotify.rows.reader import RowReader
from airflow_provider_passnotify.rows.source import read_list
from tests.unit.messages.stage import Stage, case

PASS: dict[str, Any] = {"target_type": "pass", "pass_id": 123}


@case
def arguments_of_a_send(stage: Stage) -> None:
    given = {"task_id": "send", **PASS, "value": "Hello"}
    for wrong in (
        {"target_type": "passs"},
        {"tag": "vip"},
        {"pass_id": None},
        {"pass_id": 1.0},
        {"pass_id": "1.0"},
        {"pass_id": " "},
        {"pass_id": "../1"},
        {"pass_id": "None"},
        {"pass_id": "a\nb"},
        {"value": None},
        {"value": 5},
        {"value": " "},
        {"value": "None"},
        {"notification_label": 5},
        {"notification_label": "None"},
        {"label": "Gate"},
        {"delivery": "twice"},
        {"on_clear": "again"},
        {"send_before": "tomorrow"},
        {"passnotify_conn_id": ""},
        {"wait_for_completion": "false"},
        {"poll_interval": 0},
        {"timeout": timedelta(days=9999)},
        {"success_statuses": "DONE"},
        {"success_statuses": ["x"], "failure_statuses": ["X"]},
        {"journal_path": "journal"},
    ):
        stage.refuses(f"{wrong}"[:60], partial(SendNotificationOperator, **{**given, **wrong}))
    segment = {"task_id": "send", "target_type": "segment", "project_id": 1, "segment_id": 2, "value": "Hello"}
    stage.refuses("segment without template_id", lambda: SendNotificationOperator(**segment))
    mapped = SendNotificationOperator.partial
    stage.refuses("partial with a generator", lambda: mapped(task_id="send", success_statuses=iter("a")))
    stage.refuses("target", lambda: targets.as_target("pass 5"))  # type: ignore[arg-type]
    stage.refuses("words", lambda: check_choices("twice", "resend"))
    operator = SendNotificationOperator(**given)
    operator._came_to_nothing = {"value": ""}
    stage.refuses("a template that came to nothing", operator.check_given)
    stage.refuses("seconds", lambda: arguments.seconds_of("timeout", -1))
    stage.refuses("label of a notifier", lambda: PassNotifyNotifier(**PASS, value="x", label=5))  # type: ignore[arg-type]
    stage.refuses("label of the hook", lambda: protocol.check_message("x", "None"))


@case
def arguments_of_a_batch(stage: Stage) -> None:
    given: dict[str, Any] = {"task_id": "batch", "target_type": "pass", "value": "Hello", "notifications": []}
    for wrong in (
        {"notifications": 5},
        {"notifications": "[1]"},
        {"notifications": "rows.txt"},
        {"notifications": "rows/"},
        {"notifications": "*.csv"},
        {"null_values": "NULL"},
        {"max_failures": 2.5},
        {"max_notifications": -1},
        {"report_path": 5},
        {"pass_id": [1]},
        {"value": 5},
        {"value": "{points"},
        {"value": "{points:.2f}"},
        {"notifications": [{"pass_id": "{{ ds }}"}]},
    ):
        stage.refuses(f"{wrong}"[:60], partial(SendNotificationBatchOperator, **{**given, **wrong}))
    for rows in (None, SimpleNamespace(to_dict=dict)):
        operator = SendNotificationBatchOperator(**given)
        operator.notifications = rows
        stage.refuses(f"notifications that come to {rows}"[:40], partial(operator._rows, {}))
    literal = [{"target_type": "pass", "pass_id": "{{ ds }}"}]
    stage.refuses("delete", lambda: DeleteNotificationBatchOperator(task_id="batch", notifications=literal))


@case
def connections(stage: Stage) -> None:
    given: dict[str, Any] = {
        "conn_type": "passnotify",
        "host": "wallet-api.example.com",
        "login": "me",
        "password": "x",
    }
    for wrong in (
        {"conn_type": "http"},
        {"host": ""},
        {"host": "my host"},
        {"host": "me:hunter22@example.com"},
        {"host": "[::1"},
        {"host": "ftp://example.com"},
        {"host": "https://example.com/other/path"},
        {"host": "exa$mple.com"},
        {"host": "https://example.com:99999"},
        {"schema": "ftp"},
        {"schema": "http"},
        {"host": "https://example.com", "schema": "http"},
        {"port": 99999},
        {"host": "example.com:8443", "port": 443},
        {"password": ""},
        {"login": "me:you"},
        {"login": "", "password": "no key!"},
        {"extra": "{"},
        {"extra": "[]"},
        {"extra": '{"time_out": 5}'},
        {"extra": '{"colour": 5}'},
        {"extra": '{"timeout": "soon"}'},
        {"extra": '{"max_retries": -1}'},
        {"extra": '{"requests_per_second": 0}'},
        {"extra": '{"api_revision": "x"}'},
        {"extra": '{"verify": "/no/such/file"}'},
        {"extra": '{"proxies": "socks5://me:hunter22@example.com"}'},
        {"extra": '{"allow_http": "perhaps"}'},
    ):
        stage.refuses(f"{wrong}".replace("hunter22", "..."), partial(config.read_config, **{**given, **wrong}))
    stage.patch.setenv("HTTPS_PROXY", "socks5://me:hunter22@example.com")
    stage.refuses("HTTPS_PROXY", lambda: config.read_config(**given))
    stage.patch.delenv("HTTPS_PROXY")
    stage.patch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    stage.refuses("REQUESTS_CA_BUNDLE", lambda: config.read_config(**given))


@case
def rows_that_are_not_sent(stage: Stage) -> None:
    """As the report names them."""
    lines = (
        b'{"pass_id": 1, "pass_id": 2}', b"[1]", b"\xff", b'{"pass_id": 1} {"pass_id": 2}', b'{"pass_id": 1, x}'
    )  # fmt: skip
    content = b'{"pass_id": 0}\n' + b"\n".join(lines) + b"\n"
    read = files.read_file("rows.jsonl", lambda: io.BytesIO(content))
    table = b"pass_id,value\n1\n1,2,3\n\xff,2\n"
    found = [*read, *files.read_file("rows.csv", lambda: io.BytesIO(table)), *read_list([5])]
    for number, row in enumerate(found):
        if not isinstance(row, dict):
            stage.refusals.append((f"row {number}", ValueError(getattr(row, "reason", "?"))))
    defaults = {"target_type": "pass", "value": "You have {points} points"}
    reader = RowReader(defaults, null_values=())
    for given in (
        {"points": 5},
        {"pass_id": 1},
        {"pass_id": "NULL", "points": 5},
        {"pass_id": 1, "points": 5, "label": "None"},
        {"pass_id": " 1", "points": 5},
        {"pass_id": b"1", "points": 5},
        {"pass_id": True, "points": 5},
        {"pass_id": 1, "points": [5]},
        {1: 5},
        {"pass_id": 1, "PASS_ID": 2},
    ):
        stage.refuses(f"{given}", partial(reader.read, given))
    named = RowReader({**defaults, "pass_id": 7})
    stage.refuses("pasId", lambda: named.read({"pasId": 1, "points": 5}))
    fixed = RowReader({"target_type": "pass", "pass_id": 7, "value": "Hello"})
    whole = RowReader({"target_type": "template", "template_id": 7, "value": "Hello"})
    stage.refuses("pass", lambda: whole.read({"pass": 1, "label": "News"}))
    stage.refuses("colour", lambda: fixed.read({"colour": "red"}))
    stage.refuses("bytes", lambda: texts.as_text("points", b"1"))


@case
def rows_with_a_warning(stage: Stage) -> str:
    """What a batch warns of, once for all rows."""
    reader = RowReader({"target_type": "pass", "value": "You have {points} points"}, null_values=())
    reader.read({"pass_id": 1, "points": "NULL", "lable": "x", "colour": "red"})
    reader.read({"pass_id": 1, "points": 1 / 3, "label": "for {name}"})
    assert stage.refusals == []
    return "\n".join(reader.warnings)


@case
def tickets_in_answers(stage: Stage) -> None:
    for payload in ([], {"x": 1}, {"status": "x", "id": 8}, {"status": "failed"}):
        stage.refuses(f"{payload}", partial(tickets.read_ticket, 7, payload))
    stage.refuses("nothing", lambda: tickets.clean_ticket_id(None))
