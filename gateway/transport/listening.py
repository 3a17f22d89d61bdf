"""How the bytes of an answer are waited for.

A socket of gevent's with a timeout asks the kernel first, which nearly always has nothing yet, and arms a timer, at
each read: that is more than all else that the passing on of an event costs. So with gevent the wait comes first here,
and a connection has one alarm, which is looked at only when it rings. Elsewhere a socket's own timeout does.
"""

import http.client
import math
import time
from typing import Any

from gateway.transport.response_head import Head, HeadReader

_PIECE = 64 * 1024
_READ = 1  # what libev calls it


class Listener:
    """Listens to the socket of one connection, answer after answer."""

    __slots__ = ("sock",)

    def __init__(self, sock: Any):
        self.sock = sock

    def receive(self, seconds: float) -> bytes:
        """What has come; ``b""`` at the end. Raises TimeoutError after *seconds* without a byte, another OSError
        when the connection broke."""
        if self.sock.gettimeout() != seconds:
            self.sock.settimeout(seconds)
        return self.sock.recv(_PIECE)

    def close(self) -> None:
        """Close the socket, too."""
        self.sock.close()


class GreenListener(Listener):
    """Listens to a socket of gevent's, which brings its hub along."""

    __slots__ = ("_hub", "_readable", "_pending", "_alarm", "_rings", "_due")

    def __init__(self, sock: Any):
        super().__init__(sock)
        self._hub = sock.hub
        self._readable = sock.hub.loop.io(sock.fileno(), _READ)
        self._pending = getattr(sock, "pending", None)  # what TLS has read already
        self._alarm: Any = None
        self._rings = self._due = math.inf

    def receive(self, seconds: float) -> bytes:
        if self._pending is None:
            self._wait(seconds)
            return self.sock.recv(_PIECE)
        if not self._pending():
            self._wait(seconds)
        self.sock.settimeout(seconds)  # half a record may be all that is there
        return self.sock.recv(_PIECE)

    def _wait(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds
        while True:
            if self._due < self._rings:
                self._set_alarm()
            try:
                self._hub.wait(self._readable)
                return
            except TimeoutError:
                if time.monotonic() >= self._due:  # else it was meant for a wait that ended in the same moment
                    raise

    def _set_alarm(self) -> None:
        self._end_alarm()
        self._rings = self._due
        self._alarm = self._hub.loop.timer(max(self._due - time.monotonic(), 0.0), ref=False)
        self._alarm.start(self._ring)

    def _ring(self) -> None:
        """In the hub, which must not wait."""
        self._end_alarm()
        if not self._readable.active:
            return
        if time.monotonic() < self._due:
            self._set_alarm()
        else:
            self._hub.cancel_wait(self._readable, TimeoutError)

    def _end_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
            self._alarm, self._rings = None, math.inf

    def close(self) -> None:
        self._end_alarm()
        self._readable.close()
        super().close()


def listener_of(sock: Any) -> Listener:
    """The kind that *sock* needs."""
    return GreenListener(sock) if hasattr(sock, "hub") else Listener(sock)


def read_head(listener: Listener, reader: HeadReader, seconds: float) -> Head:
    """The head of the next answer. Raises as ``receive`` does, and RemoteDisconnected when there is none."""
    while data := listener.receive(seconds):
        head = reader.feed(data)
        if head is not None:
            return head
    raise http.client.RemoteDisconnected("the upstream closed the connection without an answer")
