"""Change one member of a JSON text and leave every other byte as it is.

The text must be known to be JSON (json_text.parse or ``peek`` have seen it): the walk below looks
only at strings and brackets, which is enough to find where a value begins and ends.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.domain import REMOVED, Call
from gateway.errors import BadRequest
from gateway.json_pointer import tokens_of

_QUOTE, _BACKSLASH = b'"\\'
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NAME = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*)?")
_TO_NEXT = re.compile(rb'[^"\[\]{}]*+')
_ATOM = re.compile(rb"[^,\]}\s]+")


def edit(text: bytes, edits: list[tuple[str, Any]]) -> bytes:
    """*text* with each (JSON Pointer, value) carried out in order (RFC 6901; ``-`` appends to a
    list). REMOVED takes a member out; a missing parent is made, or, for REMOVED, left missing.

    Raises BadRequest when a pointer leads through something that is neither object nor list.
    """
    for pointer, value in edits:
        text = _edit_one(text, tokens_of(pointer), value, pointer)
    return text


def edit_body(call: Call, edits: list[tuple[str, Any]]) -> None:
    """Change members of the client's JSON body (see ``edit``), for every channel that the call may be
    tried on. A body of another kind is left alone. Raises BadRequest."""
    if edits and isinstance(call.body, JsonBody):
        call.body = JsonBody(edit(call.body.data, edits), call.body.content_type)
        call.prompt = None  # it was read from what the body was


def _edit_one(text: bytes, tokens: list[str], value: Any, pointer: str) -> bytes:
    start = _skip(text, 0)
    for depth, token in enumerate(tokens):
        last = depth == len(tokens) - 1
        if text[start : start + 1] not in (b"{", b"["):
            raise BadRequest(f"the body has no object at {pointer!r}, which this channel has to edit")
        spans = [span for span in _members(text, start) if span[0] == token]
        if not spans:
            if value is REMOVED:
                return text
            if text[start : start + 1] == b"[" and token != "-" and not token.isdecimal():
                raise BadRequest(f"the body has a list where {pointer!r} names a member")
            for missing in reversed(tokens[depth + 1 :]):
                value = {missing: value}
            return _insert(text, start, token, value)
        if last:
            return _replace(text, start, spans, value)
        start = spans[-1][2]  # of a key that comes twice, parsers take the last
    return text


Span = tuple[str, int, int, int]  # key or index, where the member starts, its value starts, its value ends


def _members(text: bytes, start: int) -> Iterator[Span]:
    """The members of the object or list that starts at *start*."""
    is_object = text[start : start + 1] == b"{"
    position, index = _skip(text, start + 1), 0
    while text[position : position + 1] not in (b"}", b"]", b""):
        begin, key = position, str(index)
        if is_object:
            name = _NAME.match(text, position)
            key = json.loads(b'"%b"' % name[1]) if b"\\" in name[1] else name[1].decode()
            position = name.end()
        end = _value_end(text, position)
        yield key, begin, position, end
        index += 1
        position = _NEXT.match(text, end).end()


def _skip(text: bytes, position: int) -> int:
    return _SPACE.match(text, position).end()


def _value_end(text: bytes, position: int) -> int:
    first = text[position]
    if first == _QUOTE:
        return _string_end(text, position)
    if first not in b"{[":
        return _ATOM.match(text, position).end()
    depth = 0
    while True:
        found = text[position]
        if found == _QUOTE:
            position = _string_end(text, position)
        else:
            depth += 1 if found in b"{[" else -1
            position += 1
            if not depth:
                return position
        position = _TO_NEXT.match(text, position).end()


def _string_end(text: bytes, position: int) -> int:
    # A pattern looks at each byte, find does not: strings may be images.
    end = text.index(b'"', position + 1)
    return end + 1 if text[end - 1] != _BACKSLASH else _STRING.match(text, position).end()


def _replace(text: bytes, start: int, spans: list[Span], value: Any) -> bytes:
    # A key that comes twice is edited everywhere: no parser may see the old value.
    for _, begin, value_start, value_end in reversed(spans):
        if value is not REMOVED:
            text = text[:value_start] + json_text.write(value) + text[value_end:]
            continue
        after = _skip(text, value_end)
        if text[after : after + 1] == b",":
            text = text[:begin] + text[_skip(text, after + 1) :]
        else:  # the last member: the comma before it goes too
            before = text[:begin].rstrip(b" \t\r\n")
            text = (before[:-1] if before.endswith(b",") else text[:begin]) + text[value_end:]
    return text


def _insert(text: bytes, start: int, token: str, value: Any) -> bytes:
    is_object = text[start : start + 1] == b"{"
    member = json_text.write(token) + b":" + json_text.write(value) if is_object else json_text.write(value)
    inside = _skip(text, start + 1)
    if text[inside : inside + 1] in (b"}", b"]"):
        return text[: start + 1] + member + text[start + 1 :]
    end = max(span[3] for span in _members(text, start))
    return text[:end] + b"," + member + text[end:]


def span_of(text: bytes, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Where the value at *path* begins and ends; None if there is none. Of a key that comes twice the last
    counts, as it does for parsers."""
    start, end = _skip(text, 0), len(text)
    for name in path:
        if text[start : start + 1] != (b"[" if isinstance(name, int) else b"{"):
            return None
        found = None
        for key, _, begin, value_end in _members(text, start):
            if key == str(name):
                found = begin, value_end
                if isinstance(name, int):
                    break
        if found is None:
            return None
        start, end = found
    return start, end


def top_level(text: bytes, name: str) -> list[bytes]:
    """The values (as JSON text) that the top-level key *name* has, in order; usually one."""
    return [text[start:end] for key, _, start, end in _members(text, _skip(text, 0)) if key == name]
