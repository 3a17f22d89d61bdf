"""The only upstream sockets. The one door to requests and urllib3.

A channel's ``requests`` adapter sends a prepared request (an adapter costs a third of a Session,
and reads no proxies from the environment); it brings connections, pools, proxies and TLS. What
goes over a connection is written and read here: a request with its body leaves in one piece, and
the answer is read from the bare socket (response_head.py, upstream_body.py), because every reader
above it either holds events back or cannot be read again after a timeout.

A streamed call may have to wait for headers longer than its own client's patience. ``send`` then
gives a ``Pending`` answer instead of failing: the connection is taken out of urllib3, the request
stays sent, and ``Pending.wait`` goes on listening.
"""

import http.client
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateway import in_process
from gateway.bodies import FileBody, JsonBody
from gateway.departures import Watch
from gateway.dialects.vocabulary import Media
from gateway.domain import Channel, UpstreamRequest
from gateway.errors import BadRequest, ChannelTimeout, ChannelUnreachable, ClientGone
from gateway.fetching import fetch
from gateway.response_head import Head, HeadReader
from gateway.upstream_body import Answer, PlainBody, SocketBody

log = logging.getLogger("gateway.transport")

_PIECE = 64 * 1024
_LINE_BREAK = re.compile(r"[\r\n\0]")
_IDLE_CONNECTIONS = 256  # kept per channel; further ones are opened and closed as needed


class _Task(threading.local):
    """What the call that runs in this thread (or greenlet) wants of its connection."""

    watch: Watch | None = None


_task = _Task()


class HeadersPending(Exception):
    """The patience is over, the answer's headers are not here; not an OSError, so that urllib3
    does not take it for one of its own."""

    def __init__(self, sock: Any, reader: HeadReader):
        super().__init__()
        self.sock = sock
        self.reader = reader


class StaleConnection(Exception):
    """A kept connection that the upstream had closed before it saw the request."""


class _Begun:
    """An answer whose head was read, as far as urllib3 and requests look at it."""

    version_string, length_remaining = "HTTP/1.1", None  # for a debugging log
    _pool: Any = None
    _connection: Any = None

    def __init__(self, sock: Any, head: Head):
        self.sock = sock
        self.head = head
        self.status = head.status
        self.headers: dict[str, str] = {}  # urllib3 looks for Retry-After; retrying is the relay's

    def release(self, whole: bool) -> None:
        """Give the connection back; closed unless the answer was read as a *whole*."""
        if not whole:
            self._connection.close()
        self._pool._put_conn(self._connection)


class _Listening:
    """What both kinds of connection add to urllib3's."""

    answered = 0

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **_: Any) -> None:
        if self.sock is None:
            self.connect()
        sock = self.sock
        sock.settimeout(None)  # the connect timeout is not for sending: sendall() takes it for the whole body
        self.reader = HeadReader(method)
        head = _request_head(method, url, headers)
        if isinstance(body, bytes):
            sock.sendall(head + body)
            return
        sock.sendall(head)
        for piece in body or ():
            sock.sendall(piece)

    def getresponse(self) -> Any:
        sock, watch = self.sock, _task.watch
        if watch is not None:
            watch.upstream(sock)
        sock.settimeout(self.timeout)
        try:
            head = _read_head(sock, self.reader)
        except TimeoutError:
            self.sock = None  # so that urllib3's clean-up leaves it open
            raise HeadersPending(sock, self.reader) from None
        except BaseException as error:
            if watch is not None:
                watch.release()  # before the socket's number can become another's
            if self.answered and isinstance(error, _CLOSED):
                raise StaleConnection from None
            raise
        self.answered += 1
        return _Begun(sock, head)


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


class ChannelAdapter(HTTPAdapter):
    """The connections of one channel: its own TLS settings, proxy and kept connections."""

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

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Done once, in the channel's SSLContext, instead of once a connection."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        # Nobody here needs a requests.Response, which makes a cookie jar with a lock to begin with;
        # only the `responses` library, in the network's place, does.
        return resp if isinstance(resp, _Begun) else super().build_response(req, resp)

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
        # Loading the certificates takes some 10 ms: once a channel, not once a connection.
        if self._context is None:
            tls = self._channel.settings.tls
            cafile = (tls and tls.ca) or requests.certs.where()
            context = ssl.create_default_context(cafile=cafile)
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

    return type("InProcessConnection", (_Listening, HTTPConnection), {"connect": connect})


