"""The sandbox's own endpoints, below ``/_sandbox``. They show what happened, and set what will go wrong."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_passnotify.sandbox.faults import AnyFault
from airflow_provider_passnotify.sandbox.page import page_router
from airflow_provider_passnotify.sandbox.state import SandboxState
from airflow_provider_passnotify.sandbox.tickets import TicketBehaviour
from airflow_provider_passnotify.sandbox.world import NewPass

MAX_WAIT = 600


class TicketOrder(TicketBehaviour):
    """How tickets continue and end.

    :param ticket_id: only this ticket, which exists already. ``None`` means all future tickets.
    """

    ticket_id: int | None = None


class RateLimitOrder(BaseModel):
    """:param per_second: how many requests are served in a second; ``None`` for no limit."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    per_second: float | None = Field(ge=0.001)


def control_app(state: SandboxState) -> FastAPI:
    """Return the application that serves the control endpoints."""
    app = FastAPI(title="PassNotify sandbox", openapi_url="/_sandbox/openapi.json", docs_url=None, redoc_url=None)

    app.include_router(page_router(state))

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, refused: RequestValidationError) -> Response:
        # Without the input, because it may be something that JSON cannot express.
        problems = [{"loc": problem["loc"], "msg": problem["msg"]} for problem in refused.errors()]
        return _json({"detail": problems}, 422)

    @app.get("/_sandbox")
    async def index() -> dict[str, list[str]]:
        """List every endpoint."""
        paths = app.openapi()["paths"]
        return {"endpoints": [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]}

    @app.get("/_sandbox/deliveries")
    async def deliveries(
        pass_id: Annotated[int | None, Query()] = None,
        counts: Annotated[bool, Query()] = False,
        histogram: Annotated[bool, Query()] = False,
    ) -> Response:
        """What each pass received, in order, and what it shows now. Or only how often, or how many passes how often."""
        if histogram:
            return _json(state.deliveries.histogram())
        return _json(state.deliveries.counts(pass_id) if counts else state.deliveries.as_json(pass_id))

    @app.get("/_sandbox/requests")
    async def requests(
        wait_for: Annotated[int | None, Query(ge=0)] = None,
        method: Annotated[Literal["GET", "POST", "DELETE"] | None, Query()] = None,
        wait_for_held: Annotated[int | None, Query(ge=0)] = None,
        timeout: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 30,
    ) -> Response:
        """The requests received so far. It can wait until so many are received or held; 408 after the time-out."""
        log = state.requests
        reached = await log.wait_until(
            lambda: log.count(method) >= (wait_for or 0) and log.held >= (wait_for_held or 0), timeout
        )
        return _json(log.as_json(), 200 if reached else 408)

    @app.get("/_sandbox/faults")
    async def faults() -> Response:
        """The faults that are set, and how many requests each one has hit."""
        return _json({"faults": state.trouble.as_json()})

    @app.post("/_sandbox/faults")
    async def add_fault(fault: Annotated[AnyFault, Body(discriminator="action")]) -> Response:
        """Add a fault."""
        state.trouble.add(fault)
        return _json({"faults": state.trouble.as_json()}, 201)

    @app.delete("/_sandbox/faults")
    async def clear_faults() -> dict[str, Any]:
        """Remove all faults, and release the requests that are held."""
        state.trouble.clear()
        return {"faults": []}

    @app.post("/_sandbox/release")
    async def release() -> dict[str, int]:
        """Release the requests that are held now."""
        return {"released": state.trouble.release()}

    @app.post("/_sandbox/rate-limit")
    async def rate_limit(order: RateLimitOrder) -> dict[str, float | None]:
        """Set how many requests a second are served from now on."""
        state.limit_rate(order.per_second)
        return {"per_second": order.per_second}

    @app.post("/_sandbox/tickets")
    async def tickets(order: TicketOrder) -> Response:
        """Set how future tickets continue and end, or one existing ticket."""
        try:
            state.tickets.set_behaviour(order, order.ticket_id)
        except KeyError:
            raise HTTPException(404, f"There is no ticket {order.ticket_id}") from None
        return _json(order.model_dump())

    @app.post("/_sandbox/passes")
    async def add_pass(new: NewPass) -> Response:
        """Add a pass, or more names of an existing pass."""
        try:
            state.world.add(new)
        except ValueError as problem:
            raise HTTPException(409, str(problem)) from None
        return _json(new.model_dump(), 201)

    @app.post("/_sandbox/reset")
    async def reset() -> dict[str, bool]:
        """Go back to the start: no deliveries, requests or tickets. The faults of the command line are set again."""
        state.reset()
        return {"reset": True}

    return app


def _json(content: dict[str, Any], status: int = 200) -> Response:
    # Without FastAPI's encoder, which takes seconds for a million passes and fails on half a surrogate pair.
    return Response(json.dumps(content), status, media_type="application/json")
