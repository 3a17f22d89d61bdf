"""Turns as ``systemInstruction`` and ``contents``: what Gemini demands of a conversation.

* System text stands apart, wherever in the conversation it was said.
* ``user`` and ``model`` alternate: neighbours of one speaker are merged, nothing is put between.
* What tools gave back is said by the user, under the name of the function.
* Gemini 3 wants a thought signature on the first call of every step.
"""

from typing import Any

from gateway.dialects.gemini import parts_writer, signatures, thinking
from gateway.dialects.gemini.parts_reader import parse_object
from gateway.dialects.translation import unsaid_extras, unsaid_opaque
from gateway.dialects.vocabulary import (
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Target,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

_SYSTEM = ("system", "developer")
# functionResponse.parts takes images and documents (Gemini 3 and later; before, nothing).
_IN_RESULTS = ("image", "file")
_SAID_BY = {ToolCall: "model", ToolResult: "user"}  # whoever's turn it stands in


class ContentsWriter:
    """Writes one prompt's conversation; ``dropped`` names what could not be said."""

    def __init__(self, prompt: Prompt, target: Target):
        self.dropped: list[str] = []
        self._own = prompt.dialect == "gemini"
        self._turns = prompt.turns
        self._newest = thinking.generation(target.model) >= (3, 0)
        self._ids = "no_call_id" not in target.traits
        self._contents: list[dict[str, Any]] = []
        self._later: list[dict[str, Any]] = []  # media that has to stand behind all results
        self._names = {part.id: part.name for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)}
        self._counted = 0
        self._unnamed: set[str] = set()  # ids that the reader made up

    def write(self) -> dict[str, Any]:
        """``{"systemInstruction": ..., "contents": [...]}``."""
        system: list[dict[str, Any]] = []
        for turn in self._turns:
            if turn.role in _SYSTEM:
                system += self._system(turn)
            else:
                self._turn(turn)
        self._flush()
        if system and not self._contents:
            # Contents are compulsory: a prompt of system text alone is said by the user.
            self._contents, system = [{"role": "user", "parts": system}], []
        if self._newest and not self._own:
            self._sign()
        document: dict[str, Any] = {"contents": self._contents}
        if system:
            document["systemInstruction"] = {"parts": system}
        return document

    def _system(self, turn: Turn) -> list[dict[str, Any]]:
        self._name_turn(turn)
        written = []
        for part in turn.parts:
            if isinstance(part, Media) and not self._own:  # systemInstruction is text only
                self._add("user", self._part(part))
            else:
                written += self._part(part)
        return written

    def _turn(self, turn: Turn) -> None:
        self._name_turn(turn)
        role = "model" if turn.role == "assistant" else "user"
        for part in turn.parts:
            self._add(_SAID_BY.get(type(part), role), self._part(part))
        if self._own and not turn.parts:
            self._contents.append({"role": role, "parts": []})

    def _name_turn(self, turn: Turn) -> None:
        if turn.name:
            self.dropped.append("turn.name")

    def _add(self, role: str, parts: list[dict[str, Any]]) -> None:
        if not parts:
            return
        if self._later and not (role == "user" and "functionResponse" in parts[0]):
            self._flush()
        if not self._contents or self._contents[-1]["role"] != role:
            self._contents.append({"role": role, "parts": []})
        self._contents[-1]["parts"] += parts

    def _flush(self) -> None:
        later, self._later = self._later, []
        self._add("user", later)

    # --- parts -----------------------------------------------------------------------------

    def _part(self, part: Part) -> list[dict[str, Any]]:
        if getattr(part, "cache", None) is not None:
            self.dropped.append("part.cache")
        return _WRITERS[type(part)](self, part)

    def _text(self, part: Text) -> list[dict[str, Any]]:
        if part.citations:
            self.dropped.append("part.citation")
        if not part.text and not part.signature and not self._own:
            return []  # refused by the API, and says nothing
        return [parts_writer.text_part(part)]

    def _refusal(self, part: Refusal) -> list[dict[str, Any]]:
        return [{"text": part.text}] if part.text else []

    def _reasoning(self, part: Reasoning) -> list[dict[str, Any]]:
        if part.dialect != "gemini" and not self._own:
            # The words can be said again; a proof of another vendor's means nothing here.
            part = Reasoning(part.text, dialect="gemini")
        written = parts_writer.thought_part(part)
        if written is None:
            self.dropped.append("part.reasoning")
        return [written] if written else []

    def _media(self, part: Media) -> list[dict[str, Any]]:
        written = parts_writer.media_part(part)
        if written is None:
            self.dropped.append(f"part.{part.kind}")
            return []
        blob = written.get("inlineData") or written.get("fileData")
        if self._own and part.name and isinstance(blob, dict):
            blob["displayName"] = part.name
        elif part.name:
            self.dropped.append(f"part.{part.kind}.name")
        if part.detail not in (None, "auto"):
            self.dropped.append(f"part.{part.kind}.detail")
        self.dropped += unsaid_extras(part, "gemini")
        return [written]

    def _opaque(self, part: Opaque) -> list[dict[str, Any]]:
        if part.dialect == "gemini":
            return [part.value]
        self.dropped.append(unsaid_opaque(part))
        return []

    def _call(self, part: ToolCall) -> list[dict[str, Any]]:
        made_up = self._own and part.id == f"call_{self._counted}"
        self._counted += 1
        if made_up:
            self._unnamed.add(part.id)
        if part.kind == "function" and part.arguments.strip() and parse_object(part.arguments) is None:
            self.dropped.append("part.tool_call.arguments")
        return [parts_writer.call_part(part, None if made_up or not self._ids else part.id)]

    def _result(self, part: ToolResult) -> list[dict[str, Any]]:
        texts, attached = [], []
        for inner in part.parts:
            if isinstance(inner, Text | Refusal):
                texts.append(inner.text)
            elif isinstance(inner, Media) and not (self._own or (self._newest and inner.kind in _IN_RESULTS)):
                self._later += self._media(inner)
            else:
                attached += self._part(inner)
        if not self._own:
            texts = [words for words in texts if words] or texts[:1]
        answer: dict[str, Any] = {}
        if self._ids and part.call_id and part.call_id not in self._unnamed:
            answer["id"] = part.call_id
        answer["name"] = part.name or self._names.get(part.call_id) or part.call_id or "unknown"
        answer["response"] = parts_writer.response_of(texts, part.is_error)
        if attached:
            answer["parts"] = attached
        return [{"functionResponse": answer}]

    def _sign(self) -> None:
        for content in self._contents:
            if content["role"] == "model":
                first = next((part for part in content["parts"] if "functionCall" in part), None)
                if first is not None:
                    first.setdefault("thoughtSignature", signatures.BYPASS)


_WRITERS = {
    Text: ContentsWriter._text,
    Media: ContentsWriter._media,
    Reasoning: ContentsWriter._reasoning,
    ToolCall: ContentsWriter._call,
    Refusal: ContentsWriter._refusal,
    Opaque: ContentsWriter._opaque,
    ToolResult: ContentsWriter._result,
}
