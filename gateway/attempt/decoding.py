"""Answers in another framing than the dialect's, read as the dialect's own while they arrive."""

import time
from typing import Any

from gateway import sse
from gateway.transport.upstream_body import Silence

EVENTS = "text/event-stream"

# What a stream of each dialect ends with. Responses and Gemini say it inside their last document,
# which no other event could stand for.
ENDINGS = {
    "chat": b"data: [DONE]\n\n",
    "messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}


class DecodedBody:
    """A body as its *decoder* gives it: ``feed(bytes) -> bytes``, ``close() -> bytes`` at its end.

    Has the face of an upstream body. What the decoder raises breaks the answer.
    """

    def __init__(self, body: Any, decoder: Any):
        self._body = body
        self._decoder = decoder
        self._over = False

    def receive(self, timeout: float) -> bytes:
        """The next piece that makes sense by itself; ``b""`` at the end. Raises as the body does."""
        if self._over:
            return b""
        silent_at = time.monotonic() + timeout
        while piece := self._body.receive(timeout):
            decoded = self._decoder.feed(piece)
            if decoded:
                return decoded
            # Pieces that say nothing are no reason to let the client wait for its keep-alive.
            if time.monotonic() > silent_at:
                raise Silence
        self._over = True
        return self._decoder.close()

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
        if not whole and self._splitter.held > sse.LARGE_EVENT:
            return self._splitter.overflow()
        return self._replaced(whole) if self._end in whole else whole

    def close(self) -> bytes:
        rest = self._splitter.rest()
        return self._replaced(rest) if self._end in rest else rest

    def _replaced(self, whole: bytes) -> bytes:
        return b"".join([self._ending if self._ends(block) else block for block in sse.blocks(whole)])

    def _ends(self, block: bytes) -> bool:
        said = (line.partition(b":") for line in block.splitlines())
        return any(name in (b"data", b"event") and value.strip() == self._end for name, _, value in said)
