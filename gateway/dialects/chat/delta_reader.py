"""One ``choices`` entry of a chunk: a table from its delta's members to what they do."""

from collections.abc import Callable
from typing import Any

from gateway.dialects.chat.assistant import read_audio
from gateway.dialects.chat.citations import read_citation
from gateway.dialects.chat.content import read_images, thought
from gateway.dialects.chat.open_parts import CONTENT, REASONING, REFUSAL, Events, OpenParts, Source
from gateway.dialects.chat.shapes import Malformed, said
from gateway.dialects.chat.thinking import BETWEEN, ENCRYPTED, SUMMARY, TEXT, proof_dialect, read_signature
from gateway.dialects.vocabulary import Reasoning, Text


def read_choice(parts: OpenParts, choice: dict[str, Any], events: Events) -> None:
    """What *choice* adds to *parts*, as events; null, empty and unknown members add nothing."""
    if parts.finished:
        return
    delta = choice.get("delta")
    if delta is None:
        delta = choice.get("message")  # servers that stream a whole reply as one event
    if isinstance(delta, dict):
        logprobs = choice.get("logprobs")
        if not isinstance(logprobs, dict):
            logprobs = None
        for member, value in _ordered(delta):
            _READERS[member](parts, value, events, logprobs)
    finish = choice.get("finish_reason")
    if finish and isinstance(finish, str):
        parts.finish(finish, events)


def _ordered(delta: dict[str, Any]) -> list[tuple[str, Any]]:
    """The members that say something, in the order an answer has them, each thought once:
    OpenRouter says it in reasoning and reasoning_details, vLLM in reasoning_content and reasoning."""
    members = [(name, delta[name]) for name in _READERS if delta.get(name)]
    if len(members) < 2:
        return members
    told = {name for name, _ in members}
    if "reasoning_details" in told and _says_words(delta["reasoning_details"]):
        told -= {"reasoning_content", "reasoning"}
    elif "reasoning_content" in told:
        told -= {"reasoning"}
    return [(name, value) for name, value in members if name in told]


def _says_words(details: Any) -> bool:
    entries = details if isinstance(details, list) else []
    return any(isinstance(entry, dict) and (entry.get("text") or entry.get("summary")) for entry in entries)


# --- words -------------------------------------------------------------------------------------


def _content(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    if isinstance(value, str):
        parts.say(CONTENT, value, events, logprobs)
    for part in value if isinstance(value, list) else []:  # Mistral streams parts: text, thinking
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "thinking":
            parts.say(REASONING, thought(part), events)
        elif kind == "text":
            parts.say(CONTENT, said(part.get("text")) or "", events)


def _refusal(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    if isinstance(value, str):
        parts.say(REFUSAL, value, events, logprobs)


def _reasoning(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    if isinstance(value, str):
        parts.say(REASONING, value, events)


# --- thinking with proofs ----------------------------------------------------------------------


def _details(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    for entry in value if isinstance(value, list) else []:
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind in (TEXT, SUMMARY):
            _detail_words(parts, entry, events)
        elif kind == ENCRYPTED:
            _detail_encrypted(parts, entry, events)


def _detail_words(parts: OpenParts, entry: dict[str, Any], events: Events) -> None:
    summary = entry["type"] == SUMMARY
    text, signature = said(entry.get("summary" if summary else "text")) or "", said(entry.get("signature"))
    if not text and not signature:
        return
    dialect, item = proof_dialect(entry), said(entry.get("id"))
    source = (_block(entry), dialect, item)
    if _repeats(parts, text):
        parts.entry = source
    elif parts.kind != REASONING or parts.entry is None or not _continues(parts.entry, source):
        parts.open(REASONING, Reasoning(id=item, summary=summary, dialect=dialect), events, source)
        if text:
            parts.more(text, events)
    elif text:
        parts.more(text if parts.entry[:2] == source[:2] else BETWEEN + text, events)
        parts.entry = source
    if signature:
        parts.mark(events, signature=signature, dialect=dialect)
        parts.shut(events)  # nothing comes behind the signature of a thought


def _repeats(parts: OpenParts, text: str) -> bool:
    """Whether *text* is what the open plain reasoning has said already. Gateways that learn of
    the proof last (ours does) say the thought once more with it, a summary piece by piece."""
    if parts.kind != REASONING or not parts.thought:
        return False
    so_far = "".join(parts.thought)
    if not so_far.startswith(text):
        return False
    rest = so_far[len(text) :].removeprefix(BETWEEN) if text else so_far
    parts.thought = [rest] if rest else []
    return True


def _block(entry: dict[str, Any]) -> Any:
    index = entry.get("index")
    return index if isinstance(index, int) else None


def _continues(open_entry: Source, source: Source) -> bool:
    # Pieces of one summary have an index each and share the item's id.
    return open_entry[:2] == source[:2] or (source[2] is not None and open_entry[1:] == source[1:])


def _detail_encrypted(parts: OpenParts, entry: dict[str, Any], events: Events) -> None:
    data, item, dialect = said(entry.get("data")), said(entry.get("id")), proof_dialect(entry)
    if not data:
        return
    if dialect == "gemini" and item:  # of a tool call, which may be open already or yet to come
        parts.calls.sign(item, data, events)
    elif dialect == "gemini":
        parts.whole(Reasoning(signature=data, dialect=dialect), events)
    elif dialect == "responses" and parts.kind == REASONING and parts.entry and parts.entry[1] == dialect:
        parts.mark(events, encrypted=data, dialect=dialect)
        parts.shut(events)
    else:
        parts.whole(Reasoning(encrypted=data, id=item, dialect=dialect), events)


# --- what hangs on words, media, calls ---------------------------------------------------------


def _annotations(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    for annotation in value if isinstance(value, list) else []:
        if isinstance(annotation, dict):
            if parts.kind != CONTENT:
                parts.open(CONTENT, Text(""), events)
            parts.mark(events, citation=read_citation(annotation, parts.before))


def _extra_content(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    signature = read_signature({"extra_content": value})
    if signature is None:
        return
    if parts.kind == CONTENT:
        parts.mark(events, signature=signature)
    else:
        parts.whole(Text("", signature=signature), events)


def _images(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    try:
        images = read_images(value, "images")
    except Malformed:
        return
    for image in images:
        parts.whole(image, events)


def _audio(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    """Every piece of audio is a part of its own: it can be played as it comes."""
    media = read_audio(value) if isinstance(value, dict) else None
    if media is not None and (media.data or media.transcript):
        parts.whole(media, events)


def _tool_calls(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    for entry in value if isinstance(value, list) else []:
        if isinstance(entry, dict):
            parts.shut(events)
            parts.calls.take(entry, events)


def _function_call(parts: OpenParts, value: Any, events: Events, logprobs: Any) -> None:
    if isinstance(value, dict):
        parts.shut(events)
        parts.calls.take({"index": 0, "function": value}, events)


_READERS: dict[str, Callable[[OpenParts, Any, Events, Any], None]] = {
    "reasoning_content": _reasoning,
    "reasoning": _reasoning,
    "reasoning_details": _details,
    "content": _content,
    "refusal": _refusal,
    "annotations": _annotations,
    "images": _images,
    "audio": _audio,
    "tool_calls": _tool_calls,
    "function_call": _function_call,
    "extra_content": _extra_content,
}
