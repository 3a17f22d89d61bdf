"""What a client of each dialect puts into its history for an answer, whole or streamed: the SDKs'
own ways to put a stream together, and for Gemini's chat every chunk's content as it came."""

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming._deltas import accumulate_delta
from pydantic import TypeAdapter

from gateway import json_text

_ANTHROPIC = TypeAdapter(RawMessageStreamEvent)
Events = list[tuple[str, Any]]


def _chat_stream(events: Events) -> list:
    message: dict = {}
    for _, chunk in events:
        if chunk != "[DONE]" and chunk["choices"]:
            accumulate_delta(message, chunk["choices"][0]["delta"])
    for call in message.get("tool_calls", []):
        del call["index"]
    return [message]


def _messages_stream(events: Events) -> list:
    snapshot, buffers = None, {}
    for _, event in events:
        typed = _ANTHROPIC.validate_json(json_text.write(event))
        snapshot = accumulate_event(event=typed, current_snapshot=snapshot, json_bufs=buffers)
    content = json.loads(snapshot.model_dump_json(exclude_unset=True))["content"]
    return [{"role": "assistant", "content": content}]


WHOLE = {
    "chat": lambda reply: [reply["choices"][0]["message"]],
    "responses": lambda reply: reply["output"],
    "messages": lambda reply: [{"role": "assistant", "content": reply["content"]}],
    "gemini": lambda reply: [reply["candidates"][0]["content"]],
}
STREAMED = {
    "chat": _chat_stream,
    "responses": lambda events: events[-1][1]["response"]["output"],
    "messages": _messages_stream,
    "gemini": lambda events: [chunk["candidates"][0]["content"] for _, chunk in events if chunk.get("candidates")],
}
