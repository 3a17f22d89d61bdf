"""A TCP connection to a host, whichever of its addresses answers, within one span of time."""

import socket
import time
from collections.abc import Iterable

_LEAST = 0.001  # seconds; 0 would mean not to wait at all


def dialled(host: str, port: int, seconds: float, options: Iterable[tuple] = ()) -> socket.socket:
    """A connected socket, whose timeout is what is left of *seconds*. Each address gets its share of the
    time, so that one that does not answer leaves some to the next. Raises OSError, that of the last address; the time
    that a name server takes is its own."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    until = time.monotonic() + seconds
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
