"""The service fails: it closes connections, gives no answer or nonsense, or rejects the request."""

from __future__ import annotations

from typing import Any

from tests.chaos import lines
from tests.chaos.faults.registry import fault
from tests.chaos.rounds import Round

UNKNOWN = {"unknown": True, "surely_unknown": True, "connection": "direct", "line": lines.UNKNOWN}
KNOWN = {"deliveries": 1, "connection": "direct", "line": lines.REFUSES_FOR_NOW}
REFUSED = {"deliveries": 0, "connection": "direct", "gives_up": True, "line": lines.REFUSES}


def service_fault(name: str, action: str, *, more: dict[str, Any], **fields: Any) -> None:
    """Register a fault of the sandbox that hits the POST of a round."""

    async def act(round_: Round) -> None:
        await round_.stage.fault(action, **{"method": "POST", "path": round_.path, "times": 1, **fields})
        await round_.begin()

    fault(name, **more)(act)


for done in (True, False):
    end = "though it delivered" if done else "and did not deliver"
    rare = {**UNKNOWN, "short": done}  # what the provider sees is the same
    service_fault(f"closes the connection, {end}", "close_after", more=UNKNOWN, deliver=done)
    service_fault(
        f"is silent until the time-out, {end}", "read_timeout", more={**rare, "connection": "hasty"}, deliver=done
    )
    service_fault(f"cuts its answer, {end}", "cut_body", more=rare, deliver=done)
    service_fault(f"answers 200 without a ticketId, {end}", "body", more=rare, deliver=done)
    service_fault(f"answers 500, {end}", "status", more=rare, status=500, deliver=done)
    service_fault(f"answers 502 like a proxy, {end}", "status", more=rare, status=502, body="<html>", deliver=done)
    service_fault(f"answers 503 like a proxy, {end}", "status", more=rare, status=503, body="<html>", deliver=done)
service_fault("closes the connection before it reads", "close_before", more=UNKNOWN)
service_fault("redirects", "redirect", more=UNKNOWN, location="/elsewhere")
service_fault("answers 429 three times", "status", more=KNOWN, status=429, retry_after=1, times=3)
service_fault("answers 503 with Retry-After three times", "status", more=KNOWN, status=503, retry_after=1, times=3)
service_fault("answers 404", "status", more=REFUSED, status=404)


@fault(
    "cannot be reached",
    line=lines.REFUSES_FOR_NOW,
    kinds=("once",),
    deliveries=0,
    gives_up=True,
    connection="nowhere",
)
async def nowhere(round_: Round) -> None:
    await round_.begin()
