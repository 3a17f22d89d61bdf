"""Notices clients that leave, and cuts the upstream connection that works for them.

A relay that is reading from a silent upstream would learn of its client's departure only at its
next write. One native thread per worker waits in epoll for the clients' sockets to hang up
(EPOLLRDHUP) and shuts the upstream's socket down; the blocked read then ends at once. Nothing is
spent while clients stay: no poll before each read, no timer.

Under gevent the standard library's threads, locks and epoll are replaced, so the originals are
taken here. The critical sections below do no I/O, hence a native lock is safe in greenlets.
"""

import contextlib
import logging
import os
import select
import socket
import sys
from typing import Any

log = logging.getLogger("gateway.departures")

_HANG_UP = select.EPOLLRDHUP | select.EPOLLONESHOT


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(sys.modules[module], name)


class Watch:
    """One call's client and the upstream socket that works for it. Close it when the call ends.
    ``stale`` counts the requests that a kept connection swallowed, so that they were sent once more."""

    __slots__ = ("gone", "stale", "_departures", "_client", "_upstream")

    def __init__(self, departures: "Departures | None", client: int):
        self.gone = False
        self.stale = 0
        self._departures = departures
        self._client = client
        self._upstream = -1

    def upstream(self, sock: Any) -> None:
        """Shut *sock* down when the client leaves (at once if it has left already)."""
        if self._departures is None:
            return
        with self._departures.lock:
            self._upstream = sock.fileno()
            if self.gone:
                _shut_down(self._upstream)

    def release(self) -> None:
        """The upstream socket is no longer this call's (it goes back to a pool, or is closed)."""
        if self._departures is not None:
            with self._departures.lock:
                self._upstream = -1

    def close(self) -> None:
        if self._departures is not None:
            self._departures.forget(self)

    def client_left(self) -> None:
        """Called with the lock held."""
        self.gone = True
        if self._upstream >= 0:
            _shut_down(self._upstream)


def _shut_down(fd: int) -> None:
    # The C class, not the one gevent puts in its place: this may run outside any hub.
    raw = socket._socket.socket(fileno=fd)  # type: ignore[attr-defined]
    try:
        raw.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it broke by itself in the meantime
    finally:
        raw.detach()


class Departures:
    """The watcher of one worker process."""

    def __init__(self) -> None:
        self.lock = _original("_thread", "allocate_lock")()
        self._epoll = _original("select", "epoll")()
        self._watches: dict[int, Watch] = {}
        _original("_thread", "start_new_thread")(self._run, ())

    def watch(self, client: Any) -> Watch:
        """Begin to watch the socket *client*."""
        fd = client.fileno()
        watch = Watch(self, fd)
        with self.lock:
            self._watches[fd] = watch
            try:
                self._epoll.register(fd, _HANG_UP)
            except FileExistsError:
                self._epoll.modify(fd, _HANG_UP)
        return watch

    def forget(self, watch: Watch) -> None:
        with self.lock:
            if self._watches.get(watch._client) is watch:
                del self._watches[watch._client]
                with contextlib.suppress(OSError):  # already closed: the kernel took it out
                    self._epoll.unregister(watch._client)

    def _run(self) -> None:
        while True:
            try:
                left = self._epoll.poll()
            except OSError:
                log.exception("waiting for departures failed")
                _original("time", "sleep")(1)
                continue
            with self.lock:
                for fd, _ in left:
                    watch = self._watches.get(fd)
                    if watch is not None and _hung_up(fd):
                        watch.client_left()


def _hung_up(fd: int) -> bool:
    """Asked once more, as between the news of a departure and its being heard the number may have become
    that of the next connection, whose client is still there."""
    look = _original("select", "poll")()
    look.register(fd, select.POLLRDHUP)
    return bool(look.poll(0))


_current: dict[int, Departures] = {}  # by process id: a fork needs a thread of its own


def watch(client: Any) -> Watch:
    """A Watch on the client's socket; on None (no real socket, as in unit tests) an idle one."""
    if client is None:
        return Watch(None, -1)
    pid = os.getpid()
    if pid not in _current:
        _current.clear()
        _current[pid] = Departures()
    return _current[pid].watch(client)


