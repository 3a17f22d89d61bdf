"""An upstream's Messages stream as neutral events.

Wire order: message_start, per block content_block_start, content_block_delta*, content_block_stop,
then message_delta (why it ended, the final usage) and message_stop; ping and unknown events count
for nothing. Blocks that nobody else knows come whole, as an Opaque, when they end.
"""

from typing import Any

from gateway import json_text
from gateway.dialects.messages.counts import merge_usage, read_usage
from gateway.dialects.messages.faults import read_fault
from gateway.dialects.messages.part_reader import read_block, read_citation
from gateway.dialects.messages.reply import read_finish, read_tier
from gateway.dialects.messages.shape import Misshapen, mapping, maybe, string
from gateway.dialects.vocabulary import (
    Closed,
    Delta,
    Failed,
    Finish,
    Finished,
    Mark,
    Opaque,
    Opened,
    Part,
    Reasoning,
    Started,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from gateway.errors import ChannelFailed, Fault
from gateway.sse import Event

# Delta types that carry words -> the member that holds them and the part they belong to.
_WORDS: dict[str, tuple[str, type]] = {
    "text_delta": ("text", Text),
    "thinking_delta": ("thinking", Reasoning),
    "input_json_delta": ("partial_json", ToolCall),
}
# What a block looks like whose content_block_start never came (some servers leave it out).
_UNANNOUNCED = {
    "text_delta": {"type": "text", "text": ""},
    "thinking_delta": {"type": "thinking", "thinking": ""},
    "input_json_delta": {"type": "tool_use", "id": "", "name": "", "input": {}},
}


class _Block:
    """An open block: its part, the part's number, and what is owed when it ends."""

    __slots__ = ("part", "number", "kind", "owed", "spoke", "cited")

    def __init__(self, part: Part, number: int, owed: str):
        self.part = part
        self.number = number
        self.kind = type(part)
        self.owed = owed  # arguments that came with the start, given only if no delta brings any
        self.spoke = False
        # Citations come before the words that they are for; where those stand is known at the end.
        self.cited: list[StreamEvent] = []


class StreamReader:
    """Feed it every event; ``close`` when the upstream ended cleanly. Raises ChannelFailed for an
    event that is no Messages event at all."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}  # by the upstream's index
        self._count = 0
        self._usage: dict[str, Any] = {}
        self._started = False
        self._calls = False
        self._finished = False
        self._over = False

    def feed(self, event: Event) -> list[StreamEvent]:
        if self._over or event.data == b"[DONE]":  # some servers end it like a chat stream
            return []
        try:
            document = mapping(json_text.parse(event.data), "")
            handler = _HANDLERS.get(string(document.get("type"), "type"))
            return handler(self, document) if handler is not None else []
        except (json_text.NotJson, Misshapen) as error:
            raise ChannelFailed(f"the upstream sent an event that is no Messages event: {error}") from None

    def close(self) -> list[StreamEvent]:
        if self._over:
            return []
        self._over = True
        if self._finished:
            return self._close_blocks()
        message = "the upstream's stream ended without a stop_reason"
        return [Failed(Fault(status=502, kind="upstream", code="upstream_stream_cut", message=message))]

    # --- the message ---

    def _message_start(self, document: dict[str, Any]) -> list[StreamEvent]:
        message = mapping(document.get("message"), "message")
        self._usage = merge_usage(self._usage, message.get("usage"))
        usage = read_usage(self._usage)
        if self._started:
            return [UsageSeen(usage)] if usage.source != "unknown" else []
        self._started = True
        started = Started(
            maybe(string, message.get("id"), "message.id") or "",
            maybe(string, message.get("model"), "message.model") or "",
            service_tier=read_tier(message.get("usage")),
        )
        if usage.source == "unknown":
            return [started]
        started.usage = usage
        return [started, UsageSeen(usage)]

    def _message_delta(self, document: dict[str, Any]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        if isinstance(document.get("usage"), dict):
            self._usage = merge_usage(self._usage, document["usage"])
            events.append(UsageSeen(read_usage(self._usage)))
        finish = read_finish(maybe(mapping, document.get("delta"), "delta") or {}, self._calls)
        return events + self._finish(finish) if finish is not None else events

    def _message_stop(self, document: dict[str, Any]) -> list[StreamEvent]:
        events = self._finish(Finish("tool_calls" if self._calls else "stop"))
        self._over = True
        return events

    def _finish(self, finish: Finish) -> list[StreamEvent]:
        if self._finished:
            return self._close_blocks()
        self._finished = True
        return [*self._begin(), *self._close_blocks(), Finished(finish)]

    def _error(self, document: dict[str, Any]) -> list[StreamEvent]:
        self._over = True
        return [Failed(read_fault(document))]

    def _begin(self) -> list[StreamEvent]:
        if self._started:
            return []
        self._started = True
        return [Started("", "")]

    # --- blocks ---

    def _block_start(self, document: dict[str, Any]) -> list[StreamEvent]:
        index = _index(document)
        events = self._begin() + (self._end(index) if index in self._blocks else [])
        return events + self._open(index, mapping(document.get("content_block"), "content_block"))

    def _open(self, index: int, raw: dict[str, Any]) -> list[StreamEvent]:
        kind = raw.get("type")
        if kind == "thinking":  # what comes in deltas may be missing here
            raw = {"thinking": ""} | raw
        elif kind == "text":
            raw = {"text": ""} | raw
        part = read_block(raw, "content_block")[0]
        words, owed = _take_words(part)
        block = self._blocks[index] = _Block(part, self._count, owed)
        if isinstance(part, Opaque):
            part.value = dict(part.value)
            return []
        self._count += 1
        self._calls = self._calls or isinstance(part, ToolCall)
        opened = Opened(block.number, part)
        return [opened, Delta(block.number, words)] if words else [opened]

    def _block_delta(self, document: dict[str, Any]) -> list[StreamEvent]:
        delta = mapping(document.get("delta"), "delta")
        kind = string(delta.get("type"), "delta.type")
        block = self._blocks.get(_index(document))
        known = _WORDS.get(kind)
        if known is None:
            return self._mark(block, kind, delta)
        words = delta.get(known[0])
        if not isinstance(words, str):
            raise Misshapen(f"delta.{known[0]}", "a string")
        if block is not None and block.kind is known[1]:
            block.spoke = block.spoke or words != ""
            return [Delta(block.number, words)] if words else []
        return self._stray_words(document, block, kind, words)

    def _stray_words(self, document: dict, block: _Block | None, kind: str, words: str) -> list[StreamEvent]:
        """Words for a block of another kind, or of none."""
        if block is not None and block.kind is Opaque:
            block.owed += words
            return []
        index = _index(document)
        events = self._begin() + (self._end(index) if block is not None else [])
        events += self._open(index, _UNANNOUNCED[kind])
        block = self._blocks[index]
        block.spoke = block.spoke or words != ""
        return events + ([Delta(block.number, words)] if words else [])

    def _mark(self, block: _Block | None, kind: str, delta: dict[str, Any]) -> list[StreamEvent]:
        if block is None:
            return []
        if block.kind is Opaque:
            block.part.value |= {k: v for k, v in delta.items() if k != "type" and v is not None}
            return []
        if kind == "citations_delta":
            block.cited.append(Mark(block.number, citation=read_citation(delta.get("citation"), "delta.citation")))
        elif kind == "signature_delta":
            return [Mark(block.number, signature=string(delta.get("signature"), "delta.signature"))]
        return []

    def _block_stop(self, document: dict[str, Any]) -> list[StreamEvent]:
        index = _index(document)
        return self._end(index) if index in self._blocks else []

    def _close_blocks(self) -> list[StreamEvent]:
        return [event for index in list(self._blocks) for event in self._end(index)]

    def _end(self, index: int) -> list[StreamEvent]:
        block = self._blocks.pop(index)
        if block.kind is Opaque:
            return self._end_opaque(block)
        closed = Closed(block.number)
        if block.kind is ToolCall and not block.spoke:  # a call without arguments has empty ones
            return [Delta(block.number, block.owed or "{}"), closed]
        return [*block.cited, closed]

    def _end_opaque(self, block: _Block) -> list[StreamEvent]:
        if block.owed:
            try:
                block.part.value["input"] = json_text.parse(block.owed.encode("utf-8", "surrogatepass"))
            except json_text.NotJson:
                block.part.value["input"] = {"_raw": block.owed}
        number, self._count = self._count, self._count + 1
        return [Opened(number, block.part), Closed(number)]


def _index(document: dict[str, Any]) -> int:
    index = document.get("index")
    if not isinstance(index, int):
        raise Misshapen("index", "a whole number")
    return index


def _take_words(part: Part) -> tuple[str, str]:
    """The words that the start of a block already holds, taken out of the part: those to give at
    once, and a tool call's arguments, which count only if no delta follows."""
    if isinstance(part, ToolCall):
        owed, part.arguments = part.arguments, ""
        return "", owed
    if isinstance(part, (Text, Reasoning)):
        words, part.text = part.text, ""
        return words, ""
    return "", ""


_HANDLERS = {
    "content_block_delta": StreamReader._block_delta,
    "content_block_start": StreamReader._block_start,
    "content_block_stop": StreamReader._block_stop,
    "message_start": StreamReader._message_start,
    "message_delta": StreamReader._message_delta,
    "message_stop": StreamReader._message_stop,
    "error": StreamReader._error,
}
