"""Thousands who read or write as slowly as they can, and what is left for the others.

    python -m benchmarks.slow_clients [--slow 2000] [--seconds 15] [--nginx]

Half a minute of ordinary calls alone, then the same beside as many slow readers (of streams far larger than
the buffers) and as many slow writers (a byte of a body now and then): 80 % of the rate has to be left. The slow
come from sixteen addresses: conf/nginx.conf, which --nginx puts in front, lets one have a thousand calls open.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pair import Pair, running
from benchmarks.servers import HERE, KEY, CannotStart

LEFT = 0.8
MOST_MB = 0.3  # of memory for each slow client
_HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\n\r\n"
)
_DRIP = 2.0  # seconds between two bytes
_CALLERS = 8
_ADDRESSES = 16


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that streams for as long as somebody takes it."""
    await reader.readuntil(b"}]}")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
    with contextlib.suppress(OSError):
        while True:
            writer.write(event)
            await writer.drain()


def pouring(pipe: Any) -> None:
    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        # What a vendor's machine has waiting is not this one's to hold.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        server = await asyncio.start_server(pour, sock=listener)
        pipe.send(listener.getsockname()[1])
        await server.serve_forever()

    raise_limit()
    asyncio.run(serve())


def raise_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def request(model: str, text: str, stream: bool) -> bytes:
    asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(asked).encode()
    return _HEAD.format(KEY, len(body)).encode() + body


def address(number: int) -> tuple[str, int]:
    """Where the slow client of that number comes from."""
    return f"127.0.1.{1 + number % _ADDRESSES}", 0


async def read_slowly(port: int, number: int) -> None:
    sock = socket.socket()
    sock.bind(address(number))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, request("more", "x", True))
        while await loop.sock_recv(sock, 1):
            await asyncio.sleep(_DRIP)


async def write_slowly(port: int, number: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=address(number))
    try:
        writer.write(_HEAD.format(KEY, 100_000).encode() + b"{")
        while not writer.is_closing():
            await asyncio.sleep(_DRIP)
            writer.write(b" ")
    finally:
        writer.close()


async def ordinary(port: int, until: float, delays: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = request("echo", "a few words", False)
    while time.monotonic() < until:
        began = time.monotonic()
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        delays.append(time.monotonic() - began)
        if b"\r\nconnection: close" in head.lower():  # nginx does so after a thousand calls
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


@dataclass(frozen=True)
class Rate:
    """``calls`` a second, their 99th percentile ``late`` in milliseconds, and the workers' ``cpu`` for one of them, in
    milliseconds: what counts where others use this machine, too."""

    calls: float
    late: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.calls:.0f} calls/s, p99 {self.late:.1f} ms, {self.cpu:.2f} ms of CPU a call"


async def rate(pair: Pair, port: int, seconds: float) -> Rate:
    """Of ordinary calls."""
    delays: list[float] = []
    until, cpu = time.monotonic() + seconds, pair.cpu()
    await asyncio.gather(*(ordinary(port, until, delays) for _ in range(_CALLERS)))
    late = sorted(delays)[int(len(delays) * 0.99)] * 1000
    return Rate(len(delays) / seconds, late, (pair.cpu() - cpu) / len(delays) * 1000)


async def settled(pair: Pair) -> None:
    """Waits until all buffers are full and the workers have nothing left to do for the slow ones."""
    still = 0
    for _ in range(60):
        before = pair.cpu()
        await asyncio.sleep(2)
        still = still + 1 if pair.cpu() - before < 0.2 else 0
        if still == 3:  # once may be the doing of others on this machine
            return


async def measure(pair: Pair, port: int, slow: int, seconds: float) -> list[str]:
    """Complaints; prints what was measured."""
    say = sys.stdout.write
    await rate(pair, port, 2)  # warm
    alone = await rate(pair, port, seconds)
    before = sum(pair.resident().values())
    say(f"alone: {alone}, {before:.0f} MB\n")
    tasks = []
    for number in range(slow):
        tasks += [asyncio.create_task(read_slowly(port, number)), asyncio.create_task(write_slowly(port, number))]
        if len(tasks) % 100 == 0:
            await asyncio.sleep(0.1)  # those who come at once are another test
    await settled(pair)
    beside = await rate(pair, port, seconds)
    after = sum(pair.resident().values())
    open_tasks = sum(not task.done() for task in tasks)
    say(f"beside {slow} slow readers and {slow} slow writers: {beside}, {after:.0f} MB\n")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    complaints = []
    if open_tasks < len(tasks) * 0.99:
        complaints.append(f"only {open_tasks} of {len(tasks)} slow clients were there")
    if beside.calls < alone.calls * LEFT:
        complaints.append(f"{beside.calls / alone.calls:.0%} of the rate are left, not {LEFT:.0%}")
    if after - before > MOST_MB * 2 * slow:
        complaints.append(f"{(after - before) * 1000 / (2 * slow):.0f} KB for each slow client")
    return complaints


@contextlib.contextmanager
def nginx(folder: Path, behind: int) -> Iterator[int]:
    """conf/nginx.conf in front of the port *behind*; its own port. Raises CannotStart."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = (HERE.parent / "conf" / "nginx.conf").read_text()
    file = folder / "nginx.conf"
    file.write_text(
        text.replace("127.0.0.1:8080", f"127.0.0.1:{behind}").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    )
    command = ["/usr/sbin/nginx", "-p", str(folder), "-c", str(file), "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not (folder / "nginx.pid").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise CannotStart("nginx does not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="The slow are not in the way of the others.")
    parser.add_argument("--slow", type=int, default=2000, help="readers, and as many writers")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--nginx", action="store_true", help="with conf/nginx.conf in front")
    options = parser.parse_args()
    raise_limit()
    ours, theirs = multiprocessing.Pipe()
    upstream = multiprocessing.get_context("spawn").Process(target=pouring, args=(theirs,), daemon=True)
    upstream.start()
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            pair = stack.enter_context(running(folder, more=ours.recv()))
            port = stack.enter_context(nginx(folder, pair.port)) if options.nginx else pair.port
            complaints = asyncio.run(measure(pair, port, options.slow, options.seconds))
    finally:
        upstream.terminate()
    sys.stdout.write("".join(f"{each}\n" for each in complaints) or "met\n")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
