"""Where an HTTP/1.1 response body ends: chunked, sized or until the connection closes (RFC 9112, 6).

Bytes in, body bytes out; no socket. A decoder's ``feed`` returns what of the input belongs to the
body, ``done`` tells that the body is complete, ``ends_with_connection`` that only EOF completes it.
"""

import re

from gateway.errors import ChannelUnreachable

_LONGEST_SIZE_LINE = 4096
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


class Sized:
    """Content-Length."""

    ends_with_connection = False

    def __init__(self, length: int):
        self.left = length

    @property
    def done(self) -> bool:
        return self.left <= 0

    def feed(self, data: bytes) -> bytes:
        data = data[: self.left]
        self.left -= len(data)
        return data


class UntilClose:
    """No length at all: the body is whatever comes before the connection ends."""

    ends_with_connection = True
    done = False

    def feed(self, data: bytes) -> bytes:
        return data


class Chunked:
    """Transfer-Encoding: chunked. Extensions and trailers are read over."""

    ends_with_connection = False

    def __init__(self) -> None:
        self.done = False
        self._left = 0  # bytes of the current chunk still to come, its CRLF not counted
        self._crlf = False  # the CRLF behind a chunk is still to come
        self._trailer = False
        self._line = b""  # an unfinished size or trailer line

    def feed(self, data: bytes) -> bytes:
        """Raises ChannelUnreachable when the framing is broken."""
        if not (self._left or self._crlf or self._trailer or self._line):  # the usual case: one whole chunk
            size_line = _SIZE_LINE.match(data)
            if size_line and data.endswith(b"\r\n"):
                start = size_line.end()
                if int(size_line[1], 16) == len(data) - start - 2 > 0:
                    return data[start:-2]
        return self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        if self._line:
            data, self._line = self._line + data, b""
        pieces, position, size = [], 0, len(data)
        while position < size and not self.done:
            if self._left:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._crlf = not self._left
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._line = data[position:]
                if len(self._line) > _LONGEST_SIZE_LINE:
                    raise ChannelUnreachable("the upstream broke HTTP's chunked framing")
                break
            self._read_line(data[position:end].rstrip(b"\r"))
            position = end + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, line: bytes) -> None:
        if self._trailer:
            self.done = not line
            return
        if self._crlf:
            if line:
                raise ChannelUnreachable("the upstream broke HTTP's chunked framing")
            self._crlf = False
            return
        digits = line.partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise ChannelUnreachable("the upstream broke HTTP's chunked framing")
        self._left = int(digits, 16)
        self._trailer = not self._left


Framing = Sized | UntilClose | Chunked
