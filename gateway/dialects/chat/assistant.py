"""An assistant message -> parts: the same object in a request's history and in a reply."""

from typing import Any

from gateway import json_text
from gateway.dialects.chat.call_ids import CallIds
from gateway.dialects.chat.citations import read_citations
from gateway.dialects.chat.content import read_content, read_images
from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.chat.shapes import count, entries, mapping, refuse, said, words
from gateway.dialects.chat.thinking import read_signature, read_thinking
from gateway.dialects.vocabulary import Media, Part, Reasoning, Refusal, Text, ToolCall

MEMBERS = (
    "role", "content", "name", "refusal", "audio", "images", "annotations", "tool_calls", "function_call",
    "reasoning_content", "reasoning", "reasoning_details", "extra_content",
)  # fmt: skip


def read_assistant(message: dict[str, Any], where: str, ids: CallIds | None = None) -> list[Part]:
    """The parts of an assistant message, in the order thinking, content, tool calls.

    With *ids* calls without an id get one (a request's history); without, their id stays empty
    and the writer of the reply makes one up.
    """
    calls = _calls(message, where, ids)
    content = read_content(message.get("content"), f"{where}.content")
    refusal = words(message.get("refusal"), f"{where}.refusal")
    if refusal:
        content.append(Refusal(refusal))
    thinking = [part for part in content if isinstance(part, Reasoning)]
    content = [part for part in content if not isinstance(part, Reasoning)]
    texts = [part for part in content if isinstance(part, Text)]
    read_citations(message.get("annotations"), texts)
    _sign(content, texts, read_signature(message))
    content += read_images(message.get("images"), f"{where}.images")
    audio = mapping(message.get("audio"), f"{where}.audio")
    if audio:
        content.append(read_audio(audio))
    return [*read_thinking(message, calls), *thinking, *content, *calls]


def _sign(content: list[Part], texts: list[Text], signature: str | None) -> None:
    if signature and texts:
        texts[-1].signature = signature
    elif signature:
        content.append(Text("", signature=signature))


def read_audio(audio: dict[str, Any]) -> Media:
    """``audio`` of a reply (id, data, transcript, expires_at) or of a history (id)."""
    expires_at = count(audio.get("expires_at"))
    return Media(
        "audio",
        file_id=said(audio.get("id")),
        data=said(audio.get("data")),
        transcript=said(audio.get("transcript")),
        extra={} if expires_at is None else {"expires_at": expires_at},
        extra_dialect="" if expires_at is None else DIALECT,
    )


def _calls(message: dict[str, Any], where: str, ids: CallIds | None) -> list[ToolCall]:
    calls = []
    for index, entry in enumerate(entries(message.get("tool_calls"), f"{where}.tool_calls")):
        if not isinstance(entry, dict):
            refuse(f"{where}.tool_calls[{index}]", "an object")
        calls.append(_call(entry, f"{where}.tool_calls[{index}]"))
    function = mapping(message.get("function_call"), f"{where}.function_call")
    if function and not calls:  # the form before tool_calls; it never had ids
        calls.append(_call({"function": function}, where))
    if ids is not None:
        for call in calls:
            call.id = ids.called(call.id, call.name, call.kind)
    return calls


def _call(entry: dict[str, Any], where: str) -> ToolCall:
    kind = "custom" if isinstance(entry.get("custom"), dict) else "function"
    called = mapping(entry.get(kind), f"{where}.{kind}") or {}
    return ToolCall(
        id=words(entry.get("id"), f"{where}.id") or "",
        name=words(called.get("name"), f"{where}.{kind}.name") or "",
        arguments=arguments(called.get("input" if kind == "custom" else "arguments"), f"{where}.{kind}"),
        kind=kind,
        signature=read_signature(entry),
        cache=entry.get("cache_control"),
    )


def arguments(value: Any, where: str) -> str:
    """Arguments are JSON in a string; some servers send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json_text.write(value).decode()
    except RecursionError:  # it could be read, from a stack that was less deep
        refuse(where, "arguments that are not nested as deeply")
