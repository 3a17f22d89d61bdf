"""Completion -> a chat.completion for the client."""

from typing import Any

from gateway.dialects.chat.assistant_writer import by_kind, text_signature, write_call
from gateway.dialects.chat.citations import write_citations
from gateway.dialects.chat.content import write_media
from gateway.dialects.chat.schema import DIALECT, FINISHES_WRITTEN, OFFICIAL_FINISHES, SERVICE_TIERS
from gateway.dialects.chat.thinking import joined, write_details, write_signature
from gateway.dialects.chat.tokens import write_usage
from gateway.dialects.chat.tool_words import is_legacy
from gateway.dialects.vocabulary import (
    Asked,
    Choice,
    Completion,
    Finish,
    Media,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)


def write_reply(completion: Completion, asked: Asked) -> dict:
    """The reply under the model's name as the client said it."""
    document: dict[str, Any] = {
        "id": completion.id or asked.new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": asked.created if completion.created is None else completion.created,
        "model": asked.model,
        "choices": [_choice(choice, index, asked) for index, choice in enumerate(completion.choices)],
    }
    usage = write_usage(completion.usage)
    if usage is not None:
        document["usage"] = usage
    own = completion.dialect == DIALECT
    if completion.service_tier is not None and (own or completion.service_tier in SERVICE_TIERS):
        document["service_tier"] = completion.service_tier
    if own:
        document |= completion.rest
        for written, choice in zip(document["choices"], completion.choices, strict=True):
            _add_rest(written, choice.rest)
    return document


def _add_rest(written: dict[str, Any], rest: dict[str, Any]) -> None:
    for path, value in rest.items():
        holder = written["message"] if path.startswith("message.") else written
        holder[path.removeprefix("message.")] = value


def _choice(choice: Choice, index: int, asked: Asked) -> dict[str, Any]:
    called = any(isinstance(part, ToolCall) for part in choice.parts)
    finish = choice.finish or Finish("tool_calls" if called else "stop")
    return {
        "index": index,
        "message": _message(choice, asked),
        "logprobs": choice.logprobs,
        **write_finish(finish, is_legacy(asked.prompt)),
    }


def write_finish(finish: Finish, legacy: bool = False) -> dict[str, str]:
    """``finish_reason`` in OpenAI's words; any other word of the upstream's is kept beside it in
    ``native_finish_reason``, as OpenRouter does."""
    if finish.raw in OFFICIAL_FINISHES:
        reason, native = finish.raw, {}
    else:
        reason = FINISHES_WRITTEN.get(finish.reason, "stop")
        native = {"native_finish_reason": finish.raw} if finish.raw else {}
    return {"finish_reason": "function_call" if legacy and reason == "tool_calls" else reason, **native}


def hides_thinking(prompt: Prompt) -> bool:
    """Whether the client asked not to see it (``reasoning.exclude``)."""
    return prompt.reasoning is not None and prompt.reasoning.visible is False


def _message(choice: Choice, asked: Asked) -> dict[str, Any]:
    parts = by_kind(choice.parts)
    words = "".join(text.text for text in parts[Text])
    refusal = "".join(part.text for part in parts[Refusal])
    message: dict[str, Any] = {"role": "assistant", "content": words, "refusal": refusal or None}
    annotations = write_citations(parts[Text])
    if annotations:
        message["annotations"] = annotations
    if not hides_thinking(asked.prompt):
        _add_thinking(parts[Reasoning], message)
    signature = text_signature(parts[Text])
    if signature:
        message["extra_content"] = write_signature(signature)
    _add_media(parts[Media], message, asked)
    _add_calls(parts[ToolCall], message, asked)
    if not words and (refusal or message.keys() & {"tool_calls", "function_call", "audio"}):
        message["content"] = None
    return message


def _add_thinking(parts: list[Reasoning], message: dict[str, Any]) -> None:
    text, details = joined(parts), write_details(parts)
    if text:
        message["reasoning_content"] = text
    if details:
        message["reasoning_details"] = details


def _add_media(parts: list[Media], message: dict[str, Any], asked: Asked) -> None:
    for media in parts:
        if media.kind == "audio" and (media.data or media.transcript or media.file_id):
            message["audio"] = {
                "id": media.file_id or asked.new_id("audio_"),
                "data": media.data or "",
                "transcript": media.transcript or "",
                "expires_at": expiry(media, asked),
            }
        elif media.kind == "image" and (image := write_media(media, True, frozenset())) is not None:
            message.setdefault("images", []).append(image)


def expiry(media: Media, asked: Asked) -> int:
    """Until when the audio's id may be named again: no longer, unless chat's upstream said so."""
    said = media.extra.get("expires_at") if media.extra_dialect == DIALECT else None
    return asked.created if said is None else said


def _add_calls(parts: list[ToolCall], message: dict[str, Any], asked: Asked) -> None:
    if parts and is_legacy(asked.prompt):
        message["function_call"] = write_call(parts[0], "", custom=False)["function"]
        return
    calls = []
    for call in parts:
        written = write_call(call, call.id or asked.new_id("call_"))
        if call.signature:
            written["extra_content"] = write_signature(call.signature)
        calls.append(written)
    if calls:
        message["tool_calls"] = calls
