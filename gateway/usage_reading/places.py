"""Where each dialect says its usage, and how that is read: one row a dialect.

Usage is looked for in bytes. As long as an answer runs, a substring tells which pieces may hold it;
when it is over, the member is cut out of the few that were kept, and nothing else is parsed.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway import json_edit, json_text, sse
from gateway.dialects.chat.tokens import read_usage as read_chat
from gateway.dialects.gemini.token_counts import read as read_gemini
from gateway.dialects.messages.counts import merge_usage
from gateway.dialects.messages.counts import read_usage as read_messages
from gateway.dialects.responses.response import read_usage as read_responses
from gateway.usage import Usage

Said = list[Any]  # the usage members of an answer, oldest first
_SMALL = 256 * 1024  # bytes of a document
_MOST_MEMBER = 4 * 1024  # bytes; a usage object has some hundred


@dataclass(frozen=True, slots=True)
class Place:
    """``word`` is in every piece that says usage, ``sign`` where it begins to say more than null;
    ``paths`` are where the member stands. ``read`` makes one usage of all that were said. ``final``
    is in the piece whose usage nothing can follow; ``opening`` is the path of one that comes before
    anything is written, whatever it says of that."""

    word: bytes
    sign: re.Pattern[bytes]
    paths: tuple[tuple[str, ...], ...]
    read: Callable[[Said], Usage | None]
    final: re.Pattern[bytes]
    opening: tuple[str, ...] = ()

    def members(self, piece: bytes) -> Iterator[Any]:
        """The usage members in *piece*: a whole document, or whole events."""
        for document in _documents(piece):
            if self.word in document:
                yield from self._stated(document)

    def _stated(self, document: bytes) -> Iterator[Any]:
        find: Callable[[tuple[str, ...]], Any] = lambda path: _member(document, path)  # noqa: E731
        if len(document) <= _SMALL:  # built faster than walked through
            try:
                built = json_text.parse(document)
            except json_text.NotJson:
                return
            find = lambda path: _inside(built, path)  # noqa: E731
        for path in self.paths:
            found = find(path)
            if found is not None and path == self.opening:
                found.pop("output_tokens", None)
            if found is not None:
                yield found

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


def _inside(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at *path* of a built document, if it is an object."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value if isinstance(value, dict) else None


def _member(document: bytes, path: tuple[str, ...]) -> Any:
    """What stands at *path*, if it is an object. Nothing else of the document is built."""
    for name in path:
        if document.lstrip()[:1] not in (b"{", b"["):
            return None
        try:
            found = json_edit.top_level(document, name)
        except (AttributeError, TypeError, ValueError):  # no JSON, and json_edit wants to be given some
            return None
        if not found:
            return None
        document = found[-1]  # of a key that comes twice, parsers take the last
    try:
        value = json_text.parse(document)
    except json_text.NotJson:
        return None
    return value if isinstance(value, dict) else None


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


_USAGE = re.compile(rb'"usage"\s*:\s*\{')

# Groq says it in x_groq unless asked, Moonshot in the choice that ends; images and audio have
# their own events with it at the top.
PLACES = {
    "chat": Place(
        b'"usage"', _USAGE, (("usage",), ("x_groq", "usage"), ("choices", "0", "usage")), _latest(read_chat),
        re.compile(rb'"choices"\s*:\s*\[\s*\]|"finish_reason"\s*:\s*"|"type"\s*:\s*"[\w.]+\.(?:done|completed)"'),
    ),
    "responses": Place(
        b'"usage"', _USAGE, (("response", "usage"), ("usage",)), _latest(read_responses),
        re.compile(rb"response\.(?:completed|incomplete|failed)"),
    ),
    "messages": Place(
        b'"usage"', _USAGE, (("message", "usage"), ("usage",)), _merged, re.compile(rb'"stop_reason"\s*:\s*"'),
        opening=("message", "usage"),
    ),
    "gemini": Place(
        b'"usageMetadata"', re.compile(rb'"usageMetadata"\s*:\s*\{'),
        (("usageMetadata",), ("response", "usageMetadata")), _latest(read_gemini),
        re.compile(rb'"(?:finishReason|blockReason)"\s*:\s*"'),
    ),
}  # fmt: skip
