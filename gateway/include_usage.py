"""Chat streams tell their usage only when asked (OpenAI: ``stream_options.include_usage``).

The gateway asks where the client did not, and withholds the chunk that comes for it: the last one,
with an empty list of choices (platform.openai.com/docs/api-reference/chat-streaming). Vendors that
tell it in a chunk with choices are understood too; such a chunk is the client's.
"""

import re
from typing import Any

from gateway import json_edit, json_text, sse
from gateway.bodies import JsonBody
from gateway.domain import GENERATE, Call, Channel

_STREAMED = frozenset({GENERATE, "completions"})
_OPTIONS = "stream_options"
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
# One event with the empty line behind it, in any of the three line ends; or empty lines beyond that.
_EVENT = re.compile(rb"[\r\n]+|[^\r\n].*?(?:(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)|\Z)", re.DOTALL)


def usage_edits(call: Call, channel: Channel, dialect: str) -> list[tuple[str, Any]]:
    """What to change in a body in chat's *dialect*, as (JSON Pointer, value), so that the stream
    tells its usage; nothing if it will anyway or *channel* does not know the option."""
    if dialect != "chat" or not call.stream or call.operation not in _STREAMED:
        return []
    if "no_stream_options" in channel.provider.traits or not isinstance(call.body, JsonBody):
        return []
    if call.dialect != "chat":  # a translated request asks by itself
        return []
    options = _options(call.body.data)
    if options is None:
        return [(f"/{_OPTIONS}", {"include_usage": True})]
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return []
    return [(f"/{_OPTIONS}/include_usage", True)]


def _options(data: bytes) -> Any:
    if _OPTIONS.encode() not in data:
        return None
    found = json_edit.top_level(data, _OPTIONS)
    return json_text.parse(found[-1]) if found else None


class UsageChunkFilter:
    """Takes the usage chunk out of a stream of chat; every other byte stays."""

    __slots__ = ()

    def feed(self, whole: bytes) -> bytes:
        if b'"usage"' not in whole or not _NO_CHOICES.search(whole):
            return whole
        return b"".join(event for event in _EVENT.findall(whole) if not _is_usage_chunk(event))

    def part(self, piece: bytes) -> bytes:
        """A piece of an event too large to be held, which no usage chunk is."""
        return piece

    def close(self) -> bytes:
        return b""


def _is_usage_chunk(event: bytes) -> bool:
    found = sse.parse_event(event)
    if found is None:
        return False
    try:
        chunk = json_text.parse(found.data)
    except json_text.NotJson:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
