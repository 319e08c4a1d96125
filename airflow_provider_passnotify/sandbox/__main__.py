"""``passnotify-sandbox``: a PassNotify service on your own machine."""

from __future__ import annotations

import argparse
import sys

from pydantic import ValidationError

from airflow_provider_passnotify.sandbox.api import Service
from airflow_provider_passnotify.sandbox.faults import Fault, RateLimit
from airflow_provider_passnotify.sandbox.server import Sandbox, connection_export, listen


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    options = _parser().parse_args(arguments)
    try:
        faults = [Fault.model_validate_json(text) for text in options.fault]
    except ValidationError as error:
        sys.exit(f"passnotify-sandbox: --fault: {error}")
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        sys.exit(f"passnotify-sandbox: cannot listen on {options.host}:{options.port}: {error.strerror}")
    service = Service(
        login=options.login,
        password=options.password,
        passes=options.passes,
        ticket_seconds=options.ticket_seconds,
        key_error=options.key_error,
    )
    for fault in faults:
        service.faults.add(fault)
    service.faults.rate_limit = RateLimit(options.rate_limit)
    sandbox = Sandbox(service)
    server = sandbox.server(listener)
    print(f"The PassNotify sandbox listens on {sandbox.url}. Point Airflow's connection at it:")
    print(connection_export(sandbox))
    print(f"What each pass received: {sandbox.url}/_sandbox/deliveries", flush=True)
    server.run(sockets=[listener])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="passnotify-sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")
    parser.add_argument("--login", default="sandbox")
    parser.add_argument("--password", default="sandbox")
    parser.add_argument("--passes", type=int, default=0, metavar="N", help="N more passes, 1000001 and on")
    parser.add_argument("--ticket-seconds", type=float, default=2.0, metavar="S", help="until a ticket is COMPLETED")
    parser.add_argument("--rate-limit", type=float, metavar="N", help="answer 429 above N requests a second")
    parser.add_argument("--key-error", action="store_true", help="answer a bad credential with a 500, not a 401")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="JSON",
        help='let requests go wrong, such as \'{"action": "status", "status": 503, "share": 0.1}\'; may be repeated',
    )
    return parser


if __name__ == "__main__":
    main()
