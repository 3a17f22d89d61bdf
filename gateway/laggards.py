"""Ends clients that send their request's body too slowly, so that they cannot hold what others need.

A timeout at each read would not do: whoever sends a byte now and then never meets it. So each body that
is being read has a time by which it has to go on, and one thread per worker (a greenlet, under gevent) ends the
reading of those that are late: what the reader sees is a body that broke off.
"""

import contextlib
import os
import socket
import threading
import time
from typing import Any

PATIENCE = 60.0  # seconds that any body may take
SLOWEST = 16 * 1024  # bytes a second that earn it further time
_LOOK = 1.0


class Arriving:
    """A body under way: ``read`` as its *stream* has it. Leave the `with` when it is there."""

    __slots__ = ("_laggards", "_stream", "_sock", "_due")

    def __init__(self, laggards: "Laggards", stream: Any, sock: Any, due: float):
        self._laggards = laggards
        self._stream = stream
        self._sock = sock
        self._due = due

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._due += len(piece) / SLOWEST
        return piece

    def late(self, now: float) -> bool:
        return now > self._due

    def give_up(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone by itself
            self._sock.shutdown(socket.SHUT_RD)

    def __enter__(self) -> "Arriving":
        self._laggards.under_way.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._laggards.under_way.discard(self)


class Laggards:
    """Those of one worker process. *patience* is in seconds."""

    def __init__(self, patience: float, look: float = _LOOK):
        self._patience = patience
        self._look = look
        self.under_way: set[Arriving] = set()
        threading.Thread(target=self._run, name="laggards", daemon=True).start()

    def reading(self, stream: Any, sock: Any) -> Arriving:
        return Arriving(self, stream, sock, time.monotonic() + self._patience)

    def _run(self) -> None:
        while True:
            time.sleep(self._look)
            now = time.monotonic()
            for arriving in [each for each in tuple(self.under_way) if each.late(now)]:
                arriving.give_up()


_current: dict[int, Laggards] = {}  # by process id: a fork needs a thread of its own


def reading(stream: Any, sock: Any) -> Any:
    """A context in which *stream*, the body of the request on *sock*, is read: it ends if it comes too
    slowly. Without a socket (as in unit tests) that is the stream itself."""
    if sock is None:
        return contextlib.nullcontext(stream)
    laggards = _current.get(os.getpid())
    if laggards is None:
        _current.clear()
        _current[os.getpid()] = laggards = Laggards(PATIENCE)
    return laggards.reading(stream, sock)
