"""One try on one channel with one key: send, wait for the first thing worth showing, judge it.

An answer is judged by what it is, not by what was asked for: server-sent events are a stream, and
anything else is whole. As long as nothing was shown to the client, whatever is wrong with an answer
is only this channel's failure.
"""

import math
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from gateway import json_text, sse
from gateway.attempt.decoding import ENDINGS, EVENTS, DecodedBody, EndDecoder
from gateway.attempt.patience import Patience
from gateway.attempt.plugin_filter import PluginFilter
from gateway.attempt.upstream_request import apply_edits, authorize, build_request
from gateway.config.kinds import Secret
from gateway.departures import Watch
from gateway.dialects.registry import FACES
from gateway.domain import COMPACT, GENERATE, Call, Candidate, UpstreamReply, UpstreamRequest
from gateway.errors import ChannelAnswered, ChannelFailed, ChannelTimeout, ChannelUnreachable, ClientGone, Fault
from gateway.headers import Headers
from gateway.include_usage import usage_edits
from gateway.interpreter import Interpreter, interpreter_for
from gateway.plugin_manager import Plugin, ask
from gateway.transport.transport import Answer, Pending, Transport
from gateway.transport.upstream_body import Silence

MOST_HELD = 1024 * 1024  # a whole reply up to this size is read before it is passed on
_MOST_ERROR = 1024 * 1024
_MOST_TRANSLATED = 64 * 1024 * 1024
_ERROR_DOCUMENT = re.compile(rb'\s*(?:\[\s*)?\{\s*"error"\s*:\s*[{"]')

_ANSWERS = frozenset({GENERATE, COMPACT})

Waiting = Generator[None, None, Any]  # yields whenever the caller's patience is over


@dataclass(slots=True)
class Ready:
    """An answer that may be shown. ``first`` was read already; ``answer.body`` holds the rest
    unless ``whole``. ``events`` tells that it consists of server-sent events, which still are the
    channel's: ``interpreter`` translates them. What is whole has been translated."""

    candidate: Candidate
    answer: Answer = field(repr=False)
    first: bytes = field(repr=False)
    whole: bool
    events: bool
    ends_at: float  # when the attempt's time is used up, by time.monotonic()
    interpreter: Interpreter | None = None
    media_type: str = ""  # instead of the answer's own
    dropped: list[str] = field(default_factory=list)  # of the request, as the client named it
    original: bytes = field(default=b"", repr=False)  # what the channel said, where ``first`` is a translation
    withholds: bool = False  # the client did not ask for the usage that its stream tells


