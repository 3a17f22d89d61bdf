"""How much an answer says, counted while it goes by: for upstreams that do not tell, and answers
that break off."""

import re

from gateway import json_text
from gateway.dialects.messages.tokens import TokenCounter

_BATCH = 8 * 1024  # bytes; counting costs less for many events at once, and no answer is ever gathered
_BYTES_PER_TOKEN = 4  # of what cannot be read, such as a packed body

_STRING = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
# The members of each dialect's stream that hold words of the model. Those of events that repeat at
# the end what was streamed before are not among them.
_WORDS = {
    "chat": re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments)"\s*:\s*' + _STRING, re.DOTALL),
    "completions": re.compile(rb'"text"\s*:\s*' + _STRING, re.DOTALL),
    "responses": re.compile(rb'"delta"\s*:\s*' + _STRING, re.DOTALL),
    "messages": re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*' + _STRING, re.DOTALL),
    # Arguments come as an object; up to where its first inner one ends is near enough.
    "gemini": re.compile(rb'"text"\s*:\s*' + _STRING + rb'|"args"\s*:\s*(\{.*?\})\s*[,}]', re.DOTALL),
}
_JSON = re.compile(rb'"\w+"\s*:')


class OutputCounter:
    """``feed`` pieces of a stream as they come; ``total`` tokens so far. Holds some kilobytes."""

    __slots__ = ("_words", "_pieces", "_size", "_counter", "_read", "_unread")

    def __init__(self, dialect: str, operation: str):
        self._words = _WORDS.get(operation) or _WORDS[dialect]
        self._pieces: list[bytes] = []
        self._size = 0
        self._counter = TokenCounter()
        self._read = False  # something of it was JSON; else only its size tells anything
        self._unread = 0

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _BATCH:
            self._count()

    @property
    def total(self) -> int:
        self._count()
        return self._counter.total if self._read else -(-self._unread // _BYTES_PER_TOKEN)

    def _count(self) -> None:
        batch = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        self._read = self._read or bool(_JSON.search(batch))
        self._unread += len(batch)
        found = self._words.findall(batch)
        if found and isinstance(found[0], tuple):
            arguments = b"".join(second for _, second in found)
            self._counter.add(arguments.decode("utf-8", "replace"))
            found = [first for first, _ in found]
        self._counter.add(_text(b"".join(found)))


def _text(inside: bytes) -> str:
    """The text that the inside of a JSON string says."""
    try:
        return json_text.parse(b'"%b"' % inside)
    except json_text.NotJson:
        return inside.decode("utf-8", "replace")
