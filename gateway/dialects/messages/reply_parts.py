"""What whole replies and streams to a Messages client have in common."""

from typing import Any

from gateway.dialects.messages import envelope
from gateway.dialects.messages.schema import DIALECT, STOP_REASONS, STOP_WORDS
from gateway.dialects.vocabulary import Citation, Delta, Finish, Mark, Media, Part, Reasoning, Refusal, Text, ToolCall

_OWN = (DIALECT, "")


def citation_block(citation: Citation) -> dict[str, Any] | None:
    """A citation: Anthropic's own as it was, a web address as a web search result's location. One
    without either cannot be said."""
    if citation.dialect == DIALECT and isinstance(citation.raw, dict):
        return citation.raw
    if not citation.url:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def is_redacted(part: Reasoning) -> bool:
    return part.dialect == DIALECT and part.encrypted is not None


def signature_of(part: Reasoning) -> str:
    """The ``signature`` that the client sends back with the block; another dialect's proof goes
    sealed. Compulsory, so empty when there is none."""
    if part.dialect in _OWN:
        return part.signature or ""
    return envelope.seal(part) if part.signature or part.encrypted else ""


def media_words(media: Media) -> str:
    """An answer holds no images here: they are shown as Markdown, of a recording its words."""
    if media.transcript:
        return media.transcript
    address = media.url
    if address is None and media.data is not None and media.media_type:
        address = f"data:{media.media_type};base64,{media.data}"
    return f"![{media.name or media.kind}]({address})" if address and media.kind == "image" else ""


def already_said(index: int, part: Part) -> list[Delta | Mark]:
    """What a part of a stream says by the time it opens, as if it came after."""
    if isinstance(part, Media):
        words = media_words(part)
    elif isinstance(part, ToolCall):
        words = part.arguments
    else:
        words = part.text if isinstance(part, (Text, Reasoning, Refusal)) else ""
    said: list[Delta | Mark] = [Delta(index, words)] if words else []
    if isinstance(part, Text):
        said += [Mark(index, citation=citation) for citation in part.citations]
    return said


def stop_of(finish: Finish | None, calls: bool, refused: bool) -> dict[str, Any]:
    """``stop_reason``, ``stop_sequence`` and ``stop_details``. Anthropic's own word is kept; and
    whether the client must run tools is told by the calls that are there."""
    if finish is None:
        finish = Finish("stop")
    if finish.raw in STOP_REASONS:
        word = finish.raw
    elif finish.reason in ("stop", "tool_calls"):
        word = "tool_use" if calls else "refusal" if refused else "end_turn"
    else:
        word = STOP_WORDS.get(finish.reason, "end_turn")
    stop: dict[str, Any] = {"stop_reason": word, "stop_sequence": finish.sequence}
    if word == "refusal":
        why = finish.raw if finish.raw not in STOP_REASONS else None
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": why}
    return stop


def reply_id(given: str, new_id: Any) -> str:
    """A reply's id begins with ``msg_``: clients and their logs tell kinds of ids by it."""
    return given if given.startswith("msg_") else new_id("msg_")
