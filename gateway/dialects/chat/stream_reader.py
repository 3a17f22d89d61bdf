"""Chat chunks in, neutral events out."""

from typing import Any

from gateway import json_text
from gateway.dialects.chat.delta_reader import read_choice
from gateway.dialects.chat.faults import read_fault, stream_fault
from gateway.dialects.chat.open_parts import OpenParts
from gateway.dialects.chat.schema import MOST_CHOICES
from gateway.dialects.chat.shapes import count, said
from gateway.dialects.chat.tokens import read_usage
from gateway.dialects.vocabulary import Failed, Started, StreamEvent, UsageSeen
from gateway.errors import Fault
from gateway.sse import Event


class StreamReader:
    """Reads one stream. Nothing an upstream sends makes it raise.

    ``finish_reason`` ends a choice at once, whatever follows it (usage, filter results, [DONE]):
    nobody has to wait for a server that is slow to close. Chunks that say nothing known
    (octen's search_done, Azure's prompt filter results) give no event.
    """

    def __init__(self) -> None:
        self._started = False
        self._over = False  # [DONE] or a failure: nothing after it counts
        self._done = False
        self._choices: dict[int, OpenParts] = {}

    def feed(self, event: Event) -> list[StreamEvent]:
        if self._over:
            return []
        try:
            chunk = json_text.parse(event.data)
        except json_text.NotJson as error:
            return self._not_json(event.data.strip(), error)
        if not isinstance(chunk, dict):
            return []
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list) or "error" in chunk or event.name == "error":
            fault = read_fault(chunk, event.name)
            if fault is not None:
                return self._fail(fault)
            choices = choices if isinstance(choices, list) else []
        return self._read(chunk, choices)

    def _not_json(self, data: bytes, error: json_text.NotJson) -> list[StreamEvent]:
        if data == b"[DONE]":
            self._done = True
            return self.close()
        if not data:
            return []
        return self._fail(stream_fault("upstream_bad_event", f"the upstream sent an event that is not JSON: {error}"))

    def _read(self, chunk: dict[str, Any], choices: list[Any]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        usage = read_usage(chunk["usage"]) if chunk.get("usage") else None
        if not self._started and (choices or usage):
            self._started = True
            events.append(_started(chunk))
        if usage is not None:  # before the choices: whoever ends an answer wants to tell it
            events.append(UsageSeen(usage))
        for choice in choices:
            if isinstance(choice, dict):
                index = choice.get("index")
                if not isinstance(index, int):
                    index = 0
                if not 0 <= index < MOST_CHOICES:
                    continue
                parts = self._choices.get(index)
                if parts is None:
                    parts = self._choices[index] = OpenParts(index)
                read_choice(parts, choice, events)
        return events

    def close(self) -> list[StreamEvent]:
        """What is owed when the upstream ended cleanly. [DONE] says as much as a finish_reason:
        some servers send only that."""
        if self._over:
            return []
        events: list[StreamEvent] = []
        for parts in self._choices.values():
            if not parts.finished and not self._done:
                return self._fail(_cut())
            parts.finish(None, events)
        if not self._choices:
            return self._fail(_cut())
        self._over = True
        return events

    def _fail(self, fault: Fault) -> list[StreamEvent]:
        self._over = True
        return [Failed(fault)]


def _started(chunk: dict[str, Any]) -> Started:
    return Started(
        said(chunk.get("id")) or "",
        said(chunk.get("model")) or "",
        count(chunk.get("created")),
        said(chunk.get("service_tier")),
    )


def _cut() -> Fault:
    return stream_fault("upstream_stream_cut", "the upstream ended its stream without saying why the answer ends")
