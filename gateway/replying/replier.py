"""Ready answers and upstream errors become what the client gets."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from gateway import headers as header_rules
from gateway import json_text, sse, uploads
from gateway.account import Account
from gateway.attempt.attempt import Ready
from gateway.attempt.plugin_filter import PluginFilter
from gateway.attempt.verdicts import REFUSED_KEY
from gateway.concealing import forms_of, without
from gateway.dialects.registry import FACES
from gateway.domain import COMPLETE, Answered, Call, UpstreamReply
from gateway.errors import ChannelAnswered, ChannelFailed, StreamCut, with_status
from gateway.include_usage import UsageChunkFilter
from gateway.interpreter import wants_array
from gateway.loading import Gateway
from gateway.plugin_manager import Plugin, ask
from gateway.replying.reply_filters import TOO_LARGE, OwnPieces, ReplyFilters
from gateway.replying.stream import Stream, bytes_of, events_of, waiting_for
from gateway.timing import server_timing
from gateway.usage_reading import UsageTap, tap_for
from gateway.wishes import NO_WISHES

Headers = list[tuple[str, str]]
Trial = Generator[None, None, Ready]


@dataclass(slots=True)
class Reply:
    """What the client gets; a Stream must be closed by whoever reads it."""

    status: int
    headers: Headers
    body: bytes | Stream = field(repr=False)


class Replier:
    """Makes the reply of one call."""

    def __init__(self, gateway: Gateway, call: Call, account: Account):
        self._gateway = gateway
        self._call = call
        self._account = account
        self._face = FACES[call.dialect]
        self._filters = ReplyFilters(gateway.plugins.on("filter_reply"), call)

    def begun(self, ready: Ready) -> Reply:
        """The reply to an answer that has begun, with its true status."""
        try:
            return self._begun(ready)
        except BaseException:  # a killed greenlet's, too, gives the connection back
            ready.answer.body.close()
            raise

    def _begun(self, ready: Ready) -> Reply:
        answer, account = ready.answer, self._account
        account.status = answer.status
        own = {name for name, _ in self._call.reply_headers}  # the key's limits stand in for the upstream's
        passed = [pair for pair in header_rules.returned(answer.headers) if pair[0] not in own]
        if uploads.is_upload(self._call.endpoint.path):
            passed = uploads.led_back(passed, self._call, ready.candidate.channel, time.time())
        if ready.events:
            passed = [pair for pair in passed if pair[0] not in ("content-type", "cache-control")]
            headers = self._stream_headers() + passed + self._own_headers(ready)
            answer.headers = []  # not kept as long as the stream runs
            return Reply(answer.status, headers, self._stream(self.events(ready), answer.body, ready))
        if ready.media_type:
            passed = [pair for pair in passed if pair[0] not in ("content-type", "content-encoding")]
            passed.insert(0, ("content-type", ready.media_type))
        headers = passed + self._own_headers(ready)
        if ready.whole:
            return self._whole(ready, headers)
        if self._filters:
            raise StreamCut(TOO_LARGE, code="reply_too_large")
        length = answer.header("content-length")
        if length:
            headers.append(("content-length", length))
        pieces = bytes_of(ready, account, self._tapped(ready))
        return Reply(answer.status, headers, Stream(account, pieces, answer.body))

    def waiting(self, trial: Trial, listening: Trial) -> Reply:
        """The reply to a call whose channels have not answered yet: its headers leave now.
        *listening* steps *trial* on, once a keep-alive."""
        self._account.status = 200
        pieces = waiting_for(listening, self._late, self._face.KEEP_ALIVE)
        headers = self._stream_headers() + self._own_headers(None)
        return Reply(200, headers, self._stream(pieces, trial, None))

    def answered(self, answered: Answered, plugin: Plugin) -> Reply:
        """The reply that *plugin* gives in place of any channel's."""
        account, filters = self._account, self._filters.before(plugin, self._gateway.plugins.gateway)
        account.status, account.channel = answered.status, plugin.source.name
        headers = [*answered.headers.items(), ("x-request-id", self._call.id), *self._call.reply_headers]
        events = header_rules.Headers(answered.headers).get("content-type", "").startswith("text/event-stream")
        body = answered.body
        if not isinstance(body, bytes):
            pieces = OwnPieces(plugin, body)
            if events or not filters:
                if filters:  # its length will be another
                    headers = [pair for pair in headers if pair[0].lower() != "content-length"]
                passed = _passed(pieces, filters if events else None, account)
                return Reply(answered.status, headers, self._stream(passed, pieces, None, events))
            body = pieces.joined()
        if events:
            body = filters.events(body)
        elif filters:
            response = UpstreamReply(answered.status, header_rules.Headers(headers), body)
            filters.reply(response)
            account.status, headers, body = response.status, list(response.headers.items()), response.body
        account.bytes_out = len(body)
        account.ended(COMPLETE)
        account.close()
        return Reply(account.status, headers, body)

    def own(self, document: bytes, header: tuple[str, str]) -> Reply:
        """A reply that needed no channel."""
        account = self._account
        account.status, account.bytes_out = 200, len(document)
        account.ended(COMPLETE)
        account.close()
        headers = [("content-type", "application/json"), ("x-request-id", self._call.id), header]
        return Reply(200, headers + self._call.reply_headers, document)

    def upstream_error(self, error: ChannelAnswered) -> Reply:
        """The last upstream's own words, as they came if it speaks the client's dialect.

        Raises it as a 502 when the upstream refused the gateway's key: to the client a 401
        would read as if its own were wrong.
        """
        secrets = self._secrets(error)
        message = without(secrets, error.fault.message)
        if error.status in REFUSED_KEY:
            text = f"the channel refused the gateway's key: {message}"
            raise ChannelAnswered(with_status(error.fault, 502, text))  # anew: a frame that raises what it holds stays
        if message != error.fault.message or any(secret.encode() in error.document for secret in secrets):
            error.fault, error.document = replace(error.fault, message=message, details=None), b""
        call, account = self._call, self._account
        account.failed(error)
        account.status = error.status
        document = error.document or json_text.write(self._face.error_body(error.fault, call.id))
        passed = header_rules.returned(error.headers)
        passed = [pair for pair in passed if pair[0] not in ("content-type", "content-encoding")]
        headers = [("content-type", "application/json"), *passed, *self._own_headers(None)]
        account.bytes_out = len(document)
        account.close()
        return Reply(error.status, headers, document)

    def _secrets(self, error: ChannelAnswered) -> list[str]:
        """What the channel was signed with, in all its forms: its keys, and what a plugin made of them.
        Vendors like to repeat the key that they refuse."""
        candidate = self._account.candidate
        keys = [key.reveal() for key in candidate.channel.keys] if candidate is not None else []
        signs = [sign.rpartition(" ")[2] for sign in error.secrets]  # without the scheme before it
        return forms_of(keys + signs)

    def events(self, ready: Ready) -> Generator[bytes, None, None]:
        """The events of *ready*: as they came, through the provider plugin's filter, translated."""
        channel, filters = ready.candidate.channel, self._tapped(ready)
        plugin = self._gateway.provider_plugins.get(channel.provider.name)
        if ready.withholds:
            filters.append(UsageChunkFilter())
        if plugin is not None and "rewrite_stream" in plugin.hooks:
            own = ask(plugin, "rewrite_stream", call=self._call, channel=channel)
            filters += [PluginFilter(plugin, own)] if own is not None else []
        if ready.interpreter is not None:
            filters.append(ready.interpreter.stream_filter())
            self._broken = filters[-1].broken
        filters += self._filters.on_events()
        face, keep_alive = FACES[ready.candidate.dialect], self._face.KEEP_ALIVE
        keepalive_every = self._gateway.settings.routing.keepalive
        return events_of(ready, face, (keep_alive, keepalive_every), self._account, filters)

    def _tapped(self, ready: Ready) -> list[UsageTap]:
        """The tap that stands first in an answer, if it has a usage."""
        candidate = ready.candidate
        plugin = self._gateway.provider_plugins.get(candidate.channel.provider.name)
        tap = tap_for(self._call, candidate.channel, candidate.dialect, plugin, self._call.counted)
        self._account.tap = tap
        return [tap] if tap is not None else []

    def _late(self, ready: Ready) -> Generator[bytes, None, None]:
        if ready.events:
            yield from self.events(ready)
        elif ready.media_type == dict(self._stream_headers())["content-type"]:
            for tap in self._tapped(ready):
                tap.look(ready.original)
            self._account.began()
            yield self._filters.events(ready.first)
        elif wants_array(self._call) and not ready.media_type:  # the array is the channel's own
            yield from bytes_of(ready, self._account, self._tapped(ready))
        else:  # the headers promised events; a whole document cannot be told any more
            raise StreamCut("the channel answered without streaming", code="upstream_not_streamed")

    _broken = None

    def _stream(
        self, pieces: Generator[bytes, None, None], owned: object, ready: Ready | None, events: bool = True
    ) -> Stream:
        def error_event(fault, request_id):
            return (self._broken or self._face.error_event)(fault, request_id)

        return Stream(self._account, pieces, owned, error_event if events else None)

    def _whole(self, ready: Ready, headers: Headers) -> Reply:
        ready.answer.body.close()
        account, channel = self._account, ready.candidate.channel
        status, body = ready.answer.status, ready.first
        plugin = self._gateway.provider_plugins.get(channel.provider.name)
        for tap in self._tapped(ready):
            said = ready.original or body
            (tap.look if said.lstrip()[:1] in (b"{", b"[") else tap.feed)(said)
        if plugin is not None and "rewrite_response" in plugin.hooks:
            response = UpstreamReply(status, header_rules.Headers(headers), body)
            ask(plugin, "rewrite_response", call=self._call, channel=channel, response=response)
            status, headers, body = response.status, list(response.headers.items()), response.body
            account.status = status
        if ready.media_type.startswith("text/event-stream"):
            body = self._filters.events(body)
        elif self._filters:
            response = UpstreamReply(status, header_rules.Headers(headers), body)
            if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise ChannelFailed("the channel packed its reply: this gateway's policies cannot look into it")
            self._filters.reply(response)
            status, headers, body = response.status, list(response.headers.items()), response.body
            account.status = status
        account.began()
        account.bytes_out = len(body)
        account.ended(COMPLETE)
        account.close()
        return Reply(status, headers, body)

    def _stream_headers(self) -> Headers:
        media_type = "application/json" if wants_array(self._call) else "text/event-stream; charset=utf-8"
        # nginx would gather events otherwise
        return [("content-type", media_type), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]

    def _own_headers(self, ready: Ready | None) -> Headers:
        call = self._call
        headers = [
            ("x-request-id", call.id),
            ("x-gateway-channel", self._account.channel),
            ("x-gateway-attempts", str(max(len(call.attempts), 1))),
        ]
        if ready is not None and ready.dropped:
            headers.append(("x-gateway-dropped", ", ".join(_printable(n) for n in ready.dropped)[:4000]))
        headers += call.reply_headers
        headers += shown_route(call)
        if call.principal.show_timing:
            headers.append(("server-timing", server_timing(call, self._account.queued)))
        warning = "; ".join(filter(None, self._warnings(ready)))
        return headers + ([("x-gateway-warning", _printable(warning, 4000))] if warning else [])

    def _warnings(self, ready: Ready | None) -> Iterator[str]:
        if self._call.wishes is not NO_WISHES:
            yield self._call.wishes.warning(ready.candidate.channel if ready is not None else None)
        if ready is not None and ready.interpreter is not None and ready.interpreter.left_out:
            yield f"{', '.join(ready.interpreter.left_out)}: left out of the reply"


def _passed(pieces: OwnPieces, filters: ReplyFilters | None, account: Account) -> Generator[bytes, None, None]:
    """The *pieces*, through *filters* over whole events."""
    chain = filters.on_events() if filters else []
    splitter = sse.Splitter()
    account.began()
    for piece in pieces:
        if chain:
            piece = splitter.feed(piece)
        for each in chain:
            piece = each.feed(piece) if piece else b""
        yield piece
    rest = splitter.rest()
    for each in chain:
        rest = (each.feed(rest) if rest else b"") + each.close()
    if rest:
        yield rest


def shown_route(call: Call) -> Headers:
    """The attempts so far, for a key that may see them."""
    if not call.principal.show_route or not call.attempts:
        return []
    return [("x-gateway-route", ", ".join(map(str, call.attempts)))]


def _printable(name: str, most: int = 200) -> str:
    """A client names the members of its own body: nothing in it may end a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name)[:most]
