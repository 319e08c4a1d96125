"""Where messages are provoked: a connection, servers, journals; and what comes of a case as text."""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_passnotify.operators.passnotify import SendNotificationOperator
from tests.servers import TICKET, Answer, Server, answer, serving
from tests.stores import Store, context_of

PACKAGE = Path(sys.modules["airflow_provider_passnotify"].__file__ or "").parent
Site = tuple[str, int]
"""A file of the package, and a line."""
Case = Callable[["Stage"], Any]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Make a function one of the cases. What it logs and raises is its snapshot."""
    assert function.__name__ not in CASES
    CASES[function.__name__] = function
    return function


def ticket(status: str, ticket_id: int = 12345, **more: Any) -> Answer:
    return answer(body={"status": status, "ID": ticket_id, **more})


def api_error(status: int, description: str, **headers: str) -> Answer:
    return answer(
        status, {k.replace("_", "-"): v for k, v in headers.items()}, {"code": status, "description": description}
    )


@dataclass
class Stage:
    """What a case may use.

    :param folder: an empty one.
    """

    patch: pytest.MonkeyPatch
    folder: Path
    store: Store = field(default_factory=Store)
    refusals: list[tuple[str, BaseException]] = field(default_factory=list)

    def connect(self, url: str, conn_id: str = "passnotify_default", **fields: Any) -> None:
        fields = {"conn_type": "passnotify", "host": url, "login": "me", "password": "secret", **fields}
        fields.setdefault("extra", {"max_retries": 0})
        self.patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    @contextmanager
    def answering(self, *answers: Answer) -> Iterator[Server]:
        """Run a server, and let the connection lead to it."""
        with serving(*answers or (TICKET,)) as server:
            self.connect(server.url)
            yield server

    def context(self, try_number: int = 1, max_tries: int = 5, *, store: Any = "own", **more: Any) -> Any:
        found = context_of(self.store if store == "own" else store, try_number, max_tries, retries=5, **more)
        found["task"].task_id = found["ti"].task_id = "send"
        return found

    def send(self, *answers: Answer, context: Any = None, **arguments: Any) -> int:
        """Run one try of an operator that sends to pass 123."""
        with self.answering(*answers):
            return self.operator(**arguments).execute(self.context() if context is None else context)

    def operator(self, **arguments: Any) -> SendNotificationOperator:
        given = {"task_id": "send", "target_type": "pass", "pass_id": 123, "value": "20% off", "retries": 5}
        return SendNotificationOperator(**{**given, **arguments})

    def refuses(self, name: str, what: Callable[[], Any]) -> None:
        """Do something that is refused; a snapshot may hold many of these, a line for each."""
        error: Exception | None = None
        try:
            result = what()
            if isinstance(result, Iterator):
                list(result)
        except Exception as refusal:  # noqa: BLE001
            error = refusal
        assert error is not None, f"{name} is not refused"
        self.refusals.append((name, error))

    def failing(self, what: Callable[[], Any]) -> None:
        """Do something that fails, so that the next try finds what it left. Its messages have another case."""
        logger = logging.getLogger("airflow_provider_passnotify")
        logger.disabled, level = True, logger.level
        handlers, logger.handlers = logger.handlers, []
        try:
            what()
        except BaseException:  # noqa: BLE001
            pass
        finally:
            logger.disabled, logger.handlers = False, handlers
            logger.setLevel(level)


@dataclass
class Played:
    """What came of a case.

    :param text: the log and the error, without what is different each time.
    :param sites: where in the package they came from.
    """

    text: str
    sites: set[Site]


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


def play(run: Case, stage: Stage) -> Played:
    """Run a case."""
    logger, records = logging.getLogger("airflow_provider_passnotify"), _Records()
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    error: BaseException | None = None
    said: Any = None
    try:
        said = run(stage)
    except AssertionError:
        raise  # the case itself is wrong
    except (Exception, AirflowTaskTimeout) as raised:  # noqa: BLE001 (the second is a BaseException)
        error = raised
    finally:
        logger.removeHandler(records)
        logger.setLevel(logging.NOTSET)
    lines = [f"{record.levelname}: {record.getMessage()}" for record in records.found]
    lines += [said] if isinstance(said, str) else []
    sites = {(record.pathname, record.lineno) for record in records.found}
    for name, refusal in stage.refusals:
        lines.append(f"{name}: {type(refusal).__name__}: {refusal}")
        sites |= set(_raised_at(refusal))
    if error is not None:
        lines.append(f"{type(error).__name__}: {error}")
        sites |= set(_raised_at(error))
    own = {(str(Path(file).relative_to(PACKAGE)), line) for file, line in sites if file.startswith(str(PACKAGE))}
    return Played(_steady("\n".join(lines), stage), own)


def _raised_at(error: BaseException | None) -> Iterator[Site]:
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            yield frame.tb_frame.f_code.co_filename, frame.tb_lineno
            frame = frame.tb_next
        error = error.__cause__ or error.__context__


_CHANGING = {
    r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z| UTC)?": "<time>",
    r"20\d\d-\d\d-\d\dT\d\d-\d\d-\d\d(?=\.json)": "<time>",
    r"(127\.0\.0\.1|localhost):\d+": "<host:port>",
    r"('127\.0\.0\.1', )\d+": r"\1<port>",
    r"(?<=host )\S+, pid \d+": "<host>, pid <pid>",
    r"\b\d+ ms\b": "<n> ms",
    r"\b\d+ s more": "<n> s more",
    r" at 0x[0-9a-f]+": "",
    r"\(_ssl\.c:\d+\)": "(_ssl.c)",
    r"(?<=/)[0-9a-f]{32}\b|(?<=passnotify-)[0-9a-f]{32}\b": "<random>",
}


def _steady(text: str, stage: Stage) -> str:
    text = text.replace(str(stage.folder), "<folder>").replace(socket.gethostname(), "<host>")
    for pattern, word in _CHANGING.items():
        text = re.sub(pattern, word, text)
    return text
