"""Assistant turns of a request's history, and what replies share with them."""

from typing import Any

from gateway.dialects.chat.call_ids import CallIds
from gateway.dialects.chat.citations import write_citations
from gateway.dialects.chat.saying import Saying, has_leftovers
from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.chat.thinking import call_detail, has_proof, joined, write_details, write_signature
from gateway.dialects.vocabulary import Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, Turn

# Members that are no answer by themselves: a message that has only these says nothing.
_SILENT = {"role", "content", "name", "reasoning_content", "reasoning_details", "extra_content", "annotations"}


def by_kind(parts: list[Part]) -> dict[type, list[Any]]:
    """Parts sorted by their class: chat has a member for each, and no order among them."""
    sorted_parts: dict[type, list[Any]] = {kind: [] for kind in _KINDS}
    for part in parts:
        sorted_parts[type(part)].append(part)
    return sorted_parts


_KINDS = (Text, Media, Reasoning, ToolCall, ToolResult, Refusal, Opaque)


def write_call(call: ToolCall, call_id: str, custom: bool = True) -> dict[str, Any]:
    """A tool call. Empty arguments become ``{}``: clients and vendors parse them unseen."""
    if call.kind == "custom" and custom:
        return {"id": call_id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments if call.arguments.strip() else "{}"}
    return {"id": call_id, "type": "function", "function": function}


def text_signature(texts: list[Text]) -> str | None:
    """The last thought signature on words (Gemini signs the last part of an answer)."""
    return next((text.signature for text in reversed(texts) if text.signature), None)


class AssistantWriter:
    """Writes assistant turns; what could not be said is named in ``saying.dropped``."""

    def __init__(self, saying: Saying, turns: list[Turn], ids: CallIds):
        self._saying = saying
        self._ids = ids
        self._thinks = any(isinstance(part, Reasoning) and part.text for turn in turns for part in turn.parts)

    def write(self, turn: Turn) -> dict[str, Any] | None:
        """The turn's message; None when all of it had to be dropped."""
        parts = by_kind(turn.parts)
        message: dict[str, Any] = {"role": "assistant", "content": self._content(parts[Text], turn)}
        if turn.name:
            message["name"] = turn.name
        if parts[Refusal]:
            message["refusal"] = "".join(part.text for part in parts[Refusal])
        details = self._unknown(parts[Opaque], message)
        self._thinking(parts[Reasoning], details, message, called=bool(parts[ToolCall]))
        self._extras(parts[Text], message)
        self._media(parts[Media], message)
        for part in parts[ToolResult]:
            self._saying.drop(part)
        if parts[ToolCall]:
            message["tool_calls"] = [self._call(call, message) for call in parts[ToolCall]]
        if message["content"] == "" and message.keys() - _SILENT:
            message["content"] = None
        if not self._saying.own and message["content"] == "" and message.keys() <= {"role", "content", "name"}:
            return None
        return message

    def _content(self, texts: list[Text], turn: Turn) -> Any:
        """Words as one string: several texts of an answer are pieces of one flow."""
        if self._saying.own and (len(texts) > 1 or has_leftovers(turn.rest) or any(text.cache for text in texts)):
            return [self._saying.marked({"type": "text", "text": text.text}, text) for text in texts]
        words = "".join(text.text for text in texts)
        marked = [text for text in texts if text.cache is not None]
        if marked and words:
            # One text in the end, so one mark: the last says how far the prefix reaches.
            part = self._saying.marked({"type": "text", "text": words}, marked[-1])
            return [part] if "cache_control" in part else words
        return words

    def _unknown(self, parts: list[Opaque], message: dict[str, Any]) -> list[dict[str, Any]]:
        """Unknown content parts go into the content; unknown reasoning_details are returned."""
        details = []
        for part in parts:
            if part.dialect != DIALECT or not self._saying.own:
                self._saying.drop(part)
            elif str(part.value.get("type")).startswith("reasoning."):
                details.append(part.value)
            else:
                words = message["content"]
                so_far = words if isinstance(words, list) else [{"type": "text", "text": words}] if words else []
                message["content"] = [*so_far, part.value]
        return details

    def _thinking(
        self, parts: list[Reasoning], details: list[dict[str, Any]], message: dict[str, Any], called: bool
    ) -> None:
        saying = self._saying
        text = joined(parts)
        if saying.allows("reasoning_content") and text:
            message["reasoning_content"] = text
        elif "reasoning_content" in saying.traits and not saying.own and (called or self._thinks):
            # DeepSeek refuses a conversation without the member, Kimi also an empty one.
            message["reasoning_content"] = " "
        if saying.allows("reasoning_details") and (details := write_details(parts) + details):
            message["reasoning_details"] = details
        for part in parts:
            as_text = part.text and saying.allows("reasoning_content")
            as_proof = has_proof(part) and saying.allows("reasoning_details")
            if (part.text or has_proof(part)) and not as_text and not as_proof:
                saying.drop(part)

    def _extras(self, texts: list[Text], message: dict[str, Any]) -> None:
        annotations = write_citations(texts) if self._saying.own else []
        if annotations:
            message["annotations"] = annotations
        if not self._saying.own and any(text.citations for text in texts):
            self._saying.dropped.append("part.citation")
        signature = text_signature(texts)
        if signature and self._saying.allows("extra_content"):
            message["extra_content"] = write_signature(signature)
        elif signature:
            self._saying.dropped.append("part.signature")

    def _media(self, parts: list[Media], message: dict[str, Any]) -> None:
        for part in parts:
            if not self._saying.own:
                self._saying.drop(part)  # moved to the user it would change who said it
            elif part.kind == "audio" and part.file_id:
                message["audio"] = {"id": part.file_id}
            elif (written := self._saying.part(part)) is not None:
                message.setdefault("images", []).append(written)

    def _call(self, call: ToolCall, message: dict[str, Any]) -> dict[str, Any]:
        call_id = self._ids.called(call.id, call.name, call.kind)
        written = write_call(call, call_id)
        if call.signature and self._saying.allows("extra_content"):
            written["extra_content"] = write_signature(call.signature)
        elif call.signature and self._saying.allows("reasoning_details"):
            details = message.setdefault("reasoning_details", [])
            details.append(call_detail(call.signature, call_id, len(details)))
        elif call.signature:
            self._saying.dropped.append("part.signature")
        return self._saying.marked(written, call)
