"""An upstream's answer, read piece by piece as it arrives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.departures import Watch
from gateway.errors import StreamCut
from gateway.transport.listening import Listener
from gateway.transport.response_head import Head

_PIECE = 64 * 1024


class Silence(Exception):
    """Nothing came within the time that was given; ask again, or give up."""


class SocketBody:
    """A response body, read from its socket (plain or TLS) as the bytes come.

    No buffered reader lies above the socket: one could not be read again after a timeout, and
    would hold its buffer as long as the stream runs.
    """

    __slots__ = ("_listener", "_framing", "_kept", "_ready", "_watch", "_release")

    def __init__(self, listener: Listener, head: Head, watch: Watch, release: Callable[[bool], None]):
        """*release(whole)* is called once: True when the connection may be used again."""
        self._listener = listener
        self._framing = head.framing
        self._kept = head.kept
        self._watch = watch
        self._release: Callable[[bool], None] | None = release
        self._ready = head.framing.feed(head.rest)

    def receive(self, timeout: float) -> bytes:
        """The next piece; ``b""`` when the body is complete.

        Raises Silence after *timeout* seconds without a byte, StreamCut when the body broke off.
        """
        if self._ready:
            piece, self._ready = self._ready, b""
            return piece
        framing = self._framing
        while not framing.done:
            try:
                data = self._listener.receive(timeout)
            except TimeoutError:
                raise Silence from None
            except OSError as error:
                self._end(False)
                raise StreamCut(f"the connection broke ({error.strerror or 'closed'})") from None
            if not data:
                self._end(False)
                if framing.ends_with_connection:
                    return b""
                raise StreamCut("the connection ended in the middle of the answer")
            piece = framing.feed(data)
            if piece:
                return piece
        self._end(True)
        return b""

    @property
    def ends_with_connection(self) -> bool:
        """Whether a broken connection and a finished body look the same."""
        return self._framing.ends_with_connection

    def _end(self, whole: bool) -> None:
        release, self._release = self._release, None
        if release is not None:
            self._watch.release()
            release(whole and self._kept)

    def close(self) -> None:
        """Give up what is left, if anything is."""
        self._end(self._framing.done and not self._ready)


class PlainBody:
    """The same face for a body without a socket (the ``responses`` library's)."""

    ends_with_connection = False

    def __init__(self, raw: Any):
        self._raw = raw

    def receive(self, timeout: float) -> bytes:
        return self._raw.read1(_PIECE, decode_content=False) or b""

    def close(self) -> None:
        self._raw.close()


@dataclass(slots=True)
class Answer:
    """What an upstream said: its status, its headers in order, and its body still to be read."""

    status: int
    headers: list[tuple[str, str]]
    body: SocketBody | PlainBody

    def header(self, name: str) -> str:
        """The value of the header *name* (lower case), empty if it is not there."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""
