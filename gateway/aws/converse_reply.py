"""What Bedrock's Converse API answers, in the words of Anthropic Messages.

Source: "Converse" and "ConverseStream" in the Amazon Bedrock API reference. Pure: dict -> dict, and
``feed(message)`` / ``close()`` for streams.
"""

from typing import Any

from gateway import json_text, sse
from gateway.aws.event_stream import Message

_STOPS = {"guardrail_intervened": "refusal", "content_filtered": "refusal"}
# Exceptions in a stream -> Anthropic's types.
_FAULTS = {
    "throttlingException": "rate_limit_error", "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error", "modelTimeoutException": "timeout_error",
}  # fmt: skip


def from_converse(document: dict[str, Any], message_id: str, model: str) -> dict[str, Any]:
    """A Converse reply as a Messages reply."""
    message = (document.get("output") or {}).get("message") or {}
    content = [block for part in message.get("content") or () if (block := _read_block(part)) is not None]
    stop, stopped_at = _read_stop(document)
    return {
        "id": message_id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": stopped_at, "usage": _read_usage(document.get("usage") or {}),
    }  # fmt: skip


def _read_block(part: dict[str, Any]) -> dict[str, Any] | None:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "toolUse" in part:
        use = part["toolUse"]
        given = use.get("input") or {}
        return {"type": "tool_use", "id": use.get("toolUseId"), "name": use.get("name"), "input": given}
    reasoning = part.get("reasoningContent")
    if reasoning is None:
        return None
    if "redactedContent" in reasoning:
        return {"type": "redacted_thinking", "data": reasoning["redactedContent"]}
    said = reasoning.get("reasoningText") or {}
    return {"type": "thinking", "thinking": said.get("text") or "", "signature": said.get("signature") or ""}


def _read_stop(holder: dict[str, Any]) -> tuple[str | None, str | None]:
    stop = holder.get("stopReason")
    more = holder.get("additionalModelResponseFields") or {}
    return _STOPS.get(stop, stop), more.get("stop_sequence")


def _read_usage(usage: dict[str, Any]) -> dict[str, Any]:
    read = {"input_tokens": usage.get("inputTokens", 0), "output_tokens": usage.get("outputTokens", 0)}
    for ours, theirs in (("cache_read_input_tokens", "cacheRead"), ("cache_creation_input_tokens", "cacheWrite")):
        found = usage.get(f"{theirs}InputTokens", usage.get(f"{theirs}InputTokenCount"))
        if found is not None:
            read[ours] = found
    return read


class ConverseStream:
    """The messages of a ConverseStream as Anthropic's server-sent events, one by one."""

    def __init__(self, message_id: str, model: str):
        self._id, self._model = message_id, model
        self._open: set[int] = set()
        self._stop: dict[str, Any] | None = None
        self._over = False

    def feed(self, message: Message) -> bytes:
        """The events that *message* stands for; none for those of no concern."""
        if message.headers.get(":message-type", "event") != "event":
            return fault_event(message)
        read = _EVENTS.get(message.headers.get(":event-type", ""))
        if read is None or self._over:
            return b""
        try:
            document = json_text.parse(message.payload)
        except json_text.NotJson:
            return b""
        return read(self, document)

    def close(self) -> bytes:
        """What is owed at the end: the ending, if the model said why it stopped."""
        return self._end({}) if self._stop is not None and not self._over else b""

    def _start(self, document: dict[str, Any]) -> bytes:
        message = {
            "id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0},
        }  # fmt: skip
        return _event("message_start", {"message": message})

    def _block_start(self, document: dict[str, Any]) -> bytes:
        use = (document.get("start") or {}).get("toolUse")
        if use is None:
            return b""  # the first delta tells what it is
        block = {"type": "tool_use", "id": use.get("toolUseId"), "name": use.get("name"), "input": {}}
        return self._opened(document, block)

    def _opened(self, document: dict[str, Any], block: dict[str, Any]) -> bytes:
        index = document.get("contentBlockIndex", 0)
        if index in self._open:
            return b""
        self._open.add(index)
        return _event("content_block_start", {"index": index, "content_block": block})

    def _delta(self, document: dict[str, Any]) -> bytes:
        said, block = document.get("delta") or {}, {"type": "text", "text": ""}
        delta: dict[str, Any] | None = None
        if "text" in said:
            delta = {"type": "text_delta", "text": said["text"]}
        elif "toolUse" in said:
            delta = {"type": "input_json_delta", "partial_json": said["toolUse"].get("input") or ""}
        elif "reasoningContent" in said:
            reasoning, block = said["reasoningContent"], {"type": "thinking", "thinking": "", "signature": ""}
            if "redactedContent" in reasoning:
                return self._opened(document, {"type": "redacted_thinking", "data": reasoning["redactedContent"]})
            if "signature" in reasoning:
                delta = {"type": "signature_delta", "signature": reasoning["signature"]}
            else:
                delta = {"type": "thinking_delta", "thinking": reasoning.get("text") or ""}
        if delta is None:
            return b""
        index = document.get("contentBlockIndex", 0)
        return self._opened(document, block) + _event("content_block_delta", {"index": index, "delta": delta})

    def _block_stop(self, document: dict[str, Any]) -> bytes:
        index = document.get("contentBlockIndex", 0)
        if index not in self._open:
            return b""
        self._open.discard(index)
        return _event("content_block_stop", {"index": index})

    def _stopped(self, document: dict[str, Any]) -> bytes:
        self._stop = document  # the usage comes behind it, and belongs into the same event
        return b""

    def _end(self, document: dict[str, Any]) -> bytes:
        if self._stop is None:
            return b""
        self._over = True
        stop, stopped_at = _read_stop(self._stop)
        usage = _read_usage(document.get("usage") or {}) if document.get("usage") else {"output_tokens": 0}
        delta = {"stop_reason": stop, "stop_sequence": stopped_at}
        return _event("message_delta", {"delta": delta, "usage": usage}) + _event("message_stop", {})


_EVENTS = {
    "messageStart": ConverseStream._start, "contentBlockStart": ConverseStream._block_start,
    "contentBlockDelta": ConverseStream._delta, "contentBlockStop": ConverseStream._block_stop,
    "messageStop": ConverseStream._stopped, "metadata": ConverseStream._end,
}  # fmt: skip


def fault_event(message: Message) -> bytes:
    """An exception inside a stream as Anthropic's error event."""
    kind = str(message.headers.get(":exception-type") or message.headers.get(":error-code") or "")
    text = message.headers.get(":error-message")
    try:
        document = json_text.parse(message.payload) if message.payload else {}
        text = text or document.get("message") or document.get("originalMessage")
    except (json_text.NotJson, AttributeError):
        pass
    error = {"type": _FAULTS.get(kind, "api_error"), "message": str(text or kind or "the stream failed"), "code": kind}
    return _event("error", {"error": error})


def _event(name: str, document: dict[str, Any]) -> bytes:
    return sse.write_event(json_text.write({"type": name} | document), name)