class Pending:
    """An answer whose headers are still to come."""

    def __init__(self, pending: HeadersPending, watch: Watch):
        self._sock = pending.sock
        self._reader = pending.reader
        self._watch = watch

    def wait(self, seconds: float) -> Answer | None:
        """The answer, or None when it did not begin within *seconds*.

        Raises ChannelUnreachable when the connection broke.
        """
        sock = self._sock
        try:
            sock.settimeout(seconds)
            head = _read_head(sock, self._reader)
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ChannelUnreachable(f"the connection broke before an answer began ({_reason(error)})") from None
        body = SocketBody(sock, head, self._watch, lambda whole: sock.close())
        return Answer(head.status, head.headers, body)

    def close(self) -> None:
        self._watch.release()
        self._sock.close()


class Transport:
    """All channels' connections of one configuration."""

    def __init__(self) -> None:
        self._adapters: dict[str, ChannelAdapter] = {}

    def send(self, channel: Channel, request: UpstreamRequest, patience: float, watch: Watch) -> Answer | Pending:
        """Send *request* and wait up to *patience* seconds for the answer's headers.

        Raises ChannelUnreachable or ChannelTimeout (of the connection); never names the URL,
        whose query may hold a key.
        """
        adapter = self._adapters.get(channel.name)
        if adapter is None:
            adapter = self._adapters.setdefault(channel.name, ChannelAdapter(channel))
        prepared = _prepare(request)
        proxy = channel.settings.proxy
        try:
            return self._send(adapter, prepared, (channel.timeouts.connect, patience), proxy, watch)
        except requests.ConnectTimeout:
            raise ChannelTimeout("the connection took too long", code="upstream_connect_timeout") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            raise ChannelUnreachable(f"no connection ({_reason(error)})") from None

    def _send(self, adapter: ChannelAdapter, prepared: Any, timeout: Any, proxy: str | None, watch: Watch) -> Any:
        proxies = {"all": proxy} if proxy else None
        while True:
            _task.watch = watch
            try:
                response = adapter.send(prepared, stream=True, timeout=timeout, proxies=proxies)
                return _answer(response, watch)
            except StaleConnection:
                if watch.gone:  # it was closed from here, and did see the request
                    raise ClientGone("the client closed its connection") from None
                continue  # every kept connection is tried at most once: it is closed by now
            except HeadersPending as pending:
                return Pending(pending, watch)
            finally:
                _task.watch = None

    def fetcher(self, channel: Channel) -> Callable[[Media], None]:
        """How media that clients name by URL is fetched for *channel*. The result raises BadRequest."""
        if not channel.settings.fetch:
            return _refuse("this channel fetches nothing (`fetch: false`); send the data itself")
        if channel.settings.proxy:
            return _refuse("nothing is fetched for a channel behind a proxy; send the data itself")
        return fetch

    def close(self) -> None:
        """Drop the kept connections; those in use go on and are closed when they end."""
        for adapter in self._adapters.values():
            adapter.close()
            for pool in adapter._pools.values():
                pool.close()


def _refuse(reason: str) -> Callable[[Media], None]:
    def refuse(media: Media) -> None:
        raise BadRequest(f"the media URL cannot be fetched: {reason}", code="media_not_fetched")

    return refuse


def _prepare(request: UpstreamRequest) -> requests.PreparedRequest:
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = dict(request.headers)  # type: ignore[assignment]
    prepared.headers.setdefault("host", _host(request.url))
    body = request.body
    if isinstance(body, JsonBody):
        prepared.body = body.data
    elif isinstance(body, FileBody):
        prepared.body = body  # type: ignore[assignment]
    if body is not None:
        prepared.headers["Content-Length"] = str(len(body))
    return prepared


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return host.removesuffix(":443" if parts.scheme == "https" else ":80")


def _request_head(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    """Raises ValueError for a header that would begin another line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if _LINE_BREAK.search(" ".join(lines)):
        raise ValueError("a header of the upstream request holds a line break")
    return "\r\n".join([f"{method} {url} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def _read_head(sock: Any, reader: HeadReader) -> Head:
    while data := sock.recv(_PIECE):
        head = reader.feed(data)
        if head is not None:
            return head
    raise http.client.RemoteDisconnected("the upstream closed the connection without an answer")


def _answer(begun: Any, watch: Watch) -> Answer:
    if isinstance(begun, _Begun):
        return Answer(begun.status, begun.head.headers, SocketBody(begun.sock, begun.head, watch, begun.release))
    raw = begun.raw  # no connection of ours: the `responses` library stands in for the network
    return Answer(raw.status, list(raw.headers.items()), PlainBody(raw))


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words; the outer ones repeat the URL."""
    seen: BaseException | None = error
    deepest = error
    while seen is not None:
        deepest = seen
        inner = getattr(seen, "reason", None) or (seen.args[-1] if seen.args else None)
        seen = inner if isinstance(inner, BaseException) else (seen.__cause__ or seen.__context__)
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return f"TLS: {deepest.verify_message}"
    if isinstance(deepest, ssl.SSLError):
        return f"TLS: {deepest.reason or 'failed'}"
    if isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror.lower()
    return type(deepest).__name__

