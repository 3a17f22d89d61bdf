"""Ready answers and upstream errors become what the client gets."""

from collections.abc import Generator
from dataclasses import dataclass, field

from gateway import headers as header_rules
from gateway import json_text
from gateway.account import Account
from gateway.attempt import Ready
from gateway.dialects.registry import FACES
from gateway.domain import COMPLETE, Call, UpstreamReply
from gateway.errors import ChannelAnswered, StreamCut, with_status
from gateway.interpreter import wants_array
from gateway.loading import Gateway
from gateway.plugin_filter import PluginFilter
from gateway.plugin_manager import ask
from gateway.stream import Stream, bytes_of, events_of, waiting_for
from gateway.usage_tap import UsageTap
from gateway.wishes import NO_WISHES

Headers = list[tuple[str, str]]
Trial = Generator[None, None, Ready]

BAD_KEY = frozenset({401, 403})


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

    def begun(self, ready: Ready) -> Reply:
        """The reply to an answer that has begun, with its true status."""
        answer, account = ready.answer, self._account
        account.status = answer.status
        passed = header_rules.returned(answer.headers)
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
        length = answer.header("content-length")
        if length:
            headers.append(("content-length", length))
        return Reply(answer.status, headers, Stream(account, bytes_of(ready, account), answer.body))

    def waiting(self, trial: Trial, listening: Trial) -> Reply:
        """The reply to a call whose channels have not answered yet: its headers leave now.
        *listening* steps *trial* on, once a keep-alive."""
        self._account.status = 200
        pieces = waiting_for(listening, self._late, self._face.KEEP_ALIVE)
        headers = self._stream_headers() + self._own_headers(None)
        return Reply(200, headers, self._stream(pieces, trial, None))

    def own(self, document: bytes, header: tuple[str, str]) -> Reply:
        """A reply that needed no channel."""
        account = self._account
        account.status, account.bytes_out = 200, len(document)
        account.ended(COMPLETE)
        account.close()
        return Reply(200, [("content-type", "application/json"), ("x-request-id", self._call.id), header], document)

    def upstream_error(self, error: ChannelAnswered) -> Reply:
        """The last upstream's own words, as they came if it speaks the client's dialect.

        Raises *error* as a 502 when the upstream refused the gateway's key: to the client a 401
        would read as if its own were wrong.
        """
        if error.status in BAD_KEY:
            text = f"the channel refused the gateway's key: {self._without_keys(error.fault.message)}"
            error.fault, error.status = with_status(error.fault, 502, text), 502
            raise error
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

    def _without_keys(self, text: str) -> str:
        """Vendors like to repeat the key that they refuse."""
        for channel in self._gateway.channels:
            if channel.name == self._account.channel:
                for key in channel.keys:
                    text = text.replace(key.reveal(), "***")
        return text

    def events(self, ready: Ready) -> Generator[bytes, None, None]:
        """The events of *ready*: as they came, through the provider plugin's filter, translated."""
        channel, filters = ready.candidate.channel, []
        plugin = self._gateway.provider_plugins.get(channel.provider.name)
        if plugin is not None and "read_usage" in plugin.hooks:
            filters.append(UsageTap(plugin, channel, self._account))
        if plugin is not None and "rewrite_stream" in plugin.hooks:
            own = ask(plugin, "rewrite_stream", call=self._call, channel=channel)
            filters += [PluginFilter(plugin, own)] if own is not None else []
        if ready.interpreter is not None:
            filters.append(ready.interpreter.stream_filter())
            self._broken = filters[-1].broken
        face, keep_alive = FACES[ready.candidate.dialect], self._face.KEEP_ALIVE
        keepalive_every = self._gateway.settings.routing.keepalive
        return events_of(ready, face, (keep_alive, keepalive_every), self._account, filters)

    def _late(self, ready: Ready) -> Generator[bytes, None, None]:
        if ready.events:
            yield from self.events(ready)
        elif ready.media_type == dict(self._stream_headers())["content-type"]:
            yield ready.first
        elif wants_array(self._call) and not ready.media_type:  # the array is the channel's own
            yield from bytes_of(ready, self._account)
        else:  # the headers promised events; a whole document cannot be told any more
            raise StreamCut("the channel answered without streaming", code="upstream_not_streamed")

    _broken = None

    def _stream(self, pieces: Generator[bytes, None, None], owned: object, ready: Ready | None) -> Stream:
        def error_event(fault, request_id):
            return (self._broken or self._face.error_event)(fault, request_id)

        return Stream(self._account, pieces, owned, error_event)

    def _whole(self, ready: Ready, headers: Headers) -> Reply:
        ready.answer.body.close()
        account, channel = self._account, ready.candidate.channel
        status, body = ready.answer.status, ready.first
        plugin = self._gateway.provider_plugins.get(channel.provider.name)
        if plugin is not None and "read_usage" in plugin.hooks:
            UsageTap(plugin, channel, account).look(body)
        if plugin is not None and "rewrite_response" in plugin.hooks:
            response = UpstreamReply(status, header_rules.Headers(headers), body)
            ask(plugin, "rewrite_response", call=self._call, channel=channel, response=response)
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
        if ready is not None and ready.interpreter is not None and ready.interpreter.dropped:
            headers.append(("x-gateway-dropped", ", ".join(_printable(n) for n in ready.interpreter.dropped)[:4000]))
        headers += shown_route(call)
        if call.wishes is not NO_WISHES:
            warning = call.wishes.warning(ready.candidate.channel if ready is not None else None)
            headers += [("x-gateway-warning", _printable(warning, 4000))] if warning else []
        return headers


def shown_route(call: Call) -> Headers:
    """The attempts so far, for a key that may see them."""
    if not call.principal.show_route or not call.attempts:
        return []
    return [("x-gateway-route", ", ".join(map(str, call.attempts)))]


def _printable(name: str, most: int = 200) -> str:
    """A client names the members of its own body: nothing in it may end a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name)[:most]
