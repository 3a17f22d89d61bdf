"""The only upstream sockets. The one door to requests and urllib3, with connections.py.

A channel's ``requests`` adapter sends a prepared request (an adapter costs a third of a Session,
and reads no proxies from the environment).

A streamed call may have to wait for headers longer than its own client's patience. ``send`` then
gives a ``Pending`` answer instead of failing: the connection is taken out of urllib3, the request
stays sent, and ``Pending.wait`` goes on listening.
"""

import functools
import http.client
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from gateway.bodies import FileBody, JsonBody
from gateway.config.origins import is_own
from gateway.departures import Watch, watch
from gateway.dialects.vocabulary import Media
from gateway.domain import Channel, UpstreamRequest
from gateway.errors import ChannelTimeout, ChannelUnreachable, ClientGone
from gateway.transport.connections import Begun, ChannelAdapter, HeadersPending, StaleConnection, Waiting, task
from gateway.transport.egress import Cache, HttpClient, Tools
from gateway.transport.fetching import fetch
from gateway.transport.listening import read_head
from gateway.transport.upstream_body import Answer, PlainBody, SocketBody

log = logging.getLogger("gateway.transport")

class Pending:
    """An answer whose headers are still to come."""

    def __init__(self, pending: HeadersPending, watch: Watch):
        self._listener = pending.listener
        self._reader = pending.reader
        self._watch = watch

    def wait(self, seconds: float) -> Answer | None:
        """The answer, or None when it did not begin within *seconds*.

        Raises ChannelUnreachable when the connection broke.
        """
        listener = self._listener
        try:
            head = read_head(listener, self._reader, seconds)
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ChannelUnreachable(f"the connection broke before an answer began ({_reason(error)})") from None
        body = SocketBody(listener, head, self._watch, lambda whole: listener.close())
        return Answer(head.status, head.headers, body)

    def close(self) -> None:
        self._watch.release()
        self._listener.close()


class _Span:
    """Waiting for no longer than *seconds* from now, whatever for."""

    def __init__(self, seconds: float):
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        return max(self._until - time.monotonic(), 0.001)

    ends_in = sent = left


class Transport:
    """All channels' connections of one configuration."""

    def __init__(self) -> None:
        self._adapters: dict[tuple[Any, ...], ChannelAdapter] = {}  # by how they connect, which many may do alike
        self._tools: dict[str, Tools] = {}

    def send(self, channel: Channel, request: UpstreamRequest, watch: Watch, waiting: Waiting) -> Answer | Pending:
        """Connect, send *request*, and wait for the answer's headers; Pending when *waiting* wants to be asked again.

        Raises ChannelUnreachable or ChannelTimeout (of the connection); never names the URL,
        whose query may hold a key.
        """
        alike = id(channel.provider.respond), channel.settings.proxy, channel.settings.tls
        adapter = self._adapters.get(alike)
        if adapter is None:
            adapter = self._adapters.setdefault(alike, ChannelAdapter(channel))
        try:
            task.begins(waiting, channel.timeouts.total)
            return self._send(adapter, _prepare(request), channel, watch)
        except requests.ConnectTimeout:
            raise ChannelTimeout("the connection took too long", code="upstream_connect_timeout") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            raise ChannelUnreachable(f"no connection ({_reason(error)})") from None

    def _send(self, adapter: ChannelAdapter, prepared: Any, channel: Channel, watch: Watch) -> Any:
        proxies = {"all": channel.settings.proxy} if channel.settings.proxy else None
        while True:
            task.watch = watch
            timeout = (min(channel.timeouts.connect, task.left_to_send()), None)  # what is read has its own: `task`
            try:
                response = adapter.send(prepared, stream=True, timeout=timeout, proxies=proxies)
                return _answer(response, watch)
            except StaleConnection:
                if watch.gone:  # it was closed from here, and did see the request
                    raise ClientGone("the client closed its connection") from None
                watch.stale += 1
                continue  # every kept connection is tried at most once: it is closed by now
            except HeadersPending as pending:
                return Pending(pending, watch)
            finally:
                task.watch = None

    def tools(self, channel: Channel) -> Tools:
        """What the channel's plugin may use to sign; kept as long as the configuration is."""
        tools = self._tools.get(channel.name)
        if tools is None:
            without_proxy = replace(channel, settings=replace(channel.settings, proxy=None))

            def send(request: UpstreamRequest, seconds: float) -> Answer:
                by = without_proxy if is_own(request.url) else channel
                # No watch on any client: whoever else waits for the same token is still there.
                answer = self.send(by, request, watch(None), _Span(seconds))
                if isinstance(answer, Pending):
                    answer.close()
                    raise ChannelTimeout("the plugin's request got no answer in time")
                return answer

            log = logging.getLogger(f"gateway.plugins.{channel.provider.name}")
            tools = Tools(HttpClient(channel.egress, send), Cache(log=log), log)
            tools = self._tools.setdefault(channel.name, tools)
        return tools

    def fetcher(self, channel: Channel) -> Callable[[Media], None]:
        """How media that clients name by URL is fetched for *channel*. The result raises BadRequest."""
        return functools.partial(fetch, hosts=channel.settings.fetch)

    def close(self) -> None:
        """Drop the kept connections; those in use go on and are closed when they end."""
        for adapter in self._adapters.values():
            adapter.close()


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


def _answer(begun: Any, watch: Watch) -> Answer:
    if isinstance(begun, Begun):
        return begun.answer(watch)
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

