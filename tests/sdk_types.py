"""The official SDKs' own types, as judges of what the gateway writes (strict: no text for a number)."""

import json
from collections.abc import Callable
from typing import Any

from anthropic.types import Message, MessageParam, RawMessageStreamEvent, ToolUnionParam
from google.genai import types as google
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionMessageToolCallUnionParam,
    ChatCompletionToolUnionParam,
)
from openai.types.responses import Response, ResponseInputItemParam, ResponseStreamEvent, ToolParam
from pydantic import TypeAdapter, ValidationError

from gateway import json_text

# Words of vendors that speak OpenAI's protocol, which its own types do not know.
VENDORS = ('"video_url"', '"thinking"')
# Codes that OpenAI's servers send and Codex acts upon, which the types leave out.
CODEX_CODES = ("context_length_exceeded", "insufficient_quota", "server_is_overloaded", "slow_down")
_adapters: dict[Any, TypeAdapter] = {}


def _check(kind: Any, value: Any) -> None:
    if str(kind) not in _adapters:
        _adapters[str(kind)] = TypeAdapter(kind)
    try:
        _adapters[str(kind)].validate_json(_text(value), strict=True)
    except ValidationError as error:  # of a union it lists what is wrong for every member
        told = "\n".join(str(error).split("\n")[:12])
        raise AssertionError(f"no {kind}: {value}\n{told}") from None


def _text(value: Any) -> str:
    """JSON as the SDKs read it. Servers send lone surrogates; Python's types refuse them."""
    return json.dumps(_mended(json.loads(json_text.write(value))))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_mended(member) for member in value]
    if isinstance(value, dict):
        return {name: _mended(member) for name, member in value.items()}
    return value


# --- replies -----------------------------------------------------------------------------------


def _google_reply(document: dict) -> None:
    google.GenerateContentResponse.model_validate_json(_text(document), strict=True)


REPLIES: dict[str, Callable[[dict], None]] = {
    "chat": lambda document: _check(ChatCompletion, document),
    "responses": lambda document: _check(Response, document),
    "messages": lambda document: _check(Message, document),
    "gemini": _google_reply,
}


# --- streams: one event each; error events have no type ------------------------------------------


def _chat_event(name: str, data: Any) -> None:
    assert name == ""
    if data != "[DONE]":
        _check(ChatCompletionChunk, data)


def _messages_event(name: str, data: Any) -> None:
    assert name == data["type"]
    if name != "ping":
        _check(RawMessageStreamEvent, data)


def _responses_event(name: str, data: Any) -> None:
    assert name == data["type"]
    error = data.get("response", {}).get("error")
    if error and error["code"] in CODEX_CODES:
        data = {**data, "response": {**data["response"], "error": {**error, "code": "server_error"}}}
    _check(ResponseStreamEvent, data)


def _google_event(name: str, data: Any) -> None:
    assert name == ""
    _google_reply(data)


EVENTS: dict[str, Callable[[str, Any], None]] = {
    "chat": _chat_event,
    "responses": _responses_event,
    "messages": _messages_event,
    "gemini": _google_event,
}


# --- requests: the parts that the SDKs have types for; lists one by one, their iterables are lazy --


def _chat_request(document: dict) -> None:
    if any(word in _text(document) for word in VENDORS):
        return
    for message in document["messages"]:
        _check(ChatCompletionMessageParam, message)
        parts = message.get("content") if isinstance(message.get("content"), list) else []
        for part in parts:
            _check(ChatCompletionContentPartParam, part)
        for call in message.get("tool_calls", []):
            _check(ChatCompletionMessageToolCallUnionParam, call)
    for tool in document.get("tools", []):
        _check(ChatCompletionToolUnionParam, tool)


def _responses_request(document: dict) -> None:
    items = document["input"] if isinstance(document["input"], list) else []
    for item in items:
        # The API and Open Responses take an answer without these two; the SDK's type wants them.
        of_assistant = {"id": "msg_1", "status": "completed"} if item.get("role") == "assistant" else {}
        _check(ResponseInputItemParam, of_assistant | item)
    for tool in document.get("tools", []):
        _check(ToolParam, tool)


def _messages_request(document: dict) -> None:
    for message in document["messages"]:
        _check(MessageParam, message)
    for tool in document.get("tools", []):
        _check(ToolUnionParam, tool)


def _google_request(document: dict) -> None:
    for content in document["contents"]:
        assert content["parts"]
        google.Content.model_validate_json(_text(content), strict=True)
    for tool in document.get("tools", []):
        google.Tool.model_validate_json(_text(tool), strict=True)
    if "toolConfig" in document:
        google.ToolConfig.model_validate_json(_text(document["toolConfig"]), strict=True)
    google.GenerationConfig.model_validate_json(_text(document.get("generationConfig", {})), strict=True)


REQUESTS: dict[str, Callable[[dict], None]] = {
    "chat": _chat_request,
    "responses": _responses_request,
    "messages": _messages_request,
    "gemini": _google_request,
}
