"""The head of an HTTP/1.1 response: status, headers, and how its body ends (RFC 9112, 4 to 6).

Bytes in, head out; no socket. What was fed beyond the head is its ``rest``.
"""

import re
from dataclasses import dataclass, field

from gateway.errors import ChannelUnreachable
from gateway.transport.framing import Chunked, Framing, Sized, UntilClose

_LONGEST = 128 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(r"HTTP/1\.([01]) +([1-9][0-9][0-9])(?: [^\n]*)?(?:\n|$)")
# Lines that are no field, or hold control characters, are left out.
_FIELD = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:([\t\x20-\x7e\x80-\xff]*)\r?$", re.MULTILINE)
_FOLD = re.compile(r"\r?\n[ \t]+")


@dataclass(slots=True)
class Head:
    """``kept`` tells that the connection may be used again once the body is complete."""

    status: int
    headers: list[tuple[str, str]]
    framing: Framing
    kept: bool
    rest: bytes = field(repr=False)


class HeadReader:
    """Reads one head, however it is cut; interim answers (1xx) before it are passed over."""

    __slots__ = ("_method", "_held")

    def __init__(self, method: str):
        """*method* is the request's: HEAD's answers have no body."""
        self._method = method
        self._held = b""

    def feed(self, data: bytes) -> Head | None:
        """The head, once it is whole. Raises ChannelUnreachable for what is no HTTP/1.1 response."""
        held = self._held + data if self._held else data
        while end := _END.search(held):
            head = self._parse(held[: end.start()].decode("latin-1"), held[end.end() :])
            if head.status >= 200:
                return head
            held = head.rest
        if len(held) > _LONGEST or not held.startswith(b"HTTP/1."[: len(held)]):
            raise ChannelUnreachable("the upstream does not answer in HTTP/1.1")
        self._held = held
        return None

    def _parse(self, text: str, rest: bytes) -> Head:
        first = _STATUS.match(text)
        if first is None or first[2] == "101":
            raise ChannelUnreachable("the upstream does not answer in HTTP/1.1")
        if "\n " in text or "\n\t" in text:
            text = _FOLD.sub(" ", text)
        headers = [(name, value.strip(" \t")) for name, value in _FIELD.findall(text, first.end())]
        said = {"connection": "", "transfer-encoding": "", "content-length": ""}
        for name, value in headers:
            lower = name.lower()
            if lower in said:
                said[lower] = f"{said[lower]},{value}" if said[lower] else value
        status = int(first[2])
        framing = self._framing(status, said["transfer-encoding"], said["content-length"])
        wishes = {word.strip().lower() for word in said["connection"].split(",")}
        kept = "close" not in wishes if first[1] == "1" else "keep-alive" in wishes
        return Head(status, headers, framing, kept and not framing.ends_with_connection, rest)

    def _framing(self, status: int, codings: str, lengths: str) -> Framing:
        if self._method == "HEAD" or status in (204, 304) or status < 200:
            return Sized(0)
        if codings:
            last = codings.rpartition(",")[2].strip().lower()
            return Chunked() if last == "chunked" else UntilClose()
        distinct = {length.strip() for length in lengths.split(",")}
        if len(distinct) > 1 or not all(length.isdecimal() and length.isascii() for length in distinct if length):
            raise ChannelUnreachable("the upstream's answer has no sane Content-Length")
        return Sized(int(distinct.pop())) if lengths else UntilClose()
