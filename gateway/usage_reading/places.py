"""Where each dialect says its usage, and how that is read: one row a dialect.

Usage is looked for in bytes. As long as an answer runs, a substring tells which pieces may hold it;
when it is over, the member is cut out of the few that were kept, and nothing else is parsed.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway import json_text, sse
from gateway.dialects.chat.tokens import read_usage as read_chat
from gateway.dialects.gemini.token_counts import read as read_gemini
from gateway.dialects.messages.counts import merge_usage
from gateway.dialects.messages.counts import read_usage as read_messages
from gateway.dialects.responses.response import read_usage as read_responses
from gateway.usage import Usage

Said = list[Any]  # the usage members of an answer, oldest first
_MOST_MEMBER = 4 * 1024  # bytes; a usage object has some hundred


class Place:
    """``word`` is in every piece that says usage, ``sign`` where it begins to say more than null;
    *paths* are where the member stands. ``read`` makes one usage of all that were said. ``final``
    is in the piece whose usage nothing can follow; *opening* is the path of one that comes before
    anything is written, whatever it says of that."""

    def __init__(
        self, word: bytes, paths: tuple[json_text.Path, ...], read: Callable[[Said], Usage | None], final: bytes,
        opening: json_text.Path = (),
    ):  # fmt: skip
        self.word = word
        self.sign = re.compile(word + rb"\s*:\s*\{")
        self.read = read
        self.final = re.compile(final)
        self._members = json_text.Members(paths)
        self._opening = paths.index(opening) if opening else None

    def members(self, piece: bytes) -> Iterator[Any]:
        """The usage members in *piece*: a whole document, or whole events."""
        for document in _documents(piece):
            if self.word in document:
                yield from self._stated(document)

    def _stated(self, document: bytes) -> Iterator[Any]:
        try:
            found = self._members.read(document)
        except json_text.NotJson:
            return
        for place, member in enumerate(found):
            if isinstance(member, dict):
                if place == self._opening:
                    member.pop("output_tokens", None)
                yield member

    def loose_members(self, piece: bytes) -> Iterator[Any]:
        """The same of a piece that begins or ends inside a document."""
        for found in self.sign.finditer(piece):
            text = piece[found.end() - 1 : found.end() + _MOST_MEMBER].decode("utf-8", "replace")
            try:
                yield _DECODER.raw_decode(text)[0]
            except (ValueError, RecursionError):
                continue


_DECODER = json.JSONDecoder()  # the one parser at hand that stops where a value ends


def _documents(piece: bytes) -> Iterable[bytes]:
    if piece.lstrip()[:1] in (b"{", b"["):
        return (piece,)
    return (event.data for event in sse.events(piece))


def _latest(read: Callable[[Any], Usage | None]) -> Callable[[Said], Usage | None]:
    """Each usage holds the ones before: the last that says something counts."""

    def read_latest(said: Said) -> Usage | None:
        read_all = (read(member) for member in reversed(said))
        return next((usage for usage in read_all if usage is not None and not usage.says_nothing), None)

    return read_latest


def _merged(said: Said) -> Usage | None:
    """message_start tells what was read, message_delta what was written so far: neither is all."""
    merged: dict[str, Any] = {}
    for member in said:
        merged = merge_usage(merged, member)
    usage = read_messages(merged)
    return None if usage.says_nothing else usage


# Groq says it in x_groq unless asked, Moonshot in the choice that ends; images and audio have
# their own events with it at the top.
PLACES = {
    "chat": Place(
        b'"usage"', (("usage",), ("x_groq", "usage"), ("choices", 0, "usage")), _latest(read_chat),
        rb'"choices"\s*:\s*\[\s*\]|"finish_reason"\s*:\s*"|"type"\s*:\s*"[\w.]+\.(?:done|completed)"',
    ),
    "responses": Place(
        b'"usage"', (("response", "usage"), ("usage",)), _latest(read_responses),
        rb"response\.(?:completed|incomplete|failed)",
    ),
    "messages": Place(
        b'"usage"', (("message", "usage"), ("usage",)), _merged, rb'"stop_reason"\s*:\s*"',
        opening=("message", "usage"),
    ),
    "gemini": Place(
        b'"usageMetadata"', (("usageMetadata",), ("response", "usageMetadata")), _latest(read_gemini),
        rb'"(?:finishReason|blockReason)"\s*:\s*"',
    ),
}  # fmt: skip
