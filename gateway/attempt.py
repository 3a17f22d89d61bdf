"""One try on one channel with one key: send, wait for the first thing worth showing, judge it.

An answer is judged by what it is, not by what was asked for: server-sent events are a stream, and
anything else is whole. As long as nothing was shown to the client, whatever is wrong with an answer
is only this channel's failure.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from gateway import json_text, sse
from gateway.config.kinds import Secret
from gateway.departures import Watch
from gateway.dialects.registry import FACES
from gateway.domain import COMPACT, GENERATE, Call, Candidate
from gateway.errors import ChannelAnswered, ChannelFailed, ChannelUnreachable, ClientGone, Fault
from gateway.interpreter import Interpreter, interpreter_for
from gateway.patience import Patience
from gateway.plugin_manager import Plugin, ask
from gateway.transport import Answer, Pending, Transport
from gateway.upstream_body import Silence
from gateway.upstream_request import apply_edits, authorize, build_request

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
        self._interpreter = interpreter_for(call, candidate) if candidate.translated else None

    def run(self, transport: Transport, patience: Patience, watch: Watch) -> Waiting:
        """Raises ChannelFailed (ChannelAnswered when the upstream said what is wrong) or ClientGone."""
        patience.attempt_begins(self.candidate.channel.timeouts)
        try:
            answer = yield from self._send(transport, patience, watch)
            self.status = answer.status
            try:
                return (yield from self._judge(answer, patience))
            except BaseException:
                answer.body.close()
                raise
        except ChannelFailed:
            if watch.gone:  # we cut the connection ourselves, because nobody listens any more
                raise ClientGone("the client closed its connection") from None
            raise

    def _send(self, transport: Transport, patience: Patience, watch: Watch) -> Waiting:
        channel = self.candidate.channel
        translated = self._interpreter.request(transport.fetcher(channel)) if self._interpreter else None
        request = build_request(self.call, self.candidate, translated)
        hooks = self._plugin.hooks if self._plugin else {}
        if "rewrite_request" in hooks:
            ask(self._plugin, "rewrite_request", call=self.call, channel=channel, request=request)
        apply_edits(request)
        if self._key is not None:
            signed = "authorize" in hooks and ask(
                self._plugin, "authorize", channel=channel, key=self._key, request=request
            )
            if not signed:
                authorize(channel, self.candidate.dialect, self._key, request)
        answer = transport.send(channel, request, patience.left(), watch)
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
        except BaseException:
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
        packed = answer.header("content-encoding").lower() not in ("", "identity")
        if media_type == "text/event-stream" and not packed:
            if self._interpreter is None or self.call.stream:
                return (yield from self._first_event(answer, patience))
            data, _ = yield from self._hold(answer, patience, _MOST_TRANSLATED)
            return self._whole(answer, self._interpreter.gathered(data), patience)
        if self.call.operation in _ANSWERS and media_type == "text/html":
            raise ChannelUnreachable("the channel answered with a web page", code="upstream_not_an_api")
        most = 1 if self.call.stream else MOST_HELD  # a stream in another framing is not held back
        if self._interpreter or (self._plugin and "rewrite_response" in self._plugin.hooks):
            most = _MOST_TRANSLATED
        data, whole = yield from self._hold(answer, patience, most)
        if self.call.operation in _ANSWERS and not packed:
            if not data:
                raise ChannelFailed("the channel's answer is empty", code="upstream_empty")
            if _ERROR_DOCUMENT.match(data):
                more, _ = yield from self._hold(answer, patience, _MOST_ERROR)
                raise self._answered(answer, data + more, 502)
        if self._interpreter is None:
            return Ready(self.candidate, answer, data, whole, False, patience.total)
        if not self.call.stream:
            return self._whole(answer, self._interpreter.reply(data), patience)
        return self._whole(answer, self._interpreter.spread(data), patience, self._interpreter.media_type)

    def _whole(self, answer: Answer, data: bytes, patience: Patience, media_type: str = "application/json") -> Ready:
        """A translated reply; its body was read to the end, or to where nothing more is wanted."""
        answer.body.close()
        return Ready(self.candidate, answer, data, True, False, patience.total, self._interpreter, media_type)

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
            if not piece and not found:
                raise ChannelFailed("the channel's stream is empty", code="upstream_empty")
            if found or size > MOST_HELD:
                break
        rest = splitter.rest()
        return Ready(self.candidate, answer, b"".join(read) + rest, not piece, True, patience.total, self._interpreter)

    def _answered(self, answer: Answer, data: bytes, at_least: int = 400) -> ChannelAnswered:
        """The failure that the upstream put into words; its own document is kept for the client."""
        try:
            document: Any = json_text.parse(data)
        except json_text.NotJson:
            document = None
        status = answer.status if answer.status >= at_least else 502
        fault: Fault = self._face.read_error(status, document)
        # Only a document in the client's own dialect can be shown as it came.
        shown = data if document is not None and self._interpreter is None else b""
        return ChannelAnswered(fault, answer.headers, shown, data)
