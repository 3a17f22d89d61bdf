"""Reads many slow streams at once and tells how late their events were.

No public tool reads the timing of single server-sent events at this number of connections.
"""

import asyncio
import gc
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns

_STAMP = re.compile(rb"t=(\d{19})\|")
_LONGEST_STAMP = 22
_GRACE = 30.0  # seconds past the planned end until a stream counts as not complete


@dataclass
class Paced:
    """What came of one run. Delays are in milliseconds, from the upstream's write to our read."""

    asked: int
    complete: int = 0
    delays: list[float] = field(default_factory=list, repr=False)
    driver_cpu: float = 0.0  # seconds
    seconds: float = 0.0

    def delay(self, quantile: float) -> float:
        ordered = sorted(self.delays)
        return ordered[int(quantile * (len(ordered) - 1))] if ordered else float("inf")


class _Reader(asyncio.Protocol):
    def __init__(self, request: bytes, events: int, paced: Paced, ended: asyncio.Future):
        self._request = request
        self._left = events
        self._paced = paced
        self._ended = ended
        self._tail = b""
        self._good = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        if not self._good:
            self._good = data.startswith(b"HTTP/1.1 200")
        data = self._tail + data
        end = 0
        for stamp in _STAMP.finditer(data):
            self._paced.delays.append((now - int(stamp[1])) / 1e6)
            self._left -= 1
            end = stamp.end()
        self._tail = data[max(end, len(data) - _LONGEST_STAMP) :]
        if data.endswith(b"0\r\n\r\n"):
            self._end(self._good and self._left == 0)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(False)

    def _end(self, complete: bool) -> None:
        if not self._ended.done():
            self._ended.set_result(complete)


async def _one(port: int, request: bytes, events: int, paced: Paced, after: float, patience: float) -> None:
    await asyncio.sleep(after)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    try:
        transport, _ = await loop.create_connection(lambda: _Reader(request, events, paced, ended), "127.0.0.1", port)
    except OSError:
        return
    try:
        whole = await asyncio.wait_for(ended, patience)
        paced.complete += whole  # not in one line: the old count would be read before the wait
    except TimeoutError:
        pass
    finally:
        transport.abort()


async def _all(port: int, request: bytes, events: int, paced: Paced, ramp: float, seconds: float, midway: Callable):
    asyncio.get_running_loop().call_later(ramp + (seconds - ramp) / 2, midway)
    patience = seconds + _GRACE
    tasks = (_one(port, request, events, paced, ramp * n / paced.asked, patience) for n in range(paced.asked))
    await asyncio.gather(*tasks)


def run(port: int, request: bytes, streams: int, events: int, pause: float, ramp: float, midway: Callable) -> Paced:
    """Open *streams* over *ramp* seconds, each of *events* that come *pause* seconds apart, and
    read them to their ends. *midway()* is called once, while all of them are open."""
    paced = Paced(streams)
    gc.disable()
    began, cpu = time.monotonic(), time.process_time()
    try:
        asyncio.run(_all(port, request, events, paced, ramp, events * pause, midway))
    finally:
        gc.enable()
    paced.seconds, paced.driver_cpu = time.monotonic() - began, time.process_time() - cpu
    return paced
