"""Whole replies both ways."""

from typing import Any

from gateway.dialects.messages import envelope
from gateway.dialects.messages.counts import read_usage, write_message_usage
from gateway.dialects.messages.faults import read_fault
from gateway.dialects.messages.part_reader import read_parts
from gateway.dialects.messages.part_writer import tool_input
from gateway.dialects.messages.reply_parts import (
    citation_block,
    is_redacted,
    media_words,
    reply_id,
    signature_of,
    stop_of,
)
from gateway.dialects.messages.schema import DIALECT, STOP_REASONS, TIERS_SERVED
from gateway.dialects.messages.shape import Misshapen, mapping, maybe, string
from gateway.dialects.vocabulary import (
    Asked,
    Choice,
    Completion,
    Finish,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.errors import ChannelAnswered, ChannelFailed

_KNOWN = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"}
_COUNTED = {
    "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation", "output_tokens_details", "service_tier",
}  # fmt: skip


def read_reply(document: Any) -> Completion:
    """A ``message`` object. Raises ChannelFailed (ChannelAnswered for an error object)."""
    if isinstance(document, dict) and document.get("type") == "error":
        raise ChannelAnswered(read_fault(document))
    try:
        return _read(mapping(document, ""))
    except Misshapen as error:
        raise ChannelFailed(f"the upstream's reply is no message: {error}") from None


def _read(document: dict[str, Any]) -> Completion:
    parts = read_parts(document.get("content"), "content")
    for part in parts:
        if isinstance(part, Text):
            for citation in part.citations:  # a cited block is cited from end to end
                citation.start, citation.end = 0, len(part.text)
    usage = document.get("usage")
    choice = Choice(parts, read_finish(document, any(isinstance(part, ToolCall) for part in parts)))
    if document.get("stop_details") is not None:
        choice.rest["stop_details"] = document["stop_details"]
    rest = {k: v for k, v in document.items() if k not in _KNOWN and v is not None}
    if isinstance(usage, dict):
        rest |= {f"usage.{k}": v for k, v in usage.items() if k not in _COUNTED and v is not None}
    return Completion(
        id=maybe(string, document.get("id"), "id") or "",
        model=maybe(string, document.get("model"), "model") or "",
        choices=[choice],
        usage=read_usage(usage),
        service_tier=read_tier(usage),
        dialect=DIALECT,
        rest=rest,
    )


def read_finish(document: dict[str, Any], calls: bool) -> Finish | None:
    """``stop_reason`` and ``stop_sequence`` of a message or of a message_delta's ``delta``. A word
    that is not known means the same as the nearest one that is, and is kept."""
    word = maybe(string, document.get("stop_reason"), "stop_reason")
    if word is None:
        return None
    reason = STOP_REASONS.get(word) or ("tool_calls" if calls else "stop")
    return Finish(reason, raw=word, sequence=maybe(string, document.get("stop_sequence"), "stop_sequence"))


def read_tier(usage: Any) -> str | None:
    """The tier that served, from ``usage.service_tier``."""
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return TIERS_SERVED.get(tier) if isinstance(tier, str) else None


# --- writing -----------------------------------------------------------------------------------


def write_reply(completion: Completion, asked: Asked) -> dict[str, Any]:
    """The ``message`` object for the client; of several choices only the first has a place."""
    choice = completion.choices[0] if completion.choices else Choice([])
    content = [block for part in choice.parts for block in _WRITERS[type(part)](part, asked)]
    calls = any(block["type"] == "tool_use" for block in content)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    own = completion.dialect == DIALECT
    usage = write_message_usage(completion.usage, completion.service_tier)
    document = {
        "id": completion.id if own and completion.id else reply_id(completion.id, asked.new_id),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        **stop_of(choice.finish, calls, refused),
        "usage": usage,
    }
    if own:
        _write_rest(document, completion.rest | choice.rest)
    return document


def _write_rest(document: dict[str, Any], rest: dict[str, Any]) -> None:
    for path, value in rest.items():
        parent, dot, name = path.partition(".")
        if dot and parent == "usage":
            document["usage"][name] = value
        else:
            document[path] = value


def _text(part: Text, asked: Asked) -> list[dict]:
    blocks = _words(part.text)
    citations = [block for block in map(citation_block, part.citations) if block is not None]
    if blocks and citations:
        blocks[0]["citations"] = citations
    if part.signature:
        blocks.append({"type": "thinking", "thinking": "", "signature": envelope.seal_text(part.signature)})
    return blocks


def _words(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []


def _reasoning(part: Reasoning, asked: Asked) -> list[dict]:
    if is_redacted(part):
        return [{"type": "redacted_thinking", "data": part.encrypted}]
    signature = signature_of(part)
    if not part.text and not signature:
        return []
    return [{"type": "thinking", "thinking": part.text, "signature": signature}]


def _tool_call(part: ToolCall, asked: Asked) -> list[dict]:
    call = {
        "type": "tool_use",
        "id": part.id or asked.new_id("toolu_"),
        "name": part.name,
        "input": tool_input(part.arguments)[0],
    }
    if not part.signature:
        return [call]
    return [{"type": "thinking", "thinking": "", "signature": envelope.seal_call(part.signature)}, call]


def _opaque(part: Opaque, asked: Asked) -> list[dict]:
    return [part.value] if part.dialect == DIALECT and isinstance(part.value.get("type"), str) else []


def _nothing(part: Part, asked: Asked) -> list[dict]:
    return []


_WRITERS = {
    Text: _text,
    Refusal: lambda part, asked: _words(part.text),
    Media: lambda part, asked: _words(media_words(part)),
    Reasoning: _reasoning,
    ToolCall: _tool_call,
    Opaque: _opaque,
    ToolResult: _nothing,  # no model writes one
}
