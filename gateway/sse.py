"""Server-sent events as bytes: where they end, what they say, how to write one.

Everything works on bytes: ``str.splitlines`` would also cut at U+2028, U+0085 and others. Lines
end in LF, CRLF or CR; ``data:`` may come without a space; an event ends with an empty line
(WHATWG HTML, 9.2.6).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
# An empty line is two line ends in a row; \r\n counts as one. A lone CR at the very end of the
# input may be half of a CRLF, but what follows can then only add one more, harmless, line end.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")

KEEP_ALIVE = b": keep-alive\n\n"
# An event larger than this is passed on while it still arrives, instead of being held until whole.
LARGE_EVENT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One whole event: its ``event:`` name (empty if none) and its ``data:`` lines, joined by LF."""

    name: str
    data: bytes


def last_end(buffer: bytes) -> int:
    """Offset just behind the last whole event in *buffer*; 0 when it holds none."""
    if buffer.endswith((b"\n\n", b"\n\r\n", b"\r\r")):
        return len(buffer)
    end = 0
    for separator in (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r"):
        found = buffer.rfind(separator)
        if found >= 0:
            end = max(end, found + len(separator))
    return end


class Sign:
    """What to look for in a stream's bytes: any of some patterns, each with a word that is in all
    that it matches. The word is looked for first, which is some twenty times as fast."""

    __slots__ = ("_patterns",)

    def __init__(self, *patterns: tuple[bytes, bytes]):
        self._patterns = [(word, re.compile(pattern).search) for word, pattern in patterns]

    def seen(self, whole: bytes) -> bool:
        found = False
        for word, search in self._patterns:  # asked once an event: any() would cost twice as much
            found = found or (word in whole and search(whole) is not None)
        return found


class Splitter:
    """Cuts bytes, however they arrive, into whole events.

    ``feed`` returns the bytes of every event that is complete now, separators included, as one
    piece; ``rest`` is what is still incomplete. Bytes are only ever cut, never changed.
    """

    __slots__ = ("_held", "_size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    @property
    def held(self) -> int:
        """How many bytes of an incomplete event are waiting."""
        return self._size

    def feed(self, piece: bytes) -> bytes:
        if not self._held and piece.endswith(b"\n\n"):  # the usual case: cut where we would cut
            return piece
        return self._feed(piece)

    def _feed(self, piece: bytes) -> bytes:
        # Only the last three held bytes can be part of a separator that ends in this piece.
        tail = b""
        for part in reversed(self._held):
            tail = part[-3:] + tail
            if len(tail) >= 3:
                break
        tail = tail[-3:]
        end = last_end(tail + piece) - len(tail)
        if end <= 0:
            self._held.append(piece)
            self._size += len(piece)
            return b""
        whole = b"".join([*self._held, piece[:end]])
        rest = piece[end:]
        self._held = [rest] if rest else []
        self._size = len(rest)
        return whole

    def overflow(self) -> bytes:
        """Hand over what is held of a large event, but for the last bytes: they may be half of
        its end."""
        held = self.rest()
        self._held, self._size = [held[-3:]], len(held[-3:])
        return held[:-3]

    def rest(self) -> bytes:
        """Hand over the incomplete tail and forget it."""
        rest = b"".join(self._held)
        self._held, self._size = [], 0
        return rest


def blocks(whole: bytes) -> Iterator[bytes]:
    """The events in *whole* as bytes, each with its separator; what is left at the end comes last."""
    at = 0
    for found in _EVENT_END.finditer(whole):
        yield whole[at : found.end()]
        at = found.end()
    if at < len(whole):
        yield whole[at:]


def events(whole: bytes) -> list[Event]:
    """The events in *whole* (a piece of Splitter.feed); comments and empty events are left out."""
    found = []
    for block in _EVENT_END.split(whole):
        event = parse_event(block)
        if event is not None:
            found.append(event)
    return found


def first_event(whole: bytes) -> Event | None:
    """The first of ``events(whole)``; the others are not looked at."""
    start = 0
    while start < len(whole):
        found = _EVENT_END.search(whole, start)
        event = parse_event(whole[start : found.start() if found else len(whole)])
        if event is not None or found is None:
            return event
        start = found.end()
    return None


def parse_event(block: bytes) -> Event | None:
    """One event's lines as an Event; None when it has no data (a comment, an id, a retry)."""
    name, data = "", []
    for line in _LINE_END.split(block):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Event(name, b"\n".join(data)) if data else None


def write_event(data: bytes, name: str = "") -> bytes:
    """One event as bytes; *data* must hold no line end (json_text.write never makes one)."""
    if name:
        return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
    return b"data: %s\n\n" % data
