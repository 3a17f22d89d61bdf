"""The bytes of an event: where its data stands, and which other events are like it."""

import re
from collections.abc import Sequence

from gateway.json_edit import span_of
from gateway.policies.lanes import Piece

_DATA = re.compile(rb"(?:(?<=[\r\n])|\A)data:[ ]?([^\r\n]*)")
_INSIDE = re.compile(rb'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_UNLIKE = 8  # events in a row that were not alike


def with_data(block: bytes, lines: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """*block* with other data on its lines: as many as there were, for no line end stands inside a string."""
    pieces: list[bytes] = []
    at = 0
    for (start, end), line in zip(lines, data.split(b"\n"), strict=True):
        pieces += [block[at:start], line]
        at = end
    return b"".join([*pieces, block[at:]])


def data_lines(block: bytes) -> list[tuple[int, int]]:
    """Where the data of the event *block* stands, line by line."""
    return [match.span(1) for match in _DATA.finditer(block)]


class Alike:
    """Events that are what the one before was, but for their text, as most are: these need not be read
    as JSON. Nothing is tried any more for streams (of Responses) whose events differ in more."""

    def __init__(self) -> None:
        self.piece: Piece | None = None
        self._before = self._after = b""
        self._unlike = 0

    def note(self, block: bytes, line: tuple[int, int], piece: Piece) -> None:
        """The data of *block* stands at *line*, and all that can change in it is *piece*."""
        self._unlike += 1
        if self._unlike > _UNLIKE:
            self.piece = None
            return
        span = span_of(block[line[0] : line[1]], piece.path)
        if span is None:
            return
        start, end = line[0] + span[0] + 1, line[0] + span[1] - 1  # inside its quotes
        self._before, self._after = block[:start], block[end:]
        self.piece = piece

    def inside(self, block: bytes) -> str | None:
        """The inside of the string that is the text of *block*; None if it is another kind of event."""
        if self.piece is None or not (block.startswith(self._before) and block.endswith(self._after)):
            return None
        found = _INSIDE.fullmatch(block, len(self._before), len(block) - len(self._after))
        if found is None:
            return None
        try:
            inside = found[0].decode()
        except UnicodeDecodeError:
            return None
        self._unlike = 0
        return inside

    def with_inside(self, inside: str) -> bytes:
        return self._before + inside.encode() + self._after
