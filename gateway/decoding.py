"""Answers in another framing than the dialect's, read as the dialect's own while they arrive."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from gateway import sse
from gateway.errors import GatewayError, PluginError
from gateway.plugin_manager import Plugin
from gateway.upstream_body import Silence

log = logging.getLogger("gateway.plugins")

_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")

EVENTS = "text/event-stream"
# An event larger than this is passed on while it still arrives.
_LARGE_EVENT = 256 * 1024

# What a stream of each dialect ends with. Responses and Gemini say it inside their last document,
# which no other event could stand for.
ENDINGS = {
    "chat": b"data: [DONE]\n\n",
    "messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}


class DecodedBody:
    """A body as its decoder gives it: ``feed(bytes) -> bytes``, ``close() -> bytes`` at its end.

    Has the face of an upstream body. What a plugin's decoder raises breaks the answer, as an error
    that names the *plugin*.
    """

    def __init__(self, body: Any, decoder: Any, plugin: Plugin | None = None):
        self._body = body
        self._plugin = plugin
        self._over = False
        try:
            self._feed, self._close = decoder.feed, decoder.close
        except AttributeError as error:
            raise PluginError(f"decode_stream gave no decoder ({error})") from None

    def receive(self, timeout: float) -> bytes:
        """The next piece that makes sense by itself; ``b""`` at the end. Raises as the body does."""
        if self._over:
            return b""
        silent_at = time.monotonic() + timeout
        while piece := self._body.receive(timeout):
            decoded = self._call(self._feed, piece)
            if decoded:
                return decoded
            # Pieces that say nothing are no reason to let the client wait for its keep-alive.
            if time.monotonic() > silent_at:
                raise Silence
        self._over = True
        return self._call(self._close)

    def _call(self, function: Callable[..., bytes], *arguments: bytes) -> bytes:
        try:
            return function(*arguments)
        except GatewayError:
            raise
        except Exception as error:
            name = self._plugin.source.name if self._plugin else "decoder"
            if self._plugin is not None:
                self._plugin.errors += 1
            log.exception("plugin %s failed in the decoder of decode_stream", name)
            raise PluginError(f"plugin {name!r} failed in decode_stream") from error

    @property
    def ends_with_connection(self) -> bool:
        return self._body.ends_with_connection

    def close(self) -> None:
        self._body.close()


class EndDecoder:
    """Puts the dialect's terminal event where the vendor's own stands: an event whose data, or whose
    name, is *end*. Everything else passes as it came."""

    def __init__(self, end: bytes, dialect: str):
        self._end = end
        self._ending = ENDINGS[dialect]
        self._splitter = sse.Splitter()

    def feed(self, piece: bytes) -> bytes:
        whole = self._splitter.feed(piece)
        if not whole and self._splitter.held > _LARGE_EVENT:
            return self._splitter.overflow()
        return self._replaced(whole) if self._end in whole else whole

    def close(self) -> bytes:
        rest = self._splitter.rest()
        return self._replaced(rest) if self._end in rest else rest

    def _replaced(self, whole: bytes) -> bytes:
        kept, start = [], 0
        for separator in [*(found.end() for found in _EVENT_END.finditer(whole)), len(whole)]:
            block = whole[start:separator]
            kept.append(self._ending if self._ends(block) else block)
            start = separator
        return b"".join(kept)

    def _ends(self, block: bytes) -> bool:
        said = (line.partition(b":") for line in block.splitlines())
        return any(name in (b"data", b"event") and value.strip() == self._end for name, _, value in said)
