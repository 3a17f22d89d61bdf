"""A TCP connection to a host, whichever of its addresses answers, within one span of time: the name server's
answer is waited for no longer than that either."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

_LEAST = 0.001  # seconds; 0 would mean not to wait at all

Places = list[tuple[Any, ...]]  # as socket.getaddrinfo says them


def dialled(host: str, port: int, seconds: float, options: Iterable[tuple] = ()) -> socket.socket:
    """A connected socket, whose timeout is what is left of *seconds*. Each address gets its share of the
    time, so that one that does not answer leaves some to the next. Raises OSError, that of the last address;
    TimeoutError also where the name server takes too long, socket.gaierror where it knows no such host."""
    until = time.monotonic() + seconds
    addresses = places(host, port, seconds)
    failure = OSError("the host has no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            left = max(until - time.monotonic(), _LEAST)
            sock.settimeout(left / (len(addresses) - number))
            sock.connect(address)
            sock.settimeout(max(until - time.monotonic(), _LEAST))
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def places(host: str, port: int, seconds: float) -> Places:
    """The addresses of *host*, asked of the name server if need be. Raises socket.gaierror, and TimeoutError
    after *seconds*."""
    try:
        # A zone (fe80::1%eth0) is the system's to read.
        version = ipaddress.ip_address(host).version if "%" not in host else 0
    except ValueError:
        version = 0
    if not version:
        return _lookups.answer(host, port, seconds)
    family, more = (socket.AF_INET, ()) if version == 4 else (socket.AF_INET6, (0, 0))
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, *more))]


class _Lookups:
    """Questions to the name server, each in a thread of its own, which cannot be ended before the system gives up
    (half a minute, often): whoever asks the same meanwhile waits for the same answer, so that a host that nobody
    knows of holds one thread, not one for each call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], Future[Places]] = {}

    def answer(self, host: str, port: int, seconds: float) -> Places:
        asked = host, port
        with self._lock:
            answer = self._asked.get(asked)
            if answer is None:
                answer = Future()
                threading.Thread(target=self._ask, args=(asked, answer), name=f"where is {host}", daemon=True).start()
                self._asked[asked] = answer
        return answer.result(seconds)

    def _ask(self, asked: tuple[str, int], answer: "Future[Places]") -> None:
        found, error = [], None
        try:
            found = socket.getaddrinfo(*asked, type=socket.SOCK_STREAM)
        except BaseException as failure:  # whatever it is: those who wait must be told
            error = failure
        with self._lock:
            del self._asked[asked]  # whoever comes from now on asks anew
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)


_lookups = _Lookups()
