"""Neutral parts as content blocks of a request to Anthropic.

Losses are named: ``part.KIND`` for a part that has no block here. Blocks without visible text
are left out (the API refuses them) and lose nothing.
"""

import re
import zlib
from typing import Any

from gateway import json_text
from gateway.dialects.messages.media import media_block
from gateway.dialects.messages.schema import DIALECT
from gateway.dialects.translation import unsaid_extras, unsaid_opaque
from gateway.dialects.vocabulary import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

_PROPER_ID = re.compile(r"[a-zA-Z0-9_-]+")
_IMPROPER = re.compile(r"[^a-zA-Z0-9_-]")


class CallIds:
    """The ids that tie a tool_use to its tool_result. The API takes letters, digits, ``_`` and
    ``-`` only; an id that was never given is made up from the call's place."""

    def __init__(self) -> None:
        self._made = 0
        self._open: list[tuple[str, str]] = []  # (id, name) of calls without an id of their own

    def of_call(self, call: ToolCall) -> str:
        if call.id:
            return self._proper(call.id)
        self._made += 1
        made = f"toolu_{self._made:04d}"
        self._open.append((made, call.name))
        return made

    def of_result(self, result: ToolResult) -> str:
        if result.call_id or not self._open:
            return self._proper(result.call_id or "toolu_unknown")
        named = [pair for pair in self._open if result.name and pair[1] == result.name]
        pair = (named or self._open)[0]
        self._open.remove(pair)
        return pair[0]

    @staticmethod
    def _proper(given: str) -> str:
        if _PROPER_ID.fullmatch(given):
            return given
        # Two ids that differ only in what is replaced must stay two.
        return f"{_IMPROPER.sub('_', given)}_{zlib.crc32(given.encode('utf-8', 'surrogatepass')):08x}"


def tool_input(arguments: str) -> tuple[dict[str, Any], bool]:
    """The ``input`` object that *arguments* say, and whether they said one. No arguments are an
    empty object; what is no object travels under ``_raw``: the model sees its own words again."""
    if not arguments.strip():
        return {}, True
    try:
        value = json_text.parse(arguments.encode("utf-8", "surrogatepass"))
    except json_text.NotJson:
        return {"_raw": arguments}, False
    return (value, True) if isinstance(value, dict) else ({"_raw": arguments}, False)


class PartWriter:
    """Parts as blocks; *native* when the conversation came from a Messages client."""

    def __init__(self, native: bool, traits: frozenset[str], dropped: list[str]):
        self._native = native
        self._traits = traits
        self._dropped = dropped
        self._ids = CallIds()

    def blocks(self, parts: list[Part], role: str) -> list[dict]:
        """The blocks of *parts* in a message of *role* (user, assistant or system)."""
        written = []
        for part in parts:
            if not isinstance(part, Reasoning) and getattr(part, "signature", None):
                self._lose("signature")
            block = _WRITERS[type(part)](self, part, role)
            if block is not None:
                written.append(block)
        return written

    def _lose(self, name: str) -> None:
        self._dropped.append(f"part.{name}")

    def _text(self, part: Text, role: str) -> dict | None:
        citations = [c.raw for c in part.citations if c.dialect == DIALECT and isinstance(c.raw, dict)]
        if len(citations) < len(part.citations):
            self._lose("citation")
        return _text_block(part.text, part.cache, citations)

    def _refusal(self, part: Refusal, role: str) -> dict | None:
        return _text_block(part.text)

    def _media(self, part: Media, role: str) -> dict | None:
        block = media_block(part, self._native, self._traits) if role == "user" else None
        if block is None:
            self._lose(part.kind)
            return _text_block(part.transcript) if part.transcript else None
        if part.kind == "image" and part.detail in ("low", "high"):
            self._lose("image.detail")
        self._dropped += unsaid_extras(part, DIALECT)
        return _cached(block, part.cache)

    def _reasoning(self, part: Reasoning, role: str) -> dict | None:
        if part.dialect == DIALECT and part.encrypted is not None:
            return {"type": "redacted_thinking", "data": part.encrypted}
        if part.dialect == DIALECT and (part.signature or (self._native and part.signature is not None)):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self._lose("reasoning")  # the API refuses thinking that it did not sign
        return None

    def _tool_call(self, part: ToolCall, role: str) -> dict:
        given, plain = tool_input(part.arguments)
        if not plain:
            self._lose("tool_call.arguments")
        call_id = part.id if self._native else self._ids.of_call(part)
        return _cached({"type": "tool_use", "id": call_id, "name": part.name, "input": given}, part.cache)

    def _tool_result(self, part: ToolResult, role: str) -> dict:
        call_id = part.call_id if self._native else self._ids.of_result(part)
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
        content = self.blocks(part.parts, "user")
        if content:
            block["content"] = shorthand(content)
        if part.is_error or (self._native and part.is_error is not None):
            block["is_error"] = part.is_error
        return _cached(block, part.cache)

    def _opaque(self, part: Opaque, role: str) -> dict | None:
        if part.dialect == DIALECT:
            return part.value
        self._dropped.append(unsaid_opaque(part))
        return None


def shorthand(blocks: list[dict]) -> str | list[dict]:
    """One plain text block as the string it stands for."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _text_block(text: str, cache: Any = None, citations: list[dict] | None = None) -> dict | None:
    if not text.strip():
        return None
    block: dict[str, Any] = {"type": "text", "text": text}
    if citations:
        block["citations"] = citations
    return _cached(block, cache)


def _cached(block: dict[str, Any], cache: Any) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = cache
    return block


_WRITERS = {
    Text: PartWriter._text,
    Refusal: PartWriter._refusal,
    Media: PartWriter._media,
    Reasoning: PartWriter._reasoning,
    ToolCall: PartWriter._tool_call,
    ToolResult: PartWriter._tool_result,
    Opaque: PartWriter._opaque,
}
