"""Providers that live inside the gateway, behind a socket pair.

The near end is an ordinary connection to the transport, so timeouts, keep-alives, cuts and
departing clients behave as with any upstream; the far end is served by a thread (a greenlet under
gevent) that asks the provider's ``respond``.
"""

import http.client
import io
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from gateway.bodies import JsonBody
from gateway.domain import Answered, UpstreamRequest
from gateway.headers import Headers

log = logging.getLogger("gateway.in_process")

Respond = Callable[[UpstreamRequest], Answered]


def connect(respond: Respond) -> socket.socket:
    """The near end of a new connection to *respond*."""
    near, far = socket.socketpair()
    threading.Thread(target=_serve, args=(far, respond), daemon=True).start()
    return near


def _serve(sock: socket.socket, respond: Respond) -> None:
    reader = sock.makefile("rb")
    try:
        while (request := _read_request(reader)) is not None:
            _answer(sock, respond(request))
    except OSError:
        pass  # the near end has gone, or the provider broke the connection on purpose
    except Exception:  # of the provider's own: to the client it is an upstream whose connection breaks
        log.exception("an in-process provider failed")
    finally:
        reader.close()
        sock.close()


def _read_request(reader: io.BufferedReader) -> UpstreamRequest | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers = Headers((name.lower(), value) for name, value in http.client.parse_headers(reader).items())
    body = reader.read(int(headers.get("content-length", "0")))
    return UpstreamRequest(line[0], line[1], headers, JsonBody(body, headers.get("content-type", "")))


def _answer(sock: socket.socket, answered: Answered) -> None:
    headers = {name.lower(): value for name, value in answered.headers.items()}
    body: Any = answered.body
    if isinstance(body, bytes):
        headers.setdefault("content-length", str(len(body)))
        body = [body]
    chunked = "content-length" not in headers
    if chunked:
        headers["transfer-encoding"] = "chunked"
    reason = http.client.responses.get(answered.status, "Unknown")
    lines = [f"HTTP/1.1 {answered.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    for piece in body:
        if piece:
            sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        sock.sendall(b"0\r\n\r\n")
