"""One notification: sent, not sent, unknown, refused."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pendulum

from airflow_provider_passnotify.delivery.folder import Folder, LocalFiles
from airflow_provider_passnotify.delivery.task import TaskTry
from airflow_provider_passnotify.hooks.passnotify import PassNotifyHook
from airflow_provider_passnotify.operators.passnotify import DeleteNotificationOperator
from tests.servers import NOTHING, TICKET, answer
from tests.unit.messages.stage import Stage, api_error, case, ticket

PASS = {"target_type": "pass", "pass_id": 123}
GONE = api_error(404, "There is no pass 123.")


@case
def sent(stage: Stage) -> None:
    stage.send()


@case
def sent_to_a_tag(stage: Stage) -> None:
    stage.send(target_type="tag", tag="vip", template_id=5, pass_id=None)


@case
def sent_and_waited(stage: Stage) -> None:
    stage.send(TICKET, ticket("COMPLETED"), wait_for_completion=True)


@case
def deferrable_without_waiting(stage: Stage) -> None:
    stage.send(deferrable=True)


@case
def deleted(stage: Stage) -> None:
    with stage.answering():
        DeleteNotificationOperator(task_id="delete", **PASS).execute(stage.context())


@case
def sent_by_an_earlier_try(stage: Stage) -> None:
    stage.failing(stage.send)
    stage.send(context=stage.context(2))


@case
def sent_by_an_earlier_try_with_another_message(stage: Stage) -> None:
    stage.failing(stage.send)
    stage.send(context=stage.context(2), value="30% off")


@case
def not_sent_unreachable(stage: Stage) -> None:
    stage.connect("http://127.0.0.1:9")
    stage.operator().execute(stage.context())


@case
def not_sent_unreachable_through_a_proxy(stage: Stage) -> None:
    extra = {"max_retries": 0, "proxies": {"http": "http://user:hunter22@127.0.0.1:9"}, "allow_http": True}
    stage.connect("http://wallet-api.example.com", extra=extra)
    stage.operator().execute(stage.context())


@case
def not_sent_tls(stage: Stage) -> None:
    with stage.answering() as server:
        stage.connect(server.url.replace("http://", "https://"))
        stage.operator().execute(stage.context())


@case
def not_sent_tried_again_at_once(stage: Stage) -> None:
    with stage.answering(api_error(429, "Too many.", Retry_After="0"), TICKET) as server:
        stage.connect(server.url, extra={"max_retries": 1})
        stage.operator().execute(stage.context())


@case
def not_sent_throttled(stage: Stage) -> None:
    stage.send(api_error(429, "Too many requests.", Retry_After="77"))


@case
def not_sent_throttled_where_airflow_cannot_wait(stage: Stage) -> None:
    stage.patch.setattr("airflow_provider_passnotify.retry_policy.retry_policy", lambda: None)
    stage.send(api_error(429, "Too many requests.", Retry_After="77"))


@case
def not_sent_rejected(stage: Stage) -> None:
    stage.send(GONE)


@case
def not_sent_credentials_refused(stage: Stage) -> None:
    stage.send(api_error(401, "Who are you?"))


@case
def not_sent_told_to_stop(stage: Stage) -> None:
    operator = stage.operator()
    operator.on_kill()
    with stage.answering():
        operator.execute(stage.context())


@case
def not_sent_too_late(stage: Stage) -> None:
    stage.send(send_before=pendulum.datetime(2020, 1, 1))


@case
def not_sent_and_final_without_memory(stage: Stage) -> None:
    stage.send(api_error(429, "Too many requests."), context=stage.context(store=None))


@case
def unknown_no_answer(stage: Stage) -> None:
    stage.send(NOTHING)


@case
def unknown_gateway(stage: Stage) -> None:
    stage.send(answer(502, body="Bad Gateway"))


@case
def unknown_redirect(stage: Stage) -> None:
    stage.send(answer(302, {"Location": "https://example.com/login"}))


@case
def unknown_no_ticket_id(stage: Stage) -> None:
    stage.send(answer(200, body={"hello": 1}))


@case
def unknown_told_by_the_retry(stage: Stage) -> None:
    stage.failing(lambda: stage.send(NOTHING))
    stage.send(context=stage.context(2))


@case
def unknown_with_on_clear_resume(stage: Stage) -> None:
    stage.send(NOTHING, on_clear="resume")


@case
def unknown_at_least_once(stage: Stage) -> None:
    stage.send(NOTHING, delivery="at_least_once")


@case
def unknown_sent_again(stage: Stage) -> None:
    stage.failing(lambda: stage.send(NOTHING))
    stage.send(context=stage.context(2), delivery="at_least_once")


@case
def journal_cannot_be_read(stage: Stage) -> None:
    stage.store.unreadable = True
    stage.send()


@case
def journal_of_another_release(stage: Stage) -> None:
    stage.failing(stage.send)
    stage.store.values = dict.fromkeys(stage.store.values, '{"state": "danced"}')
    stage.send(context=stage.context(2))


@case
def journal_folder_cannot_be_used(stage: Stage) -> None:
    (stage.folder / "file").write_text("")
    stage.send(journal_path=stage.folder / "file")


@case
def journal_refuses_the_intent(stage: Stage) -> None:
    stage.store.refuse = lambda _: True
    stage.send()


@case
def journal_folder_refuses_the_intent(stage: Stage) -> None:
    def write(files: LocalFiles, name: str, data: bytes) -> None:
        if name.endswith("intent"):
            raise OSError(28, "No space left on device")
        real(files, name, data)

    real = LocalFiles.write
    stage.patch.setattr(LocalFiles, "write", write)
    stage.send(journal_path=stage.folder)


@case
def journal_cannot_tell_whether_it_may_send(stage: Stage) -> None:
    def read(files: LocalFiles, name: str) -> bytes | None:
        if name.startswith("superseded"):
            raise OSError(5, "Input/output error")
        return real(files, name)

    real = LocalFiles.read
    stage.patch.setattr(LocalFiles, "read", read)
    stage.send(journal_path=stage.folder)


@case
def old_process_fails(stage: Stage) -> None:
    def write(files: LocalFiles, name: str, data: bytes) -> None:
        real(files, name, data)
        if name.endswith("outcome"):
            real(files, "superseded.1", b'{"by_try": 2}')

    real = LocalFiles.write
    stage.patch.setattr(LocalFiles, "write", write)
    stage.send(NOTHING, journal_path=stage.folder)


@case
def journal_refuses_sent(stage: Stage) -> None:
    stage.store.refuse = lambda value: value["state"] == "sent"
    stage.send()


@case
def journal_refuses_sent_at_least_once(stage: Stage) -> None:
    stage.store.refuse = lambda value: value["state"] == "sent"
    stage.send(delivery="at_least_once")


@case
def journal_refuses_unknown(stage: Stage) -> None:
    stage.store.refuse = lambda value: value["state"] == "unknown"
    stage.send(NOTHING)


@case
def journal_refuses_the_end_of_the_waiting(stage: Stage) -> None:
    stage.store.refuse = lambda value: value["state"] == "sent" and not value["waiting"]
    stage.send(TICKET, ticket("COMPLETED"), wait_for_completion=True)


@case
def journal_refuses_a_failed_ticket(stage: Stage) -> None:
    stage.store.refuse = lambda value: value["state"] == "ticket_failed"
    stage.send(TICKET, ticket("FAILED"), wait_for_completion=True)


@case
def journal_refuses_a_refusal(stage: Stage) -> None:
    stage.store.refuse = lambda _: True
    stage.send(pass_id="{{ no_template_is_rendered_here }}\n")


@case
def another_target_sent(stage: Stage) -> None:
    stage.failing(lambda: stage.send(pass_id="A"))
    stage.send(pass_id="B", context=stage.context(2))


@case
def another_target_unknown(stage: Stage) -> None:
    stage.failing(lambda: stage.send(NOTHING, pass_id="A"))
    stage.send(pass_id="B", context=stage.context(2))


@case
def nobody_knows_before_airflow_3_3(stage: Stage) -> None:
    stage.send(context=stage.context(2, store=None))


@case
def nobody_knows_on_another_machine(stage: Stage) -> None:
    stage.failing(lambda: stage.send(NOTHING, journal_path=stage.folder / "here"))
    stage.send(journal_path=stage.folder / "there", context=stage.context(2))


@case
def nobody_knows_as_journal_path_is_gone(stage: Stage) -> None:
    stage.failing(lambda: stage.send(NOTHING, journal_path=stage.folder))
    stage.send(context=stage.context(2))


@case
def nobody_knows_cleared_with_resume(stage: Stage) -> None:
    stage.send(context=stage.context(2, 6, store=None, clear_number=1), on_clear="resume")


@case
def nobody_knows_after_a_discard(stage: Stage) -> None:
    stage.patch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    stage.send(context=stage.context(2, clear_number=1))


@case
def nobody_knows_and_sent_as_cleared(stage: Stage) -> None:
    stage.send(context=stage.context(2, 6, store=None, clear_number=1))


@case
def nobody_knows_and_sent_at_least_once(stage: Stage) -> None:
    stage.send(context=stage.context(2, store=None), delivery="at_least_once")


@case
def clear_on_success(stage: Stage) -> None:
    stage.patch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    stage.send()


@case
def nobody_can_be_asked_whether_the_task_is_being_cleared(stage: Stage) -> None:
    """Airflow is asked this where it may discard the records of a task."""
    stage.patch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    context = stage.context()

    def ask(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the API server does not answer")

    context["ti"].get_task_states = ask
    context["ti"].dag_id, context["ti"].run_id, context["ti"].map_index = "dag", "run", -1
    stage.send(context=context)


@case
def configured_journal_path_is_wrong(stage: Stage) -> None:
    stage.patch.setenv("AIRFLOW__PASSNOTIFY__JOURNAL_PATH", "here")
    stage.send()


def _process(stage: Stage, try_number: int = 1) -> Folder:
    return Folder(LocalFiles(stage.folder), TaskTry(try_number, 1), where=str(stage.folder))


@case
def another_process_a_later_try(stage: Stage) -> None:
    old = _process(stage)
    old.start()
    _process(stage, 2).start()
    old.look()


@case
def another_process_of_this_try_came_first(stage: Stage) -> None:
    _process(stage).start()
    _process(stage).start()


@case
def another_process_of_this_try_came_later(stage: Stage) -> None:
    first = _process(stage)
    first.start()
    (stage.folder / "try.1.start").unlink()
    _process(stage).start()
    first.look()


@case
def another_process_removed_the_folder(stage: Stage) -> None:
    process = _process(stage)
    process.start()
    (stage.folder / "try.1.start").unlink()
    process.look()


@case
def another_process_and_nothing_is_written(stage: Stage) -> None:
    old = _process(stage)
    old.start()
    _process(stage, 2).start()
    with suppress(Exception):
        old.look()
    old.set("try.1.outcome", {})


@case
def refused_a_second_send(stage: Stage) -> None:
    context = stage.context()
    stage.failing(lambda: stage.send(context=context))
    stage.send(context=context)


@case
def refused_in_a_callback(stage: Stage) -> None:
    context = stage.context()
    context["ti"].state = "failed"
    stage.send(context=context)


def _send_once(stage: Stage, context: Any, target: Any = PASS, **arguments: Any) -> None:
    stage.patch.setattr("airflow.providers.common.compat.sdk.get_current_context", lambda: context)
    with stage.answering():
        PassNotifyHook().send_once(target, **{"value": "Hello", **arguments})


@case
def send_once_sent(stage: Stage) -> None:
    _send_once(stage, stage.context())


@case
def send_once_outside_of_a_task(stage: Stage) -> None:
    with stage.answering():
        PassNotifyHook().send_once(PASS, value="Hello")


@case
def send_once_another_message(stage: Stage) -> None:
    context = stage.context()
    stage.failing(lambda: _send_once(stage, context))
    _send_once(stage, context, value="Bye")


@case
def send_once_another_target(stage: Stage) -> None:
    stage.failing(lambda: _send_once(stage, stage.context(), dedupe_key="welcome"))
    _send_once(stage, stage.context(2), {"target_type": "pass", "pass_id": 124}, dedupe_key="welcome")


@case
def send_once_in_a_callback(stage: Stage) -> None:
    context = stage.context()
    context["ti"].state = SimpleNamespace(value="success")
    _send_once(stage, context)


@case
def send_once_odd_dedupe_key(stage: Stage) -> None:
    _send_once(stage, stage.context(), dedupe_key=" ")


@case
def hook_delete_no_answer(stage: Stage) -> None:
    with stage.answering(NOTHING):
        PassNotifyHook().delete_notification(PASS)


@case
def hook_delete_unreachable(stage: Stage) -> None:
    stage.connect("http://127.0.0.1:9")
    PassNotifyHook().delete_notification(PASS)


@case
def hook_send_no_answer(stage: Stage) -> None:
    with stage.answering(NOTHING):
        PassNotifyHook().send_notification(PASS, value="Hello")


@case
def hook_ticket_not_known(stage: Stage) -> None:
    with stage.answering(api_error(404, "No such ticket.")):
        PassNotifyHook().get_ticket(7)


@case
def hook_ticket_no_answer(stage: Stage) -> None:
    with stage.answering(NOTHING):
        PassNotifyHook().get_ticket(7)


@case
def hook_ticket_unreadable(stage: Stage) -> None:
    with stage.answering(answer(body=[])):
        PassNotifyHook().get_ticket(7)


@case
def hook_connection_wrong(stage: Stage) -> None:
    stage.connect("")
    PassNotifyHook().get_ticket(7)
