"""Connections of a channel, as urllib3 keeps them and as this gateway uses them.

urllib3 brings pools, proxies and TLS, requests the adapter. What goes over a connection is written
and read here: a request with its body leaves in one piece, and an answer's head is read from the
bare socket, because every reader above it either holds events back or cannot be read again after
a timeout.
"""

import hashlib
import http.client
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from gateway.departures import Watch
from gateway.domain import Channel
from gateway.transport import in_process
from gateway.transport.dialling import dialled
from gateway.transport.listening import Listener, listener_of, read_head
from gateway.transport.response_head import Head, HeadReader
from gateway.transport.upstream_body import Answer, SocketBody

_LINE_BREAK = re.compile(r"[\r\n\0]")
_IDLE_CONNECTIONS = 1024  # kept to one host; further ones are opened and closed as needed


class Waiting(Protocol):
    """How long a request may take, in seconds from the moment of asking."""

    def ends_in(self) -> float:
        """Until connecting and sending have to be done."""

    def left(self) -> float:
        """Until the caller wants to be asked again, if there are no headers yet."""

    def sent(self) -> float:
        """The request has left; as ``left``."""


class Task(threading.local):
    """What the call that runs in this thread (or greenlet) wants of its connection. The moments are those of
    time.monotonic()."""

    watch: Watch | None = None
    until = math.inf  # when the caller wants to be asked again, if there are no headers yet
    ends_at = math.inf  # when connecting and sending have to be done
    _waiting: Waiting | None = None

    def begins(self, waiting: Waiting, longest: float) -> None:
        """*longest* seconds at most for connecting and sending."""
        now = time.monotonic()
        self.until, self.ends_at = now + waiting.left(), now + min(waiting.ends_in(), longest)
        self._waiting = waiting

    def sent(self) -> None:
        if self._waiting is not None:
            self.until = time.monotonic() + self._waiting.sent()

    def left_to_send(self) -> float:
        """Seconds, at least a millisecond."""
        return max(self.ends_at - time.monotonic(), 0.001)

    def left(self) -> float:
        """Seconds that the headers are waited for, at least a millisecond."""
        return max(self.until - time.monotonic(), 0.001)


task = Task()


class HeadersPending(Exception):
    """The patience is over, the answer's headers are not here; not an OSError, so that urllib3
    does not take it for one of its own."""

    def __init__(self, listener: Listener, reader: HeadReader):
        super().__init__()
        self.listener = listener
        self.reader = reader


class StaleConnection(Exception):
    """A kept connection that the upstream had closed before it saw the request."""


class Begun:
    """An answer whose head was read, as far as urllib3 and requests look at it."""

    version_string, length_remaining = "HTTP/1.1", None  # for a debugging log
    _pool: Any = None
    _connection: Any = None

    def __init__(self, listener: Listener, head: Head):
        self._listener = listener
        self._head: Head | None = head
        self.status = head.status
        self.headers: dict[str, str] = {}  # urllib3 looks for Retry-After; retrying is the relay's

    def answer(self, watch: Watch) -> Answer:
        """What the relay gets, once: the head is not kept as long as a stream runs."""
        head, self._head = self._head, None
        assert head is not None
        return Answer(head.status, head.headers, SocketBody(self._listener, head, watch, self._release))

    def _release(self, whole: bool) -> None:
        """Give the connection back; closed unless the answer was read as a *whole*."""
        if not whole:
            self._connection.close()
        self._pool._put_conn(self._connection)


class _Listening:
    """What both kinds of connection add to urllib3's."""

    answered = 0
    listener: Listener | None = None

    def connect(self) -> None:
        super().connect()
        self.listener = listener_of(self.sock)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        super().close()

    def _new_conn(self) -> socket.socket:
        """As urllib3's; but a host's addresses share the time that connecting may take, TLS included."""
        try:
            return dialled(self._dns_host, self.port, self.timeout, self.socket_options or ())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "it took too long") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **_: Any) -> None:
        if self.sock is None:
            self.connect()
        sock = self.sock
        if task.watch is not None:
            task.watch.upstream(sock)
        # The connect timeout is not for sending: sendall() takes it for all that it is given.
        sock.settimeout(task.left_to_send())
        self.reader = HeadReader(method)
        head = _request_head(method, url, headers)
        try:
            if isinstance(body, bytes):
                sock.sendall(head + body)
                task.sent()
                return
            sock.sendall(head)
            for piece in body or ():
                sock.settimeout(task.left_to_send())
                sock.sendall(piece)
            task.sent()
        except BaseException:  # a killed greenlet's, too
            if task.watch is not None:
                task.watch.release()  # before the socket's number can become another's
            raise

    def getresponse(self) -> Any:
        listener, watch = self.listener, task.watch
        if watch is not None:
            watch.upstream(self.sock)
        try:
            head = read_head(listener, self.reader, task.left())
        except TimeoutError:
            self.sock = self.listener = None  # so that urllib3's clean-up leaves them open
            raise HeadersPending(listener, self.reader) from None
        except BaseException as error:  # a killed greenlet's, too
            if watch is not None:
                watch.release()  # before the socket's number can become another's
            if self.answered and isinstance(error, _CLOSED):
                raise StaleConnection from None
            raise
        self.answered += 1
        return Begun(listener, head)


_CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class _PlainConnection(_Listening, HTTPConnection):
    @property
    def is_connected(self) -> bool:
        # urllib3 polls, which under gevent costs four times as much as asking for a byte: an idle
        # connection has none, unless it was closed.
        if self.sock is None:
            return False
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


class _TlsConnection(_Listening, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class PinnedContext(ssl.SSLContext):
    """Trusts one certificate, by its SHA-256, and that only if an authority vouches for it."""

    fingerprint = ""

    @classmethod
    def pinned(cls, cafile: str, fingerprint: str) -> "PinnedContext":
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile)
        context.fingerprint = fingerprint
        return context

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        sock = super().wrap_socket(*args, **kwargs)
        if hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest() != self.fingerprint:
            sock.close()
            error = ssl.SSLCertVerificationError("another certificate")
            error.verify_message = "it is not the one that is pinned"
            raise error
        return sock


class ChannelAdapter(HTTPAdapter):
    """The connections of one channel and of those that connect as it does: TLS settings, proxy and kept
    connections. (A TLS context takes 10 ms and half a megabyte: not for each of ten thousand.)"""

    def __init__(self, channel: Channel):
        self._channel = channel
        self._pools: dict[str, Any] = {}
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_maxsize=_IDLE_CONNECTIONS)

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        url = request.url
        origin = url[: url.find("/", 8)]
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._open_pool(origin)
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        return request.url[request.url.find("/", 8) :]

    def close(self) -> None:
        super().close()
        for pool in self._pools.values():
            pool.close()

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Done once, in the channel's SSLContext, instead of once a connection."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        # Nobody here needs a requests.Response, which makes a cookie jar with a lock to begin with;
        # only the `responses` library, in the network's place, does.
        return resp if isinstance(resp, Begun) else super().build_response(req, resp)

    def _open_pool(self, origin: str) -> Any:
        parts = urlsplit(origin)
        provider = self._channel.provider
        if provider.respond is not None:
            pool = _PlainPool(parts.hostname, parts.port, maxsize=_IDLE_CONNECTIONS)
            pool.ConnectionCls = _in_process_connection(provider.respond)
            return pool
        keywords: dict[str, Any] = {"maxsize": _IDLE_CONNECTIONS}
        if parts.scheme == "https":
            keywords["ssl_context"] = self._tls_context()
        proxy = self._channel.settings.proxy
        if proxy:
            manager = urllib3.ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **keywords)
        else:
            manager = urllib3.PoolManager(**keywords)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        return manager.connection_from_host(parts.hostname, parts.port, parts.scheme)

    def _tls_context(self) -> ssl.SSLContext:
        # Loading the certificates takes some 10 ms: not once a connection.
        if self._context is None:
            tls = self._channel.settings.tls
            cafile = (tls and tls.ca) or requests.certs.where()
            pin = tls.fingerprint if tls else None
            context = PinnedContext.pinned(cafile, pin) if pin else ssl.create_default_context(cafile=cafile)
            if tls and tls.cert:
                context.load_cert_chain(tls.cert, tls.key)
            self._context = context
        return self._context


def _proxy_headers(proxy: str) -> dict[str, str]:
    """Who we are to a proxy whose address names a user."""
    user = urlsplit(proxy).netloc.rpartition("@")[0]
    return dict(urllib3.make_headers(proxy_basic_auth=unquote(user))) if user else {}


def _in_process_connection(respond: Any) -> type:
    """A connection class whose other end is a thread of ours that answers with *respond*."""

    def connect(self: Any) -> None:
        self.sock = in_process.connect(respond)
        self.listener = listener_of(self.sock)

    return type("InProcessConnection", (_Listening, HTTPConnection), {"connect": connect})


def _request_head(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    """Raises ValueError for a header that would begin another line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if _LINE_BREAK.search(" ".join(lines)):
        raise ValueError("a header of the upstream request holds a line break")
    return "\r\n".join([f"{method} {url} HTTP/1.1", *lines, "", ""]).encode("latin-1")
