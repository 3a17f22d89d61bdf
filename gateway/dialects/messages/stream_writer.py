"""Neutral events as a Messages stream to the client.

One block is open at a time: the part that opened first streams straight through, what others say
meanwhile waits until it closes. Why the answer ended waits for the usage, which may come after
it: ``close`` writes both.
"""

from dataclasses import replace
from typing import Any

from gateway import json_text
from gateway.dialects.messages import envelope, events
from gateway.dialects.messages.counts import write_message_usage, write_usage
from gateway.dialects.messages.faults import write_fault
from gateway.dialects.messages.reply_parts import (
    already_said,
    citation_block,
    is_redacted,
    reply_id,
    signature_of,
    stop_of,
)
from gateway.dialects.messages.schema import DIALECT, STOP_REASONS
from gateway.dialects.vocabulary import (
    Asked,
    Closed,
    Delta,
    Failed,
    Finish,
    Finished,
    Mark,
    Media,
    Opaque,
    Opened,
    Part,
    Reasoning,
    Refusal,
    Started,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from gateway.errors import Fault
from gateway.usage import Usage

# Part -> delta type and the member that holds its words.
_DELTAS = {
    Text: ("text_delta", "text"),
    Refusal: ("text_delta", "text"),
    Media: ("text_delta", "text"),
    Reasoning: ("thinking_delta", "thinking"),
    ToolCall: ("input_json_delta", "partial_json"),
}


class _Lane:
    """One part: what of it waits, and once its block is open the block's number and the bytes
    that every delta of it begins with."""

    __slots__ = ("part", "held", "closed", "number", "head")

    def __init__(self, part: Part, held: list[Delta | Mark]):
        self.part = part
        self.held = held
        self.closed = False
        self.number = -1
        self.head = b""


class StreamWriter:
    """``feed`` every neutral event, ``close`` once. Only the first choice has a place."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._started = False
        self._ended = False
        self._lanes: dict[int, _Lane] = {}  # in the order of their opening; the first one streams
        self._current: _Lane | None = None
        self._count = 0
        self._usage = Usage()
        self._finish: Finish | None = None
        self._calls = False
        self._refused = False

    def feed(self, event: StreamEvent) -> bytes:
        if self._ended:
            return b""
        return _HANDLERS[type(event)](self, event)

    def close(self, fault: Fault | None = None) -> bytes:
        """message_delta and message_stop, or the error event. Once: later calls give nothing."""
        if self._ended:
            return b""
        self._ended = True
        gave_up = self._finish is not None and self._finish.reason == "error"
        if fault is None and gave_up and self._finish.raw not in STOP_REASONS:
            raw = f" ({self._finish.raw})" if self._finish.raw else ""
            fault = Fault(502, "upstream", f"the upstream gave up its answer{raw}", code="upstream_error")
        if fault is not None:
            return write_fault(fault)
        written = self._begin()
        for lane in self._lanes.values():
            lane.closed = True
        written += self._advance()
        delta = stop_of(self._finish, self._calls, self._refused)
        end = {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)}
        return written + events.event(end) + events.event({"type": "message_stop"})

    # --- the message ---

    def _on_started(self, event: Started) -> bytes:
        return self._begin(event)

    def _begin(self, event: Started | None = None) -> bytes:
        if self._started:
            return b""
        self._started = True
        event = event or Started("", "")
        self._usage = event.usage or self._usage
        message = {
            "id": reply_id(event.id, self._asked.new_id),
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_message_usage(self._usage, event.service_tier),
        }
        return events.event({"type": "message_start", "message": message})

    def _on_usage(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _on_finished(self, event: Finished) -> bytes:
        if event.choice == 0:
            self._finish = event.finish
        return b""

    def _on_failed(self, event: Failed) -> bytes:
        return self.close(event.fault)

    # --- parts ---

    def _on_opened(self, event: Opened) -> bytes:
        if event.choice or event.index in self._lanes:
            return b""
        part = replace(event.part) if isinstance(event.part, Reasoning | Text) else event.part  # it will change
        self._calls = self._calls or isinstance(part, ToolCall)
        self._refused = self._refused or isinstance(part, Refusal)
        self._lanes[event.index] = lane = _Lane(part, already_said(event.index, part))
        written = self._begin()
        if self._current is not None:
            return written
        self._current = lane
        return written + self._take_turn(lane)

    def _on_delta(self, event: Delta) -> bytes:
        if event.choice:
            return b""
        lane = self._lanes.get(event.index)
        if lane is None or not event.text:
            return b""
        if lane is not self._current:
            lane.held.append(event)
            return b""
        if lane.head:  # the hot path
            return b"%s%s}}\n\n" % (lane.head, json_text.write(event.text))
        return self._say(lane, event)

    def _on_mark(self, event: Mark) -> bytes:
        lane = None if event.choice else self._lanes.get(event.index)
        if lane is None:
            return b""
        if lane is self._current:
            return self._say(lane, event)
        lane.held.append(event)
        return b""

    def _on_closed(self, event: Closed) -> bytes:
        lane = None if event.choice else self._lanes.get(event.index)
        if lane is None:
            return b""
        lane.closed = True
        return self._advance() if lane is self._current else b""

    # --- blocks ---

    def _advance(self) -> bytes:
        """End the streaming part if it is closed, and let those behind it have their turn."""
        written = b""
        while self._current is not None and self._current.closed:
            written += self._end(self._current)
            self._lanes = {index: lane for index, lane in self._lanes.items() if lane is not self._current}
            self._current = next(iter(self._lanes.values()), None)
            if self._current is not None:
                written += self._take_turn(self._current)
        return written

    def _take_turn(self, lane: _Lane) -> bytes:
        """What of a part can go out now. Text and thinking wait for their first word: a block
        without any is refused when the client sends it back."""
        written = self._open(lane) if isinstance(lane.part, ToolCall) else b""
        held, lane.held = lane.held, []
        return written + b"".join([self._say(lane, event) for event in held])

    def _say(self, lane: _Lane, event: Delta | Mark) -> bytes:
        if type(lane.part) not in _DELTAS:
            return b""
        if isinstance(event, Delta):
            written = self._open(lane)
            return b"%s%s%s}}\n\n" % (written, lane.head, json_text.write(event.text))
        if isinstance(lane.part, Reasoning | Text):
            lane.part.signature = event.signature or lane.part.signature
        if isinstance(lane.part, Reasoning):
            lane.part.encrypted = event.encrypted or lane.part.encrypted
            lane.part.dialect = event.dialect or lane.part.dialect
        citation = citation_block(event.citation) if event.citation and isinstance(lane.part, Text) else None
        if citation is None:
            return b""
        return self._open(lane) + events.block_delta(lane.number, {"type": "citations_delta", "citation": citation})

    def _open(self, lane: _Lane) -> bytes:
        if lane.head:
            return b""
        part, written = lane.part, b""
        if isinstance(part, ToolCall):
            if part.signature:
                written = self._whole(events.thinking_block(), envelope.seal_call(part.signature))
            given = part.id or self._asked.new_id("toolu_")
            block = {"type": "tool_use", "id": given, "name": part.name, "input": {}}
        else:
            block = events.thinking_block() if isinstance(part, Reasoning) else {"type": "text", "text": ""}
        lane.number = self._number()
        kind, member = _DELTAS[type(part)]
        lane.head = events.delta_head(lane.number, kind, member)
        return written + events.block_start(lane.number, block)

    def _end(self, lane: _Lane) -> bytes:
        part, written = lane.part, b""
        if isinstance(part, Opaque):
            return self._whole(part.value) if part.dialect == DIALECT and "type" in part.value else b""
        redacted = isinstance(part, Reasoning) and is_redacted(part)
        signature = signature_of(part) if isinstance(part, Reasoning) and not redacted else ""
        if signature:
            written = self._open(lane)
            written += events.block_delta(lane.number, {"type": "signature_delta", "signature": signature})
        if lane.head:
            written += events.block_stop(lane.number)
        if isinstance(part, Text) and part.signature:
            written += self._whole(events.thinking_block(), envelope.seal_text(part.signature))
        return written + (self._whole({"type": "redacted_thinking", "data": part.encrypted}) if redacted else b"")

    def _whole(self, block: dict[str, Any], signature: str = "") -> bytes:
        """A block that comes at once; a server tool's input streams as the API streams it."""
        number = self._number()
        given = block.get("input")
        if isinstance(given, dict) and given:
            words = json_text.write(given).decode()
            written = events.block_start(number, block | {"input": {}})
            written += events.block_delta(number, {"type": "input_json_delta", "partial_json": words})
        else:
            written = events.block_start(number, block)
        if signature:
            written += events.block_delta(number, {"type": "signature_delta", "signature": signature})
        return written + events.block_stop(number)

    def _number(self) -> int:
        number, self._count = self._count, self._count + 1
        return number


_HANDLERS = {
    Delta: StreamWriter._on_delta,
    Opened: StreamWriter._on_opened,
    Closed: StreamWriter._on_closed,
    Mark: StreamWriter._on_mark,
    Started: StreamWriter._on_started,
    UsageSeen: StreamWriter._on_usage,
    Finished: StreamWriter._on_finished,
    Failed: StreamWriter._on_failed,
}
