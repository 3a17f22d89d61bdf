"""Items that a model makes (messages, reasoning, calls) as parts: in a reply, a stream or a history.

Lenient: a member of a wrong type counts as not there. What a request must have is checked by
turn_reader.
"""

from typing import Any

from gateway import json_text
from gateway.dialects.responses.schema import CALL_TYPES, DIALECT, listing, mapping, string
from gateway.dialects.vocabulary import Citation, Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall


def citation(annotation: Any) -> Citation:
    """A ``url_citation``, ``file_citation``, ``container_file_citation`` or ``file_path``."""
    raw = mapping(annotation)
    start, end = raw.get("start_index"), raw.get("end_index")
    return Citation(
        url=string(raw.get("url")) or None,
        title=string(raw.get("title")) or string(raw.get("filename")) or None,
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
        dialect=DIALECT,
        raw=raw,
    )


def citations(part: dict) -> list[Citation]:
    return [citation(annotation) for annotation in listing(part.get("annotations"))]


def joined_name(namespace: str, name: str) -> str:
    """The flat name of a tool that the client keeps in a namespace: other dialects have none."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


def words(value: Any) -> str:
    """Text that should be a string; some clients send the JSON value itself."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text.write(value).decode()


def tool_call(item: dict) -> ToolCall:
    """A ``function_call`` or ``custom_tool_call``."""
    kind = CALL_TYPES.get(string(item.get("type")), "function")
    return ToolCall(
        id=string(item.get("call_id")) or string(item.get("id")),
        name=joined_name(string(item.get("namespace")), string(item.get("name"))),
        arguments=words(item.get("arguments" if kind == "function" else "input")),
        kind=kind,
        item_id=string(item.get("id")) or None,
    )


def reasoning(item: dict) -> Reasoning:
    """A ``reasoning`` item. Its summary is preferred; the raw ``content`` (open-weights models)
    says the same at length and stands only where there is no summary."""
    pieces = [string(mapping(piece).get("text")) for piece in listing(item.get("summary"))]
    raw = [string(mapping(piece).get("text")) for piece in listing(item.get("content"))]
    summary = bool(pieces) or not raw
    chosen = pieces if summary else raw
    return Reasoning(
        text="\n\n".join(chosen) if summary else "".join(chosen),
        encrypted=string(item.get("encrypted_content")) or None,
        id=string(item.get("id")) or None,
        summary=summary,
        pieces=chosen if len(chosen) > 1 else [],
        dialect=DIALECT,
    )


def image(item: dict) -> Media:
    """An ``image_generation_call`` with its picture."""
    kind = string(item.get("output_format")) or "png"
    extra = {name: value for name, value in item.items() if name != "result"}
    return Media("image", data=item["result"], media_type=f"image/{kind}", extra=extra, extra_dialect=DIALECT)


def content_part(part: dict) -> Part | None:
    """A part of an assistant's message in a reply."""
    kind = part.get("type")
    if kind == "refusal":
        return Refusal(string(part.get("refusal")))
    if kind == "output_text" or isinstance(part.get("text"), str):
        return Text(string(part.get("text")), citations(part))
    return None


def item_parts(item: Any) -> list[Part]:
    """The parts of one item of a reply's ``output``; empty for an item that says nothing."""
    item = mapping(item)
    kind = string(item.get("type"))
    if kind == "message":
        parts = [content_part(mapping(part)) for part in listing(item.get("content"))]
        return [part for part in parts if part is not None]
    if kind == "reasoning":
        thought = reasoning(item)
        return [thought] if thought.text or thought.encrypted else []
    if kind in CALL_TYPES:
        return [tool_call(item)]
    if is_image(item):
        return [image(item)]
    return [Opaque(DIALECT, item)] if kind else []


def is_image(item: dict) -> bool:
    return item.get("type") == "image_generation_call" and bool(string(item.get("result")))


def logprobs(listed: Any) -> dict | None:
    """``logprobs`` of an output text in chat's shape; None when there are none."""
    found = [_with_bytes(entry) for entry in listing(listed) if isinstance(entry, dict)]
    for entry in found:
        if "top_logprobs" in entry:
            entry["top_logprobs"] = [_with_bytes(mapping(other)) for other in listing(entry["top_logprobs"])]
    return {"content": found, "refusal": None} if found else None


def _with_bytes(entry: dict) -> dict:
    """Streams leave ``bytes`` out, which chat always says."""
    return {"token": entry.get("token"), "bytes": None, **entry}
