"""How long the first event of a stream takes, one stream after another on a kept connection."""

import socket
import statistics
import time
from collections.abc import Iterator

from benchmarks.measures import _CHAT, _HEADERS, _body

MODEL = "mock-10x0"
_END = b"0\r\n\r\n"


def first_event(port: int, seconds: float) -> float:
    """The median in milliseconds of as many streams as *seconds* have room for."""
    return statistics.median(_each(port, seconds)) * 1000


def _each(port: int, seconds: float) -> Iterator[float]:
    body = _body(MODEL, True)
    headers = _HEADERS | {"Host": "benchmark", "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"POST {_CHAT} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    request = "\r\n".join(lines).encode() + body
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            began, came, first = time.perf_counter(), b"", 0.0
            client.sendall(request)
            while not came.endswith(_END):
                piece = client.recv(1 << 16)
                if not piece:
                    raise SystemExit("a stream broke off")
                came += piece
                if not first and b"data:" in came:
                    first = time.perf_counter() - began
            yield first
