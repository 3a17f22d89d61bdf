"""Ends clients that send their request's body too slowly or take nothing of their reply, so that they
cannot hold what others need.

A timeout at each read would not do: whoever sends a byte now and then never meets it. So each body that
is being read has a time by which it has to go on, and one thread per worker (a greenlet, under gevent) ends the
reading of those that are late: what the reader sees is a body that broke off.

Who takes nothing is the kernel's to find out, which alone knows whether bytes are taken.
"""

import contextlib
import math
import os
import socket
import threading
import time
from typing import Any

SLOWEST = 16 * 1024  # bytes a second that earn it further time
_LOOK = 1.0
_LONGEST = 2**31 - 1  # milliseconds that the kernel can be told
_UNSENT = 128 * 1024
_KERNEL_HELPS = hasattr(socket, "TCP_USER_TIMEOUT") and hasattr(socket, "TCP_NOTSENT_LOWAT")  # Linux does


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
    """Those of one worker process, looked for every *look* seconds."""

    def __init__(self, look: float = _LOOK):
        self._look = look
        self.under_way: set[Arriving] = set()
        threading.Thread(target=self._run, name="laggards", daemon=True).start()

    def reading(self, stream: Any, sock: Any, patience: float) -> Arriving:
        return Arriving(self, stream, sock, time.monotonic() + patience)

    def _run(self) -> None:
        while True:
            time.sleep(self._look)
            now = time.monotonic()
            for arriving in [each for each in tuple(self.under_way) if each.late(now)]:
                arriving.give_up()


_current: dict[int, Laggards] = {}  # by process id: a fork needs a thread of its own


def reading(stream: Any, sock: Any, patience: float) -> Any:
    """A context in which *stream*, the body of the request on *sock*, is read: it ends if it comes too slowly,
    after *patience* seconds at the earliest. Without a socket (as in unit tests) that is the stream itself."""
    if sock is None:
        return contextlib.nullcontext(stream)
    laggards = _current.get(os.getpid())
    if laggards is None:
        _current.clear()
        _current[os.getpid()] = laggards = Laggards()
    return laggards.reading(stream, sock, patience)


def make_light(sock: Any, unread: float) -> None:
    """Whoever takes the reply on *sock* slowly must not weigh much. The kernel breaks the connection when its other
    end takes nothing for *unread* seconds (TCP_USER_TIMEOUT, RFC 5482): to whoever writes, the client has gone then.
    And it holds little that was not sent yet: left to itself that is some MB a client, and all that all sockets
    of a machine may hold is soon used up. A proxy on a local socket has to see to this itself."""
    if _KERNEL_HELPS and sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(math.ceil(unread * 1000), _LONGEST))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
