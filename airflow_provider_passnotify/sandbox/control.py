"""The control endpoints under ``/_sandbox``: what was delivered, what shall go wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_passnotify.sandbox.api import Service
from airflow_provider_passnotify.sandbox.faults import Fault, RateLimit
from airflow_provider_passnotify.sandbox.tickets import Behaviour


class TicketSetting(Behaviour):
    """How tickets go on.

    :param ticket_id: one ticket; ``None`` for every new one.
    """

    ticket_id: int | None = None


class RateLimitSetting(BaseModel):
    """How many requests a second are taken; ``None`` for any."""

    model_config = ConfigDict(extra="forbid")
    per_second: float | None = Field(default=None, gt=0)


def control_app(service: Service) -> FastAPI:
    """Return the application that steers and reads a service."""
    app = FastAPI(title="PassNotify sandbox", docs_url="/_sandbox/docs", openapi_url="/_sandbox/openapi.json")

    @app.get("/_sandbox/deliveries")
    async def deliveries(pass_id: str | None = None, counts: bool = False, histogram: bool = False) -> Any:
        """Tell what each pass received, how often, and what it shows now."""
        if histogram:
            return service.world.delivery_histogram()
        return service.world.delivery_counts() if counts else service.world.deliveries(pass_id)

    @app.get("/_sandbox/requests")
    async def requests(wait_for: int = 0, method: str | None = None, timeout: float = 30.0) -> Any:
        """Tell what was received; with ``wait_for``, once so many were."""
        try:
            await asyncio.wait_for(service.log.wait_for(method, wait_for), timeout)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"only {dict(service.log.methods)} after {timeout} s") from None
        log = service.log
        return {"methods": dict(log.methods), "statuses": dict(log.statuses), "last": list(log.last)}

    @app.get("/_sandbox/faults")
    async def list_faults() -> Any:
        """List the faults, and what they have hit."""
        return service.faults.as_json()

    @app.post("/_sandbox/faults", status_code=201)
    async def add_fault(fault: Fault) -> Any:
        """Let something go wrong."""
        service.faults.add(fault)
        return service.faults.as_json()

    @app.delete("/_sandbox/faults")
    async def clear_faults() -> Any:
        """Let everything go right again, and let go what is held."""
        service.faults.clear()
        return []

    @app.post("/_sandbox/release")
    async def release() -> Any:
        """Let go every request that is held now."""
        service.faults.release()
        return {"released": True}

    @app.post("/_sandbox/rate-limit")
    async def limit_rate(setting: RateLimitSetting) -> Any:
        """Refuse with 429 what comes faster."""
        service.faults.rate_limit = RateLimit(setting.per_second)
        return setting

    @app.post("/_sandbox/tickets")
    async def set_tickets(setting: TicketSetting) -> Any:
        """Say how one ticket, or every new one, goes on."""
        behaviour = Behaviour(**setting.model_dump(exclude={"ticket_id"}))
        if setting.ticket_id is None:
            service.tickets.behaviour = behaviour
        elif setting.ticket_id in service.tickets:
            service.tickets.set_behaviour(setting.ticket_id, behaviour)
        else:
            raise HTTPException(404, f"there is no ticket {setting.ticket_id}")
        return setting

    @app.post("/_sandbox/reset")
    async def reset() -> Any:
        """Go back to the start."""
        service.reset()
        return {"reset": True}

    return app
