"""Neutral parts as Gemini ``Part`` objects; the same for requests and replies."""

from typing import Any

from gateway.dialects.gemini import media, signatures
from gateway.dialects.gemini.parts_reader import parse_object
from gateway.dialects.vocabulary import Media, Prompt, Reasoning, Text, ToolCall


def text_part(part: Text) -> dict[str, Any]:
    return _signed({"text": part.text}, part.signature)


def thought_part(part: Reasoning) -> dict[str, Any] | None:
    """``{"text", "thought": true}`` with its signature; None when neither is there."""
    signature = signatures.encode(part)
    if not part.text and not signature:
        return None
    return _signed({"text": part.text, "thought": True}, signature)


def hides_thoughts(prompt: Prompt) -> bool:
    """Whether the client said ``includeThoughts: false``. Who said nothing gets them: some
    upstreams refuse a conversation that comes back without its thinking."""
    return prompt.reasoning is not None and prompt.reasoning.visible is False


def media_part(part: Media) -> dict[str, Any] | None:
    """None when Gemini has no way to say it."""
    written = media.write(part)
    if written is None:
        return None
    if part.transcript is not None:
        written["audioTranscription"] = {"text": part.transcript}
    if part.extra_dialect == "gemini":
        blob = written.get("inlineData") or written.get("fileData")
        for key, value in part.extra.items():
            (written if key in media.EXTRAS or not isinstance(blob, dict) else blob)[key] = value
    return _signed(written, part.signature)


def call_part(part: ToolCall, call_id: str | None) -> dict[str, Any]:
    """``{"functionCall": {id, name, args}}``."""
    call = {"id": call_id} if call_id else {}
    call |= {"name": part.name, "args": arguments_of(part.arguments, part.kind)}
    return _signed({"functionCall": call}, part.signature)


def arguments_of(words: str, kind: str = "function") -> dict[str, Any]:
    """``args`` of a call: it has to be an object.

    Empty text is the empty object. Anything else that is not a JSON object - free text of a
    custom tool, a list, arguments that a model broke - is kept as it was written, under ``input``
    (custom) or ``arguments``: nothing is lost and nothing is guessed.
    """
    if not words.strip() and kind != "custom":
        return {}
    value = parse_object(words) if kind != "custom" else None
    return value if value is not None else {"input" if kind == "custom" else "arguments": words}


def response_of(texts: list[str], is_error: bool | None) -> dict[str, Any]:
    """``response`` of a functionResponse, which has to be an object.

    Text that is a JSON object is that object; other text is ``{"result": text}``, several texts
    ``{"result": [text, ...]}``. A failure is ``{"error": text}``, unless the object says ``error``.
    """
    if len(texts) == 1:
        value = parse_object(texts[0])
        if value is not None and (not is_error or value.get("error")):
            return value
    words: Any = texts if len(texts) > 1 else "".join(texts)
    return {"error" if is_error else "result": words}


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    if signature:
        part["thoughtSignature"] = signature
    return part
