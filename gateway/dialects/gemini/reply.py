"""A whole ``GenerateContentResponse`` and a Completion, both ways."""

import datetime
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.dialects.gemini import citations, faults, finishes, logprobs, parts_writer, proto_json, token_counts
from gateway.dialects.gemini.parts_reader import PartReader
from gateway.dialects.vocabulary import (
    Asked,
    Choice,
    Citation,
    Completion,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from gateway.errors import ChannelAnswered, ChannelFailed, Fault

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_READ = ("candidates", "usageMetadata", "modelVersion", "responseId", "createTime")
_READ_CANDIDATE = ("content", "finishReason", "index")


# --- reading -----------------------------------------------------------------------------------


class ReplyIds:
    """Ids for calls that came without one: made of the reply's own id, so that two replies of one
    conversation never share one. Without that the id is left empty, for the writer to make up."""

    def __init__(self, reply_id: str):
        self._stem = f"call_{_NOT_IN_IDS.sub('', reply_id)}_" if reply_id else ""
        self._count = 0

    def call(self, given: str, name: str) -> str:
        self._count += 1
        return given or (f"{self._stem}{self._count - 1}" if self._stem else "")

    def result(self, given: str, name: str) -> str:
        return given


def blocked(document: dict) -> Fault | None:
    """The fault of a prompt that was refused: the reply has no candidates and says why."""
    feedback = document.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if document.get("candidates") or not isinstance(reason, str):
        return None
    words = feedback.get("blockReasonMessage")
    message = words if isinstance(words, str) and words else f"the prompt was blocked: {reason}"
    return Fault(400, "invalid_request", message, code="prompt_blocked", type=reason, details=feedback)


def created(document: dict) -> int | None:
    """``createTime`` (Vertex AI) in Unix seconds."""
    stamp = document.get("createTime")
    if not isinstance(stamp, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int(moment.timestamp()) if moment.tzinfo else None


def read_reply(document: Any) -> Completion:
    """Raises ChannelAnswered for a reply that is an error or a blocked prompt, ChannelFailed for
    one that is not understood or empty."""
    try:
        return _read(document)
    except proto_json.Malformed as error:
        raise ChannelFailed(f"the upstream's reply is malformed: {error}") from None
    except RecursionError:
        raise ChannelFailed("the upstream's reply is nested too deeply") from None


def _read(document: Any) -> Completion:
    if not isinstance(document, dict):
        raise proto_json.Malformed("", "an object")
    fault = faults.read(document["error"]) if document.get("error") else blocked(document)
    if fault is not None:
        raise ChannelAnswered(fault)
    candidates = document.get("candidates")
    if not candidates:
        raise ChannelFailed("the upstream gave no candidates", code="upstream_empty")
    reply_id = proto_json.text(document.get("responseId") or "", "responseId")
    ids = ReplyIds(reply_id)
    listed = enumerate(proto_json.items(candidates, "candidates"))
    completion = Completion(
        id=reply_id,
        model=proto_json.text(document.get("modelVersion") or "", "modelVersion"),
        choices=[_choice(raw, ids, f"candidates[{place}]") for place, raw in listed],
        usage=token_counts.read(document.get("usageMetadata")),
        created=created(document),
        dialect="gemini",
    )
    completion.rest = {key: value for key, value in document.items() if key not in _READ}
    completion.rest |= {key: document[key] for key in ("usageMetadata", "createTime") if key in document}
    return completion


def _choice(raw: Any, ids: ReplyIds, where: str) -> Choice:
    if not isinstance(raw, dict):
        raise proto_json.Malformed(where, "an object")
    content = raw.get("content") or {}
    if not isinstance(content, dict):
        raise proto_json.Malformed(f"{where}.content", "an object")
    rest = {key: value for key, value in raw.items() if key not in _READ_CANDIDATE}
    parts: list[Part] = []
    by_index: dict[int, Text] = {}
    reader = PartReader(ids, rest, fenced=True)
    for number, one in enumerate(proto_json.items(content.get("parts"), f"{where}.content.parts")):
        part = reader.read(one, f"content.parts[{number}]")
        if isinstance(part, Text):
            by_index[number] = part
            if _only_proof(part) and parts and isinstance(parts[-1], Text) and not parts[-1].signature:
                # An empty text block is refused when a client of another dialect sends it back.
                parts[-1].signature = part.signature
                continue
        parts.append(part)
    _cite(raw, by_index)
    finish = finishes.read(raw.get("finishReason"), any(isinstance(part, ToolCall) for part in parts))
    return Choice(parts, finish, logprobs.read(raw.get("logprobsResult")), rest)


def _only_proof(part: Text) -> bool:
    return not part.text and part.signature is not None


def _cite(raw: dict, texts: dict[int, Text]) -> None:
    for found in citations.read(raw):
        part = texts.get(found.part) if found.part is not None else None
        if part is None:
            part, found = _locate(found, list(texts.values()))
        if part is not None:
            part.citations.append(citations.placed(found, part.text))


def _locate(found: citations.Found, texts: list[Text]) -> tuple[Text | None, citations.Found]:
    """The part that an offset into the whole text falls into."""
    before = 0
    for part in texts:
        size = len(part.text.encode("utf-8", "surrogatepass"))
        if found.start is not None and found.end is not None and found.start < before + size:
            found.start, found.end = max(found.start - before, 0), max(found.end - before, 0)
            return part, found
        before += size
    return (texts[-1] if texts else None), found


# --- writing -----------------------------------------------------------------------------------


def write_reply(completion: Completion, asked: Asked) -> dict:
    """A ``GenerateContentResponse``."""
    own = completion.dialect == "gemini"
    writer = _ChoiceWriter(completion, asked, own)
    document: dict[str, Any] = {
        "candidates": [writer.write(choice, place) for place, choice in enumerate(completion.choices)]
    }
    usage = token_counts.write(completion.usage)
    if usage is not None:
        document["usageMetadata"] = usage
    document["modelVersion"] = asked.model or completion.model
    document["responseId"] = completion.id or asked.new_id("")
    return document | completion.rest if own else document


class _ChoiceWriter:
    def __init__(self, completion: Completion, asked: Asked, own: bool):
        self._new_id = asked.new_id
        self._hidden = parts_writer.hides_thoughts(asked.prompt) and not own
        self._own = own
        self._ids = ReplyIds(completion.id)

    def write(self, choice: Choice, place: int) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        cited: list[tuple[Citation, str, int | None]] = []
        for part in choice.parts:
            if isinstance(part, Text):
                cited += [(citation, part.text, len(parts)) for citation in part.citations]
            writer = _WRITERS.get(type(part))
            written = writer(self, part) if writer else None
            parts += [written] if written else []
        # The SDK's chat forgets an answer without parts.
        content = {"parts": parts or [{"text": ""}], "role": "model"}
        document: dict[str, Any] = {"content": content}
        document |= finishes.write(choice.finish, self._own)
        document["index"] = place
        if self._own:
            for path, value in choice.rest.items():
                proto_json.put(document, path, value)
            return document
        grounding, tokens = citations.write(cited), logprobs.write(choice.logprobs)
        document |= {"groundingMetadata": grounding} if grounding else {}
        return document | ({"logprobsResult": tokens} if tokens else {})

    def _text(self, part: Text) -> dict[str, Any] | None:
        return parts_writer.text_part(part) if part.text or part.signature else None

    def _reasoning(self, part: Reasoning) -> dict[str, Any] | None:
        return parts_writer.thought_part(replace(part, text="") if self._hidden else part)

    def _call(self, part: ToolCall) -> dict[str, Any]:
        made_up = self._ids.call("", part.name)
        if self._own:
            return parts_writer.call_part(part, None if part.id == made_up else part.id)
        return parts_writer.call_part(part, part.id or self._new_id("call_"))

    def _refusal(self, part: Refusal) -> dict[str, Any] | None:
        return {"text": part.text} if part.text else None

    def _media(self, part: Media) -> dict[str, Any] | None:
        return parts_writer.media_part(part)

    def _opaque(self, part: Opaque) -> dict[str, Any] | None:
        return part.value if part.dialect == "gemini" else None


_WRITERS: dict[type, Callable] = {
    Text: _ChoiceWriter._text,
    Reasoning: _ChoiceWriter._reasoning,
    ToolCall: _ChoiceWriter._call,
    Refusal: _ChoiceWriter._refusal,
    Media: _ChoiceWriter._media,
    Opaque: _ChoiceWriter._opaque,
}