class Try:
    """The attempt itself. ``run`` is a generator, so that the relay can send headers and
    keep-alives while it waits; its return value is the Ready answer."""

    def __init__(self, call: Call, candidate: Candidate, key: Secret | None, plugin: Plugin | None):
        self.call = call
        self.candidate = candidate
        self.status = 0  # what the upstream said
        self._key = key
        self._plugin = plugin
        self._face = FACES[candidate.dialect]
        self._hooks = plugin.hooks if plugin is not None else {}
        self._dropped: list[str] = []
        self._withholds = False
        self._signs: tuple[str, ...] = ()  # the values of headers that the signature added
        self._interpreter = interpreter_for(call, candidate) if candidate.translated else None

    def run(self, transport: Transport, patience: Patience, watch: Watch) -> Waiting:
        """Raises ChannelFailed (ChannelAnswered when the upstream said what is wrong) or ClientGone."""
        patience.attempt_begins(self.candidate.channel.timeouts)
        try:
            answer = yield from self._send(transport, patience, watch)
            self.status = answer.status
            try:
                ready = yield from self._judge(answer, patience)
                ready.dropped = self._dropped
                ready.withholds = self._withholds
                return ready
            except BaseException:  # also when whoever drives this closes it
                answer.body.close()
                raise
        except ChannelFailed as error:
            if isinstance(error, ChannelAnswered):
                error.secrets = self._signs
            if watch.gone:  # we cut the connection ourselves, because nobody listens any more
                raise ClientGone("the client closed its connection") from None
            raise

    def _send(self, transport: Transport, patience: Patience, watch: Watch) -> Waiting:
        channel = self.candidate.channel
        translated = self._interpreter.request(transport.fetcher(channel)) if self._interpreter else None
        request = build_request(self.call, self.candidate, translated)
        if "rewrite_request" in self._hooks:
            ask(self._plugin, "rewrite_request", call=self.call, channel=channel, request=request)
        if self.call.counted:
            edits = usage_edits(self.call, channel, self.candidate.dialect)
            request.body_edits += edits
            self._withholds = bool(edits)
        apply_edits(request)
        self._dropped = [*(self._interpreter.dropped if self._interpreter else ()), *request.dropped]
        again = request.copy() if self._refreshes() else None
        answer = yield from self._exchange(transport, request, patience, watch, False)
        # AWS says 403 of credentials that ran out, which only those of a machine do.
        if again is not None and (answer.status == 401 or (answer.status == 403 and self._key is None)):
            answer.body.close()
            answer = yield from self._exchange(transport, again, patience, watch, True)
        return answer

    def _refreshes(self) -> bool:
        """Whether the plugin may have signed with something that ran out."""
        if "authorize" not in self._hooks or (self._key is None and not self.candidate.channel.provider.keyless):
            return False
        return any("refresh" in hook.argnames for hook in self._hooks["authorize"].get_hookimpls())

    def _exchange(
        self, transport: Transport, request: UpstreamRequest, patience: Patience, watch: Watch, refresh: bool
    ) -> Waiting:
        """Sign *request* and send it."""
        channel, signed = self.candidate.channel, False
        before = set(request.headers.values())
        if "authorize" in self._hooks and (self._key is not None or channel.provider.keyless):
            signed = ask(
                self._plugin, "authorize", channel=channel, key=self._key, request=request,
                tools=transport.tools(channel), refresh=refresh,
            )  # fmt: skip
            apply_edits(request)
        if not signed and self._key is not None:
            authorize(channel, self.candidate.dialect, self._key, request)
        self._signs += tuple(set(request.headers.values()) - before)
        try:
            answer = transport.send(channel, request, watch, patience)
        except ChannelTimeout:
            patience.check()  # it may be the call's time that is used up, not the channel's
            raise
        if isinstance(answer, Pending):
            answer = yield from self._wait(answer, patience)
        return answer

    def _wait(self, pending: Pending, patience: Patience) -> Waiting:
        try:
            while True:
                if patience.check():
                    yield
                answer = pending.wait(patience.left())
                if answer is not None:
                    return answer
        except BaseException:  # also when whoever drives this closes it
            pending.close()
            raise

    def _receive(self, answer: Answer, patience: Patience) -> Waiting:
        """The next piece of the body."""
        while True:
            try:
                return answer.body.receive(patience.left())
            except Silence:
                if patience.check():
                    yield

    def _judge(self, answer: Answer, patience: Patience) -> Waiting:
        media_type = answer.header("content-type").partition(";")[0].strip().lower()
        if answer.status >= 400 or answer.status < 200 or 300 <= answer.status < 400:
            data, _ = yield from self._hold(answer, patience, _MOST_ERROR)
            raise self._answered(answer, data)
        media_type = self._decoded(answer, media_type)
        packed = answer.header("content-encoding").lower() not in ("", "identity")
        if media_type == "text/event-stream" and not packed:
            if self._interpreter is None or self.call.stream:
                return (yield from self._first_event(answer, patience))
            data, _ = yield from self._hold(answer, patience, _MOST_TRANSLATED)
            return self._whole(answer, self._interpreter.gathered(data), patience, data)
        if self.call.operation in _ANSWERS and media_type == "text/html":
            raise ChannelUnreachable("the channel answered with a web page", code="upstream_not_an_api")
        checked = self.candidate.channel.provider.checks_ok
        most = 1 if self.call.stream and not checked else MOST_HELD  # a stream in another framing is not held back
        if self._interpreter or self.call.hold_whole or "rewrite_response" in self._hooks:
            most = _MOST_TRANSLATED
        data, whole = yield from self._hold(answer, patience, most)
        if self.call.operation in _ANSWERS and not packed:
            if not data:
                raise ChannelFailed("the channel's answer is empty", code="upstream_empty")
            if _ERROR_DOCUMENT.match(data):
                more, _ = yield from self._hold(answer, patience, _MOST_ERROR)
                raise self._answered(answer, data + more, 502)
            self._check(answer, data)
        if self._interpreter is None:
            return Ready(self.candidate, answer, data, whole, False, patience.total)
        if not self.call.stream:
            return self._whole(answer, self._interpreter.reply(data), patience, data)
        return self._whole(answer, self._interpreter.spread(data), patience, data, self._interpreter.media_type)

    def _whole(
        self, answer: Answer, data: bytes, patience: Patience, original: bytes, media_type: str = "application/json"
    ) -> Ready:
        """A translated reply; its body was read to the end, or to where nothing more is wanted."""
        answer.body.close()
        ready = Ready(self.candidate, answer, data, True, False, patience.total, self._interpreter, media_type)
        ready.original = original
        return ready

    def _hold(self, answer: Answer, patience: Patience, most: int) -> Waiting:
        """(bytes, whether that was all): the body, up to about *most* bytes of it."""
        pieces, size = [], 0
        while size < most:
            piece = yield from self._receive(answer, patience)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), False

    def _first_event(self, answer: Answer, patience: Patience) -> Waiting:
        """Reads until something worth showing is there: comments alone are not."""
        splitter, read, size = sse.Splitter(), [], 0
        while True:
            piece = yield from self._receive(answer, patience)
            size += len(piece)
            whole = splitter.feed(piece) if piece else splitter.rest()
            read.append(whole)
            found = sse.first_event(whole)
            if found is not None:
                fault = self._face.event_fault(found)
                if fault is not None:
                    raise ChannelAnswered(fault, answer.headers, b"", found.data)
                self._check(answer, found.data)
            if not piece and not found:
                raise ChannelFailed("the channel's stream is empty", code="upstream_empty")
            if found or size > MOST_HELD:
                break
        rest = splitter.rest()
        return Ready(self.candidate, answer, b"".join(read) + rest, not piece, True, patience.total, self._interpreter)

    def _decoded(self, answer: Answer, media_type: str) -> str:
        """The media type of what *answer* gives from here on: its plugin may know how to read a
        framing that is not the dialect's."""
        channel, decoder = self.candidate.channel, None
        if "decode_stream" in self._hooks:
            decoder = ask(self._plugin, "decode_stream", call=self.call, channel=channel, media_type=media_type)
        if decoder is not None:
            answer.body = DecodedBody(answer.body, PluginFilter(self._plugin, decoder, "decode_stream"))
            media_type = getattr(decoder, "media_type", EVENTS)
            kept = [pair for pair in answer.headers if pair[0].lower() not in ("content-type", "content-length")]
            answer.headers = [("content-type", media_type), *kept]
        if channel.provider.end and media_type == EVENTS and self.candidate.dialect in ENDINGS:
            answer.body = DecodedBody(answer.body, EndDecoder(channel.provider.end, self.candidate.dialect))
        return media_type

    def _check(self, answer: Answer, data: bytes) -> None:
        """Raises ChannelAnswered when the provider knows *data*, under a good status, for a failure."""
        if not self.candidate.channel.provider.checks_ok or "classify_failure" not in self._hooks:
            return
        response = UpstreamReply(answer.status, Headers(answer.headers), data)
        word = ask(self._plugin, "classify_failure", channel=self.candidate.channel, response=response)
        if word is None or word == "ok":
            return
        # The status by which whoever only looks at that comes to the same verdict.
        status = {"retry": 502, "bad_key": 401, "fatal": 400}.get(word, 429) if isinstance(word, str) else 429
        raise self._answered(answer, data, said=status, retry_after=None if isinstance(word, str) else float(word))

    def _answered(
        self, answer: Answer, data: bytes, at_least: int = 400, said: int = 0, retry_after: float | None = None
    ) -> ChannelAnswered:
        """The failure that the upstream put into words; its own document is kept for the client.
        *said* is the status that stands for it, when the answer's own was a good one."""
        try:
            document: Any = json_text.parse(data)
        except json_text.NotJson:
            document = None
        status = said or (answer.status if answer.status >= at_least else 502)
        fault: Fault = self._face.read_error(status, document)
        rules, plain = self.candidate.channel.rules, fault
        if rules is not None and rules.error:
            fault = rules.reworded(fault, document)
        # Only a document in the client's own dialect can be shown as it came.
        own = document is not None and self._interpreter is None and fault is plain and not said
        shown, headers = data if own else b"", answer.headers
        retry_after = retry_after or fault.retry_after
        if retry_after and not answer.header("retry-after"):  # whoever asks for it asks the headers
            headers = [*headers, ("retry-after", str(math.ceil(retry_after)))]
        return ChannelAnswered(fault, headers, shown, data)
