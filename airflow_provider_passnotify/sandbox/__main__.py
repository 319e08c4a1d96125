"""``python -m airflow_provider_passnotify.sandbox``, also installed as ``passnotify-sandbox``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_passnotify.sandbox.faults import AnyFault

MAX_PASSES = 100_000_000

EPILOG = """\
A fault is JSON, or ACTION:KEY=VALUE,KEY=VALUE:

  --fault status:status=503,retry_after=2,times=3    three times 503 with Retry-After, nothing delivered
  --fault close_after:share=0.01                     delivered, but one in a hundred is not answered
  --fault '{"action": "latency", "latency": 0.05}'   every answer 50 ms later

Actions: latency, status, redirect, body, cut_body, close_before, close_after, read_timeout, hold.
What happened is at /_sandbox/deliveries and /_sandbox/requests; /_sandbox lists every endpoint.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until it is stopped by a signal.

    :param arguments: the arguments of the command line. ``None`` means those of this process.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as problem:
        print(f"{problem}. Install the extra 'sandbox': airflow-provider-passnotify[sandbox]", file=sys.stderr)
        return 1
    from airflow_provider_passnotify.sandbox.server import SandboxServer
    from airflow_provider_passnotify.sandbox.state import Options

    given = _parser().parse_args(arguments)
    options = Options(
        login=given.login,
        password=given.password,
        passes=given.passes,
        ticket_seconds=given.ticket_seconds,
        rate_limit=given.rate_limit,
        faults=tuple(given.fault),
        api_key_error=given.api_key_error,
        allowed_hosts=(given.host, *given.allow_host),
        keep_alive=given.keep_alive,
    )

    def say_where() -> None:
        print(f"PassNotify sandbox on {server.url} (stop it with Ctrl+C)")
        print(f"export AIRFLOW_CONN_PASSNOTIFY_DEFAULT={shlex.quote(server.connection)}", flush=True)

    try:
        server = SandboxServer(options, given.host, given.port, say_where)
    except OSError as problem:
        print(f"Cannot listen on {given.host} port {given.port}: {problem.strerror or problem}", file=sys.stderr)
        return 1
    # uvicorn raises the signal again after it has shut down. With the default handlers this would look like a failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run_until_stopped()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="passnotify-sandbox",
        description="A PassNotify service on your own machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="0 means any free port (default: %(default)s)")
    parser.add_argument("--login", type=_login, default="sandbox", help="default: %(default)s")
    parser.add_argument("--password", default="sandbox", help="default: %(default)s")
    parser.add_argument(
        "--passes", type=_passes, default=0, metavar="N", help="more passes: 1000001 and on, in template 20000"
    )
    parser.add_argument(
        "--ticket-seconds", type=_seconds, default=2, metavar="S", help="until a ticket ends (default: %(default)s)"
    )
    parser.add_argument(
        "--rate-limit", type=_rate, metavar="N", help="requests a second; faster requests are answered with 429"
    )
    parser.add_argument("--fault", type=_fault, action="append", default=[], help="see below; may be repeated")
    parser.add_argument(
        "--api-key-error", action="store_true", help="answer 500, not 401, to a wrong credential, as the API also did"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer requests for this host name, for example in a container; may be repeated",
    )
    parser.add_argument(
        "--keep-alive",
        type=_count,
        default=5,
        metavar="S",
        help="close connections that are idle for this long (default: %(default)s)",
    )
    return parser


def _number(text: str, kind: type[float], minimum: float, what: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = kind(minimum) - 1
    if not minimum <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def _port(text: str) -> int:
    number = int(_number(text, int, 0, "a port"))
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: the highest is 65535")
    return number


def _count(text: str) -> int:
    return int(_number(text, int, 0, "a whole number from 0"))


def _passes(text: str) -> int:
    number = _count(text)
    if number > MAX_PASSES:
        raise argparse.ArgumentTypeError(f"{text!r} is too many: at most {MAX_PASSES}")
    return number


def _seconds(text: str) -> float:
    return _number(text, float, 0, "a number of seconds")


def _rate(text: str) -> float:
    return _number(text, float, 0.001, "a number of requests a second above 0")


def _login(text: str) -> str:
    if ":" in text:
        raise argparse.ArgumentTypeError("a login of Basic authentication cannot hold a colon")
    return text


def _fault(text: str) -> AnyFault:
    from pydantic import ValidationError

    from airflow_provider_passnotify.sandbox.faults import parse_fault

    try:
        return parse_fault(text)
    except ValidationError as problems:
        found = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'][1:]) or 'fault'}: {problem['msg']}"
            for problem in problems.errors()
        )
        raise argparse.ArgumentTypeError(f"{text!r}: {found}") from None


if __name__ == "__main__":
    sys.exit(main())
