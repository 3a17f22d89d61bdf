"""Looks for a call's usage in what goes by; can change and delay nothing."""

import logging
import re
from collections import deque
from dataclasses import replace

from gateway import json_text, sse
from gateway.domain import COMPACT, GENERATE, Call, Channel
from gateway.plugin_manager import Plugin, tell
from gateway.token_count import estimated_input, estimated_output
from gateway.usage import ESTIMATED, PARTIAL, UPSTREAM, Usage
from gateway.usage_reading.output import OutputCounter
from gateway.usage_reading.places import PLACES

log = logging.getLogger("gateway.usage")

# What a call's usage is read of. Others move what was counted elsewhere: a stored response would be
# paid twice.
MEASURED = frozenset({GENERATE, COMPACT, "completions", "embeddings", "images", "audio", "moderations", "rerank"})
_WRITING = frozenset({GENERATE, COMPACT, "completions"})  # their answers are made of tokens
_KEPT = 3  # the newest pieces that say usage: a server may end with one that says nothing
_TAIL = 4 * 1024  # bytes of a cut event that its next piece is read with; a usage object has some hundred
_IMAGE = re.compile(rb'"(?:b64_json|url)"\s*:\s*"')
_STREAMED_IMAGE = re.compile(rb'"type"\s*:\s*"image_(?:generation|edit)\.completed"')


class UsageTap:
    """Stands first in a stream, or looks at a whole reply, in the channel's own *dialect*.

    ``feed`` whole events, ``part`` what is passed on before it is whole; both return what they are
    given, as a filter's do. ``look`` at a reply that is there at once. ``usage(complete)`` is asked
    at the end: nothing is parsed before that, unless a plugin reads usage by itself (*reader*).
    *counting* tells to estimate what is not said; without it, unsaid is unknown.
    """

    __slots__ = ("_call", "_dialect", "_counting", "_place", "_word", "_sign", "_first", "_kept", "_cut", "_tail",
                 "_reader", "_image", "_images", "_odd", "_output", "_document", "_failed")  # fmt: skip

    def __init__(self, call: Call, dialect: str, counting: bool = True, reader: "PluginReader | None" = None):
        self._call = call
        self._dialect = dialect
        self._counting = counting
        self._place = PLACES[dialect]
        self._word, self._sign = self._place.word, self._place.sign.search
        self._first = b""
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._cut = False  # a piece may have begun or ended inside an event
        self._tail = b""
        self._reader = reader
        self._image = _STREAMED_IMAGE if call.stream else _IMAGE
        self._images = 0 if call.operation == "images" else None
        self._odd = reader is not None or self._images is not None  # each piece matters, not only those with usage
        self._output = OutputCounter(dialect, call.operation) if counting and call.operation in _WRITING else None
        self._document = b""
        self._failed = False

    def feed(self, whole: bytes) -> bytes:
        try:
            if self._odd or self._word in whole:
                self._look_for_usage(whole)
            if self._output is not None:
                self._output.feed(whole)
        except Exception:  # what is read for the accounts never alters or ends what a client gets
            self._fail()
        return whole

    def part(self, piece: bytes) -> bytes:
        """A piece of an event, or of a document, that is not whole."""
        self._cut = self._odd = True
        tail = (self._tail + piece[-_TAIL:])[-_TAIL:]
        self.feed(piece)
        self._tail = tail
        return piece

    def close(self) -> bytes:
        return b""

    def look(self, document: bytes) -> None:
        """A whole reply. What it says is counted at the end, and only if it has to be."""
        try:
            self._look_for_usage(document)
            self._document = document
        except Exception:  # what is read for the accounts never alters or ends what a client gets
            self._fail()

    def usage(self, complete: bool) -> Usage:
        """What the call used; *complete* tells that its answer came to its end. Raises nothing."""
        try:
            return self._measured(complete)
        except Exception:  # what is read for the accounts never alters or ends what a client gets
            self._fail()
            return Usage()

    def _look_for_usage(self, whole: bytes) -> None:
        tail, self._tail = self._tail, b""
        seen = tail + whole
        if self._word in seen and self._sign(seen):
            if self._first:
                self._kept.append(seen)
            else:
                self._first = seen
        if self._images is not None:
            self._images += len(self._image.findall(seen)) - len(self._image.findall(tail))
        if self._reader is not None:
            self._reader.feed(whole)

    def _measured(self, complete: bool) -> Usage:
        if self._reader is not None and self._reader.found is not None:
            return self._reader.found  # who reads for itself knows what it leaves out
        pieces = [piece for piece in (self._first, *self._kept) if piece]
        said = self._said(pieces)
        over = complete or (said is not None and bool(self._place.final.search(pieces[-1])))
        if self._images:
            said = replace(said or Usage(source=UPSTREAM), images=self._images)
        if not self._counting:
            said = said or Usage()
            return said if over or said.says_nothing else replace(said, source=PARTIAL)
        return self._filled(said) if over else self._broken_off(said)

    def _said(self, pieces: list[bytes]) -> Usage | None:
        """What the upstream said in *pieces*."""
        members = self._place.loose_members if self._cut else self._place.members
        return self._place.read([member for piece in pieces for member in members(piece)])

    def _broken_off(self, said: Usage | None) -> Usage:
        said = said or Usage()
        read, written = said.input or estimated_input(self._call), said.output
        if self._output is not None:
            written = max(written or 0, self._written())
        usage = replace(said, input=read, output=written, source=PARTIAL)
        return usage if usage.total is not None or usage.images else Usage()

    def _filled(self, said: Usage | None) -> Usage:
        """*said*, with what it leaves out although there must have been some."""
        if said is not None and self._output is None:
            return said
        usage = said or Usage(output=0 if self._output is not None else None)
        if self._output is not None and not usage.output and (written := self._written()):
            usage = replace(usage, output=written, source=ESTIMATED)
        if not usage.input and (read := estimated_input(self._call)):
            usage = replace(usage, input=read, source=ESTIMATED)
        return usage

    def _written(self) -> int:
        """Tokens of the answer so far, by our own count."""
        if self._document:
            counted = estimated_output(self._dialect, self._document)
            if counted is not None:
                return counted
            self._output.feed(self._document)
            self._document = b""
        return self._output.total

    def _fail(self) -> None:
        if not self._failed:  # once: it would come again with every event
            self._failed = True
            log.exception("the usage of %s could not be read", self._call.id)


class PluginReader:
    """Shows every document of an answer to the provider plugin's ``read_usage``; the latest usage
    that it finds counts."""

    def __init__(self, plugin: Plugin, channel: Channel):
        self.found: Usage | None = None
        self._plugin = plugin
        self._channel = channel

    def feed(self, whole: bytes) -> None:
        if whole.lstrip()[:1] in (b"{", b"["):
            self._show(whole)
            return
        for event in sse.events(whole):
            self._show(event.data)

    def _show(self, data: bytes) -> None:
        try:
            document = json_text.parse(data)
        except json_text.NotJson:
            return
        usage = tell(self._plugin, "read_usage", channel=self._channel, document=document)
        if isinstance(usage, Usage):
            self.found = usage


def tap_for(call: Call, channel: Channel, dialect: str, plugin: Plugin | None, counting: bool) -> UsageTap | None:
    """A tap for an answer of *channel* to *call*, if that has a usage; *plugin* is the provider's."""
    if call.operation not in MEASURED:
        return None
    reads = plugin is not None and "read_usage" in plugin.hooks
    return UsageTap(call, dialect, counting, PluginReader(plugin, channel) if reads else None)
