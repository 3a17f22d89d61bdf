"""Content blocks in neutral words, for requests and replies alike.

A block of an unknown type (server tools and their results, MCP, search results, tool references,
container uploads and what is still to come) becomes an Opaque part, never an error. Members of a
known block that have no word here are handed out beside the part.
"""

from typing import Any

from gateway.dialects.messages import envelope
from gateway.dialects.messages.schema import DIALECT
from gateway.dialects.messages.shape import as_json, boolean, listing, mapping, maybe, string
from gateway.dialects.vocabulary import Citation, Media, Opaque, Part, Reasoning, Text, ToolCall, ToolResult

# A part and the members of its block that the part has no place for.
Read = tuple[Part, dict[str, Any]]

_KNOWN = {
    "text": {"type", "text", "citations", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input", "cache_control"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
}
_DIRECT = {"type": "direct"}  # the caller of every ordinary tool call: says nothing new


def read_content(content: Any, path: str) -> list[Read]:
    """The parts of a message's ``content`` (a string stands for one text block)."""
    if isinstance(content, str):
        return [(Text(content), {})] if content else []
    found: list[Read] = []
    call_signature = None
    for i, block in enumerate(listing(content, path)):
        sealed = _sealed(block)
        if sealed.get("of") == "call":
            call_signature = sealed.get("signature")
            continue
        if sealed.get("of") == "text":
            _sign_text(found, sealed.get("signature"))
            continue
        part, extra = read_block(block, f"{path}.{i}")
        if call_signature and isinstance(part, ToolCall):
            part.signature, call_signature = call_signature, None
        found.append((part, extra))
    return found


def read_parts(content: Any, path: str) -> list[Part]:
    """As read_content, without the members that have no place."""
    return [part for part, _ in read_content(content, path)]


def read_block(block: Any, path: str) -> Read:
    """One content block. Raises Misshapen when a block of a known type is not well formed."""
    return _read(block, path, _READERS)


def _read(block: Any, path: str, readers: dict[str, Any]) -> Read:
    kind = string(mapping(block, path).get("type"), f"{path}.type")
    reader = readers.get(kind)
    if reader is None:
        return Opaque(DIALECT, block), {}
    part = reader(block, path)
    known = _KNOWN.get(kind)
    if known is None or block.keys() <= known:
        return part, {}
    extra = {k: v for k, v in block.items() if k not in known and v is not None and v != _DIRECT}
    return part, extra


def read_citation(raw: Any, path: str) -> Citation:
    """A citation; Anthropic's count positions in the cited document, not in the answer."""
    raw = mapping(raw, path)
    url, quote = raw.get("url") or raw.get("source"), raw.get("cited_text")
    title = raw.get("title") or raw.get("document_title")
    named = {"url": url, "title": title, "quote": quote}
    return Citation(**{k: v for k, v in named.items() if isinstance(v, str)}, dialect=DIALECT, raw=raw)


def _text(block: dict, path: str) -> Text:
    cited = maybe(listing, block.get("citations"), f"{path}.citations") or []
    citations = [read_citation(raw, f"{path}.citations.{i}") for i, raw in enumerate(cited)]
    return Text(string(block.get("text"), f"{path}.text"), citations, cache=block.get("cache_control"))


def _thinking(block: dict, path: str) -> Reasoning:
    text = string(block.get("thinking"), f"{path}.thinking")
    signature = maybe(string, block.get("signature"), f"{path}.signature")
    fields = envelope.unseal(signature) if signature else None
    if fields is None:
        return Reasoning(text, signature=signature, dialect=DIALECT)
    return envelope.open_reasoning(text, fields)


def _sealed(block: Any) -> dict[str, Any]:
    """What *block* was written to carry, if it says nothing itself."""
    if not isinstance(block, dict) or block.get("type") != "thinking" or block.get("thinking") != "":
        return {}
    signature = block.get("signature")
    return (envelope.unseal(signature) if isinstance(signature, str) else None) or {}


def _sign_text(found: list[Read], signature: str | None) -> None:
    """Put the signature on the text right before it; Gemini also signs texts without words."""
    if found and isinstance(found[-1][0], Text):
        found[-1][0].signature = signature
    else:
        found.append((Text("", signature=signature), {}))


def _redacted(block: dict, path: str) -> Reasoning:
    return Reasoning(encrypted=string(block.get("data"), f"{path}.data"), dialect=DIALECT)


def _tool_use(block: dict, path: str) -> ToolCall:
    given = block.get("input")
    arguments = as_json(maybe(mapping, given, f"{path}.input"), path) if given is not None else ""
    return ToolCall(
        id=maybe(string, block.get("id"), f"{path}.id") or "",
        name=string(block.get("name"), f"{path}.name"),
        arguments=arguments,
        cache=block.get("cache_control"),
    )


def _tool_result(block: dict, path: str) -> ToolResult:
    content = block.get("content")
    if isinstance(content, str):
        parts: list[Part] = [Text(content)] if content else []
    else:
        blocks = maybe(listing, content, f"{path}.content") or []
        parts = [_read(inner, f"{path}.content.{i}", _RESULT_READERS)[0] for i, inner in enumerate(blocks)]
    return ToolResult(
        call_id=string(block.get("tool_use_id"), f"{path}.tool_use_id"),
        parts=parts,
        is_error=maybe(boolean, block.get("is_error"), f"{path}.is_error"),
        cache=block.get("cache_control"),
    )


# --- images and documents ----------------------------------------------------------------------


def _image(block: dict, path: str) -> Part:
    return _media("image", block, path, {"type", "source", "cache_control"})


def _document(block: dict, path: str) -> Part:
    part = _media("file", block, path, {"type", "source", "cache_control", "title"})
    if isinstance(part, Media):
        part.name = maybe(string, block.get("title"), f"{path}.title")
    return part


def _media(kind: str, block: dict, path: str, known: set[str]) -> Part:
    source = mapping(block.get("source"), f"{path}.source")
    reader = _SOURCES.get(source.get("type") if isinstance(source.get("type"), str) else "")
    fields = reader(source, f"{path}.source") if reader else None
    if fields is None:
        return Opaque(DIALECT, block)
    extra = fields.pop("extra", {}) | {k: v for k, v in block.items() if k not in known and v is not None}
    return Media(kind, cache=block.get("cache_control"), extra=extra, extra_dialect=DIALECT if extra else "", **fields)


def _base64(source: dict, path: str) -> dict[str, Any]:
    media_type = maybe(string, source.get("media_type"), f"{path}.media_type")
    return {"data": string(source.get("data"), f"{path}.data"), "media_type": media_type}


def _url(source: dict, path: str) -> dict[str, Any]:
    return {"url": string(source.get("url"), f"{path}.url")}


def _file(source: dict, path: str) -> dict[str, Any]:
    return {"file_id": string(source.get("file_id"), f"{path}.file_id")}


def _plain(source: dict, path: str) -> dict[str, Any]:
    return {"text": string(source.get("data"), f"{path}.data"), "media_type": "text/plain"}


def _inline(source: dict, path: str) -> dict[str, Any] | None:
    """A document given as text blocks is a text document to everyone else; one that also holds
    images is something that nobody else can say."""
    content = source.get("content")
    if isinstance(content, str):
        return {"text": content, "media_type": "text/plain", "extra": {"source": source}}
    readers = {"text": _text}
    parts = [_read(block, f"{path}.content.{i}", readers)[0] for i, block in enumerate(listing(content, path))]
    if not all(isinstance(part, Text) for part in parts):
        return None
    return {"text": "\n".join(part.text for part in parts), "media_type": "text/plain", "extra": {"source": source}}


_SOURCES = {"base64": _base64, "url": _url, "file": _file, "text": _plain, "content": _inline}

# Inside a tool_result; a tool_result in a tool_result is nothing the API knows.
_RESULT_READERS = {"text": _text, "image": _image, "document": _document}
_READERS = _RESULT_READERS | {
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
