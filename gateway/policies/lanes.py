"""Where the events of each dialect carry the text that a model writes piece by piece.

What a model says is several texts at once: the answer, its reasoning, the arguments of each call. Each
is a lane. ``read_event(dialect, document)`` tells which lanes an event continues and which it ends;
``event_of(piece, text)`` writes an event that carries *text* in the lane of *piece*, and nothing else
that clients would add up.

Sources: OpenAI's API reference (chat completion chunks; streaming events of Responses), Anthropic's "Streaming
Messages", Google's GenerateContentResponse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway import json_text, sse

ALL = ("all",)  # every lane ends
Group = tuple


@dataclass(frozen=True, slots=True)
class Piece:
    """One event's share of a lane. *path* is where it stands in the event; *group* is what ends together."""

    dialect: str
    path: tuple
    lane: tuple
    text: str
    document: dict

    @property
    def group(self) -> Group:
        return self.lane[:1]


def read_event(dialect: str, document: Any) -> tuple[list[Piece], list[Group]]:
    """(the pieces in an event, the groups of lanes that end with it)."""
    if not isinstance(document, dict):
        return [], []
    if dialect == "chat" and "choices" not in document and "type" in document:
        dialect = "responses"  # transcripts, under OpenAI's other paths
    pieces, ended = _READERS[dialect](document)
    return [Piece(dialect, path, lane, text, document) for path, lane, text in pieces], ended


def event_of(piece: Piece, text: str) -> bytes:
    """An event of its own with *text* as the next piece of the same lane."""
    document = _WRITERS[piece.dialect](piece, text)
    name = document["type"] if piece.dialect in ("messages", "responses") else ""
    return sse.write_event(json_text.write(document), name)


# --- chat (and completions) ----------------------------------------------------------------------

_CHAT_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_CHAT_ENVELOPE = ("id", "object", "created", "model", "provider", "system_fingerprint", "service_tier")


def _read_chat(document: dict) -> tuple[list, list[Group]]:
    pieces, ended = [], []
    for place, choice in _entries(document, "choices"):
        index = choice.get("index", place)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for path, lane, text in _chat_delta(delta):
                pieces.append((("choices", place, "delta", *path), (index, *lane), text))
        if isinstance(choice.get("text"), str):
            pieces.append((("choices", place, "text"), (index, "text"), choice["text"]))
        if choice.get("finish_reason"):
            ended.append((index,))
    return pieces, ended


def _chat_delta(delta: dict) -> Iterator[tuple[tuple, tuple, str]]:
    for name in _CHAT_TEXTS:
        if isinstance(delta.get(name), str):
            yield (name,), (name,), delta[name]
    for place, detail in _entries(delta, "reasoning_details"):
        for name in ("text", "summary"):
            if isinstance(detail.get(name), str):
                yield ("reasoning_details", place, name), (name, detail.get("index", place)), detail[name]
    for place, tool in _entries(delta, "tool_calls"):
        for kind, name in (("function", "arguments"), ("custom", "input")):
            inner = tool.get(kind)
            if isinstance(inner, dict) and isinstance(inner.get(name), str):
                yield ("tool_calls", place, kind, name), (name, tool.get("index", place)), inner[name]
    for kind, name in (("function_call", "arguments"), ("audio", "transcript")):
        inner = delta.get(kind)
        if isinstance(inner, dict) and isinstance(inner.get(name), str):
            yield (kind, name), (kind, name), inner[name]


def _write_chat(piece: Piece, text: str) -> dict:
    document = {name: piece.document[name] for name in _CHAT_ENVELOPE if name in piece.document}
    choice: dict[str, Any] = {"index": piece.lane[0]}
    if piece.path[2] == "delta":
        choice["delta"] = _nested(piece.path[3:], text, piece.lane[-1])
    else:
        choice["text"] = text
    return document | {"choices": [choice | {"finish_reason": None}]}


def _nested(path: tuple, text: str, index: Any) -> dict:
    """The delta with nothing in it but what *path* leads to."""
    name, *rest = path
    if not rest:
        return {name: text}
    if isinstance(rest[0], int):
        return {name: [{"index": index} | _nested(tuple(rest[1:]), text, index)]}
    return {name: _nested(tuple(rest), text, index)}


# --- responses -----------------------------------------------------------------------------------

_ITEM_ENDS = (".done", ".completed", ".incomplete", ".failed", "error")
_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def _read_responses(document: dict) -> tuple[list, list[Group]]:
    kind = document.get("type")
    if not isinstance(kind, str):
        return [], []
    group = document.get("output_index", document.get("item_id"))
    if kind.endswith(".delta") and isinstance(document.get("delta"), str) and "audio.delta" not in kind:
        lane = (group, kind, document.get("content_index"), document.get("summary_index"))
        return [(("delta",), lane, document["delta"])], []
    if kind in _RESPONSE_ENDS:
        return [], [ALL]
    return [], [(group,)] if kind.endswith(_ITEM_ENDS) else []


def _write_responses(piece: Piece, text: str) -> dict:
    kept = {name: value for name, value in piece.document.items() if name not in ("logprobs", "obfuscation")}
    if "logprobs" in piece.document:
        kept["logprobs"] = []
    return kept | {"delta": text}


# --- messages ------------------------------------------------------------------------------------


def _read_messages(document: dict) -> tuple[list, list[Group]]:
    kind, index = document.get("type"), document.get("index")
    if kind == "content_block_delta" and isinstance(document.get("delta"), dict):
        delta = document["delta"]
        names = [name for name in ("text", "thinking", "partial_json") if isinstance(delta.get(name), str)]
        return [(("delta", name), (index, name), delta[name]) for name in names], []
    if kind == "content_block_stop":
        return [], [(index,)]
    return [], [ALL] if kind in ("message_delta", "message_stop", "error") else []


def _write_messages(piece: Piece, text: str) -> dict:
    delta = {"type": piece.document["delta"].get("type"), piece.path[1]: text}
    return {"type": "content_block_delta", "index": piece.lane[0], "delta": delta}


# --- gemini --------------------------------------------------------------------------------------


def _read_gemini(document: dict) -> tuple[list, list[Group]]:
    pieces, ended = [], []
    for place, candidate in _entries(document, "candidates"):
        index = candidate.get("index", place)
        content = candidate.get("content")
        for number, part in _entries(content if isinstance(content, dict) else {}, "parts"):
            if isinstance(part.get("text"), str):
                path = ("candidates", place, "content", "parts", number, "text")
                pieces.append((path, (index, bool(part.get("thought"))), part["text"]))
        if candidate.get("finishReason"):
            ended.append((index,))
    return pieces, ended


def _write_gemini(piece: Piece, text: str) -> dict:
    index, thought = piece.lane
    part: dict[str, Any] = {"text": text} | ({"thought": True} if thought else {})
    kept = {name: piece.document[name] for name in ("modelVersion", "responseId") if name in piece.document}
    return {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": index}]} | kept


def _entries(document: dict, name: str) -> Iterator[tuple[int, dict]]:
    """The objects in a list, with their places."""
    found = document.get(name)
    for place, entry in enumerate(found if isinstance(found, list) else ()):
        if isinstance(entry, dict):
            yield place, entry


_READERS = {"chat": _read_chat, "responses": _read_responses, "messages": _read_messages, "gemini": _read_gemini}
_WRITERS = {"chat": _write_chat, "responses": _write_responses, "messages": _write_messages, "gemini": _write_gemini}
