"""The page at ``/``: passes as phones, tickets, refused requests and faults. Static files and one endpoint for data."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response

from airflow_provider_passnotify.sandbox.state import SandboxState

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
MAX_EVENTS = 1000
MAX_PASSES = 1000
MAX_TICKETS = 100


def page_router(state: SandboxState) -> APIRouter:
    """Return the page's own endpoints."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return _file("page.html", "text/html")

    @router.get("/_sandbox/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in MEDIA_TYPES:
            raise HTTPException(404)
        return _file(name, MEDIA_TYPES[name])

    @router.get("/_sandbox/news")
    async def news(
        after: Annotated[int, Query(ge=0)] = 0, generation: Annotated[int | None, Query(ge=0)] = None
    ) -> Response:
        """What happened after a ticket, and what is set now. The page at / uses this."""
        told = _news(state, after if generation == state.generation else 0)
        return Response(json.dumps(told), media_type="application/json", headers=HEADERS)

    return router


def _file(name: str, media_type: str) -> Response:
    return Response((STATIC / name).read_bytes(), media_type=media_type, headers=HEADERS)


def picture(state: SandboxState) -> str:
    """Return the page as it is now, in one file. It can be opened after the sandbox has ended."""
    told = json.dumps(_news(state, 0)).replace("<", "\\u003c")
    html = (STATIC / "page.html").read_text()
    for line, inlined in {
        '<link rel="icon" href="/_sandbox/static/icon.svg" type="image/svg+xml">': "",
        '<link rel="stylesheet" href="/_sandbox/static/page.css">': f"<style>\n{_text('page.css')}</style>",
        '<script src="/_sandbox/static/page.js" defer></script>': (
            f'<script type="application/json" id="picture">{told}</script>'
        ),
        "</body>": f"<script>\n{_text('page.js')}</script>\n</body>",
    }.items():
        html = html.replace(line, inlined)
    return html


def _news(state: SandboxState, after: int) -> dict[str, Any]:
    log = state.requests
    return {
        "generation": state.generation,
        "at": time.time(),
        "delivered": state.deliveries.delivered,
        **state.deliveries.since(after, MAX_EVENTS, MAX_PASSES),
        "tickets": state.tickets.last(MAX_TICKETS),
        "requests": {
            "total": log.count(),
            "held": log.held,
            "refusals": log.refusals,
            "refused": log.refused(),
        },
        "faults": state.trouble.as_json(),
    }


def _text(name: str) -> str:
    return (STATIC / name).read_text()
