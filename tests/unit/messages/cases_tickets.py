"""Tickets: waited for by an operator, by the sensor, or by the trigger."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_passnotify.hooks.passnotify import PassNotifyAsyncHook, PassNotifyHook
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator
from airflow_provider_passnotify.sensors.passnotify import NotificationTicketSensor
from airflow_provider_passnotify.triggers.passnotify import NotificationTicketTrigger
from tests.servers import NOTHING, TICKET, Answer, Received, Server, answer
from tests.unit.messages.stage import Stage, api_error, case, ticket

WAITS: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.1}


@case
def ticket_failed(stage: Stage) -> None:
    stage.send(TICKET, ticket("FAILED", children={"7": "no device"}), **WAITS)


@case
def ticket_failed_and_final(stage: Stage) -> None:
    stage.send(TICKET, ticket("FAILED"), context=stage.context(store=None), **WAITS)


@case
def ticket_failed_of_a_deletion(stage: Stage) -> None:
    with stage.answering(TICKET, ticket("FAILED")):
        DeleteNotificationOperator(task_id="delete", target_type="pass", pass_id=123, **WAITS).execute(stage.context())


@case
def ticket_late(stage: Stage) -> None:
    stage.send(TICKET, ticket("RUNNING"), timeout=0, **WAITS)


@case
def ticket_late_and_final(stage: Stage) -> None:
    stage.send(TICKET, ticket("RUNNING"), context=stage.context(store=None), timeout=0, **WAITS)


@case
def ticket_late_by_execution_timeout(stage: Stage) -> None:
    event = _event(stage, ticket("RUNNING"), by_execution_timeout=True, end=pendulum.now("UTC").isoformat())
    stage.operator(**WAITS).execute_complete(stage.context(), event, 12345)


@case
def ticket_and_the_task_is_told_to_stop(stage: Stage) -> None:
    operator = stage.operator(**{**WAITS, "poll_interval": 60})
    stage.patch.setattr("random.uniform", lambda low, high: high)  # noqa: ARG005 (so that it does sleep)
    stage.patch.setattr("time.sleep", lambda _: operator.on_kill())
    with stage.answering(TICKET, ticket("RUNNING")):
        operator.execute(stage.context())


@case
def ticket_cannot_be_looked_up(stage: Stage) -> None:
    stage.send(TICKET, api_error(404, "No such ticket."), **WAITS)


@case
def ticket_credentials_refused(stage: Stage) -> None:
    stage.send(TICKET, api_error(401, "Who are you?"), **WAITS)


@case
def ticket_no_answer_and_late(stage: Stage) -> None:
    stage.send(TICKET, NOTHING, timeout=0, **WAITS)


@case
def ticket_connection_is_gone(stage: Stage) -> None:
    async def refuse(_: Any) -> None:
        raise AirflowNotFoundException("The conn_id `nowhere` isn't defined")

    stage.patch.setattr(PassNotifyAsyncHook, "get_config", refuse)
    event = _event(stage, conn_id="nowhere", end=pendulum.now("UTC").add(hours=1).isoformat())
    stage.operator(**WAITS).execute_complete(stage.context(), event, 12345)


@case
def ticket_connection_is_wrong(stage: Stage) -> None:
    stage.connect("", "wrong")
    event = _event(stage, conn_id="wrong", end=pendulum.now("UTC").add(hours=1).isoformat())
    stage.operator(**WAITS).execute_complete(stage.context(), event, 12345)


@case
def ticket_connection_is_wrong_for_a_while(stage: Stage) -> None:
    """The triggerer reads the connection again every five minutes, so that a new password is noticed."""
    stage.patch.setattr("airflow_provider_passnotify.triggers.shared_client.FRESH_SECONDS", 0.0)

    class Gone(Server):
        def _reply_to(self, request: Received) -> Answer:
            stage.connect("")
            return super()._reply_to(request)

    async def fire() -> Any:
        end = pendulum.now("UTC").add(hours=1).isoformat()
        trigger = NotificationTicketTrigger(
            [12345], poll_interval=0.0, passnotify_conn_id="passnotify_default", end=end
        )
        return await anext(aiter(trigger.run()))

    with Gone((ticket("RUNNING"), ticket("COMPLETED"))) as server:
        stage.connect(server.url)
        event = asyncio.run(fire()).payload
    stage.operator(**WAITS).execute_complete(stage.context(), event, 12345)


@case
def ticket_with_a_status_that_is_not_known(stage: Stage) -> None:
    stage.patch.setattr("airflow_provider_passnotify.api.tickets._logged", set())
    stage.send(TICKET, ticket("37 %"), ticket("COMPLETED"), **WAITS)


@case
def ticket_changed_while_deferred(stage: Stage) -> None:
    event = _event(stage, ticket("COMPLETED"), end=pendulum.now("UTC").add(hours=1).isoformat())
    _sensor(ticket_id=[777]).execute_complete(stage.context(), event)


def _event(stage: Stage, *answers: Any, conn_id: str = "passnotify_default", **arguments: Any) -> Any:
    """Return the event of the trigger."""

    async def fire() -> Any:
        trigger = NotificationTicketTrigger([12345], poll_interval=0.0, passnotify_conn_id=conn_id, **arguments)
        return await anext(aiter(trigger.run()))

    with stage.answering(*answers):
        return asyncio.run(fire()).payload


def _sensor(**arguments: Any) -> NotificationTicketSensor:
    return NotificationTicketSensor(**{"task_id": "wait", "timeout": 0, "poke_interval": 0.1, **arguments})


def _wait(stage: Stage, *answers: Any, **arguments: Any) -> None:
    sensor = _sensor(**{"ticket_id": [1, 2], **arguments})
    context: Any = {"ti": SimpleNamespace(start_date=pendulum.now("UTC"), xcom_push=lambda **_: None)}
    with stage.answering(*answers):
        sensor.pre_execute(context)
        sensor.execute(context)


@case
def sensor_done(stage: Stage) -> None:
    _wait(stage, ticket("COMPLETED", 1), ticket("COMPLETED", 2))


@case
def sensor_one_of_two_failed(stage: Stage) -> None:
    _wait(stage, ticket("COMPLETED", 1), ticket("FAILED", 2, children={"7": "no device"}))


@case
def sensor_late(stage: Stage) -> None:
    _wait(stage, ticket("COMPLETED", 1), ticket("RUNNING", 2))


@case
def sensor_left_alone(stage: Stage) -> None:
    sensor = _sensor(ticket_id=[1], timeout=3600)
    context: Any = {"ti": SimpleNamespace(start_date=pendulum.now("UTC"))}
    with stage.answering(api_error(429, "Too many.", Retry_After="600")):
        sensor.pre_execute(context)
        sensor.poke(context)
        sensor.poke(context)


@case
def sensor_odd_answers(stage: Stage) -> None:
    _wait(stage, answer(body={"ID": 1}), answer(body={"status": "RUNNING", "ID": 3}))


@case
def sensor_of_a_skipped_task(stage: Stage) -> None:
    _render(stage, "skipped")


@case
def sensor_of_a_failed_task(stage: Stage) -> None:
    _render(stage, "failed")


def _render(stage: Stage, state: str) -> None:
    """Render an XCom that came to nothing."""
    sensor = _sensor(ticket_id=[1])
    given = SimpleNamespace(iter_references=lambda: [(SimpleNamespace(task_id="send"), "return_value")])
    stage.patch.setattr("airflow_provider_passnotify.operators.rendering.TextFields._render_text", lambda *_: None)
    stage.patch.setattr("airflow_provider_passnotify.operators.polling.states_of", lambda *_: [state])
    sensor._render_text(given, {}, None, set())  # type: ignore[arg-type]


@case
def sensor_of_a_mapped_task(stage: Stage) -> None:
    states = ["success", "skipped", "failed"]
    stage.patch.setattr("airflow_provider_passnotify.operators.polling.mapped_states_of", lambda *_: states)
    assert NotificationTicketSensor._of_mapped("send", [1], {}) == [1, None]


@case
def sensor_without_a_ticket_id(stage: Stage) -> None:  # noqa: ARG001
    sensor = _sensor(ticket_id="{{ none }}")
    sensor._came_to_nothing = {"ticket_id": None}
    sensor.check_given()


@case
def sensor_ticket_id_is_no_list(stage: Stage) -> None:  # noqa: ARG001
    _sensor(ticket_id="[1, ")


@case
def sensor_ticket_id_is_no_number(stage: Stage) -> None:  # noqa: ARG001
    _sensor(ticket_id=[1, "x"])


@case
def sensor_too_long(stage: Stage) -> None:  # noqa: ARG001
    _sensor(ticket_id=[1], poke_interval=1e300)


TESTS = {
    "works": [api_error(404, "No such ticket.")],
    "no_answer": [NOTHING],
    "credentials": [api_error(401, "Who are you?")],
    "busy": [answer(503, body="Sorry")],
    "not_passnotify": [answer(200, body="<html>")],
}


@case
def connection_test(stage: Stage) -> str:
    """What Airflow's button Test says, for each case a line."""
    said = {}
    for name, answers in TESTS.items():
        with stage.answering(*answers):
            said[name] = PassNotifyHook().test_connection()[1]
    with stage.answering() as server:
        stage.connect(server.url.replace("http://", "https://"))
        said["tls"] = PassNotifyHook().test_connection()[1]
    stage.connect("http://127.0.0.1:9")
    said["unreachable"] = PassNotifyHook().test_connection()[1]
    stage.connect("ftp://127.0.0.1")
    said["wrong"] = PassNotifyHook().test_connection()[1]
    return "\n".join(f"{name}: {text}" for name, text in said.items())
