"""The API over HTTP, with its faults. It is a plain ASGI application, because batches need a fast server."""

from __future__ import annotations

import asyncio

from airflow_provider_passnotify.sandbox.answers import Answer, error
from airflow_provider_passnotify.sandbox.api import Api
from airflow_provider_passnotify.sandbox.control import control_app
from airflow_provider_passnotify.sandbox.exchange import Exchange, Receive, Scope, Send, refuse
from airflow_provider_passnotify.sandbox.faults import (
    AnyFault,
    BodyFault,
    CloseAfterFault,
    CutBodyFault,
    HoldFault,
    ReadTimeoutFault,
    RedirectFault,
    StatusFault,
)
from airflow_provider_passnotify.sandbox.guard import Guard
from airflow_provider_passnotify.sandbox.state import SandboxState

CONTROL = b"/_sandbox"
PAGE = b"/"


class SandboxApp:
    """Answers requests to the API. Requests below ``/_sandbox`` and for the page go to the control endpoints.

    :param state: everything that the sandbox stores.
    """

    def __init__(self, state: SandboxState) -> None:
        self.state = state
        self._api = Api(state)
        self._control = control_app(state)
        self._guard = Guard(state.options.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            is_page = scope["raw_path"] == PAGE and scope["method"] == "GET"
            if objection := self._guard.objection(scope["headers"]):
                await refuse(send, objection)
            elif is_page or scope["raw_path"].startswith(CONTROL):
                await self._control(scope, receive, send)
            else:
                await self._serve(scope, receive, send)
        except asyncio.CancelledError:
            return  # the server is being stopped and has closed the connection; this is no error to log

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self.state
        exchange = Exchange(scope, receive, send, state.requests)
        if wait := state.rate_limit.wait():
            details = f"This is more than {state.rate_limit.per_second:g} requests a second."
            await exchange.answer(error(429, details, headers={"Retry-After": str(wait)}))
        elif not state.trouble.checks_requests:
            if (body := await exchange.read()) is not None:
                await exchange.answer(self._carry_out(scope, body))
        else:
            path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            latency, fault = state.trouble.pick(scope["method"], path.decode("latin-1"))
            await self._with_trouble(exchange, latency, fault)

    def _carry_out(self, scope: Scope, body: bytes) -> Answer:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        return self._api.answer(scope["method"], scope["raw_path"], scope["query_string"], authorization, body)

    async def _with_trouble(self, exchange: Exchange, latency: float, fault: AnyFault | None) -> None:
        trouble = self.state.trouble
        stage = fault.stage if isinstance(fault, HoldFault) else None
        if stage == "headers" and not await exchange.stand_still(trouble.hold(), before_body=True):
            return
        body = await exchange.read()
        if body is None:
            return
        carries_out = fault is None or fault.carries_out
        answer = self._carry_out(exchange.scope, body) if carries_out else Answer(200, b'{"ticketId": 1}')
        if latency:
            await asyncio.sleep(latency)
        if stage == "accepted" and not await exchange.stand_still(trouble.hold()):
            return
        if isinstance(fault, ReadTimeoutFault):
            await exchange.stand_still(trouble.hold(releasable=False))
        elif isinstance(fault, CloseAfterFault):
            await exchange.drop()
        elif isinstance(fault, CutBodyFault):
            await exchange.cut(answer)
        elif isinstance(fault, BodyFault | StatusFault | RedirectFault):
            await exchange.answer(fault.answer())
        else:
            await exchange.answer(answer)
