"""The JSON-array form of a stream: ``streamGenerateContent`` without ``alt=sse``.

``[{...},`` newline ``{...}]``, the elements arriving one by one.
"""

import re

_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_TEXT = re.compile(rb'["\\]')


class ArraySplitter:
    """Cuts the bytes of an array, however they arrive, into its objects. An object without an
    array around it (an error) is given as it is. ``ended``: the array was closed."""

    __slots__ = ("ended", "_depth", "_base", "_quoted", "_escaped", "_held")

    def __init__(self) -> None:
        self.ended = False
        self._depth = 0
        self._base = 1  # how deep the elements stand: 0 when there is no array around them
        self._quoted = False
        self._escaped = False
        self._held: list[bytes] = []  # the begun element

    def feed(self, piece: bytes) -> list[bytes]:
        found: list[bytes] = []
        start = 0 if self._held else -1  # where the open element begins in this piece
        at = 0
        while at < len(piece) and not self.ended:
            if self._quoted:
                at = self._text(piece, at)
                continue
            match = _STRUCTURE.search(piece, at)
            if match is None:
                break
            at = match.end()
            sign = match[0]
            if sign == b'"':
                self._quoted = True
            elif sign in b"{[":
                if sign == b"{" and start < 0 and self._depth <= 1:
                    self._base, start = self._depth, match.start()
                self._depth += 1
            else:
                self._depth -= 1
                if start >= 0 and self._depth == self._base:
                    found.append(b"".join([*self._held, piece[start:at]]))
                    self._held, start = [], -1
                self.ended = self._depth <= 0
        if start >= 0:
            self._held.append(piece[start:])
        return found

    def _text(self, piece: bytes, at: int) -> int:
        """Go on inside a string; where the search goes on."""
        if self._escaped:
            self._escaped = False
            return at + 1
        match = _IN_TEXT.search(piece, at)
        if match is None:
            return len(piece)
        if match[0] == b'"':
            self._quoted = False
        else:
            self._escaped = True
        return match.end()


def split_array() -> ArraySplitter:
    """A fresh splitter, for one stream."""
    return ArraySplitter()
