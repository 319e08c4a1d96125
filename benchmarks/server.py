"""A server that is fast enough: it gives every request the same answer, after a latency, and can have a limit.

It runs in a separate process. ``GET /stats`` returns how many requests it accepted and refused in each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections import Counter
from typing import ClassVar

import uvloop


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = _answer("200 OK", b'{"ticketId": 1234}')
REFUSED = _answer(
    "429 Too Many Requests", b'{"code": 429, "description": "slow down", "details": ""}', "Retry-After: 1"
)


class Api(asyncio.Protocol):
    """One keep-alive connection. Requests are parsed by hand, and only as far as needed."""

    latency = 0.0
    limit = 0
    accepted: ClassVar[Counter[int]] = Counter()
    refused: ClassVar[Counter[int]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.received) < end + 4 + length:
                if b"\r\nexpect: 100-continue" in head:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self.received = self.received[end + 4 + length :]
            if head.startswith(b"get /stats"):
                self.transport.write(_answer("200 OK", json.dumps([self.accepted, self.refused]).encode()))
            elif self.latency:
                self.loop.call_later(self.latency, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if self.limit:
            second = int(time.monotonic())
            if self.accepted[second] >= self.limit:
                self.refused[second] += 1
                self.transport.write(REFUSED)
                return
            self.accepted[second] += 1
        self.transport.write(OK)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--limit", type=int, default=0, help="requests accepted in each second; the others get 429")
    parser.add_argument("--cert", help="PEM file with certificate and key, for TLS")
    options = parser.parse_args()
    Api.latency, Api.limit = options.latency, options.limit
    tls = None
    if options.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert)
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0, ssl=tls, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
