"""The items of a stream that is being read: which were opened, and what of them was given.

Upstreams differ: some leave out ``output_index`` or change ``item_id`` from event to event, some
send items only whole, some repeat all of them in ``response.completed``. So an item is found by
either name, and whatever was given once is not given again.
"""

from typing import Any

from gateway.dialects.responses import item_reader
from gateway.dialects.responses.schema import DIALECT, listing, mapping, string
from gateway.dialects.vocabulary import (
    Closed,
    Delta,
    Mark,
    Opaque,
    Opened,
    Part,
    Reasoning,
    Refusal,
    StreamEvent,
    Text,
    ToolCall,
)

WHOLE = 0  # place of the one part of an item that is no message


class OpenedPart:
    """A part that was opened: its neutral index, and what of it was given."""

    __slots__ = ("index", "said", "cited", "closed")

    def __init__(self, index: int):
        self.index = index
        self.said = False
        self.cited = 0
        self.closed = False


class ReadItem:
    """An item; ``raw`` and ``piece`` are of thinking: raw text instead of a summary, and the piece
    of it that was last spoken."""

    __slots__ = ("kind", "id", "parts", "raw", "piece", "done")

    def __init__(self, kind: str, item_id: str):
        self.kind = kind
        self.id = item_id
        self.parts: dict[int, OpenedPart] = {}
        self.raw: bool | None = None
        self.piece: Any = None
        self.done = False


class ReadItems:
    """All items of one stream."""

    def __init__(self) -> None:
        self.calls: set[str] = set()  # ids of the calls that were given
        self._next = 0
        self._by_id: dict[str, ReadItem] = {}
        self._by_index: dict[int, ReadItem] = {}
        self._all: list[ReadItem] = []

    # --- finding ---

    def enter(self, said: dict, data: dict) -> ReadItem:
        item = ReadItem(string(said.get("type")), string(said.get("id")) or string(data.get("item_id")))
        index = data.get("output_index")
        self._all.append(item)
        if item.id:
            self._by_id[item.id] = item
        if type(index) is int:
            self._by_index[index] = item
        return item

    def find(self, data: dict) -> ReadItem | None:
        item_id = data.get("item_id")
        item = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if item is None:
            index = data.get("output_index")
            item = self._by_index.get(index) if type(index) is int else None
        return item

    def repeat(self, place: int, item: dict) -> list[StreamEvent]:
        """An item of the last event: given unless it, or its call, came before."""
        known = self._by_id.get(string(item.get("id"))) or self._by_index.get(place)
        if (known is not None and known.done) or string(item.get("call_id")) in self.calls:
            return []
        return self.complete({"item": item, "output_index": place})

    # --- giving ---

    def open(self, item: ReadItem, place: int, part: Part) -> tuple[OpenedPart, list[StreamEvent]]:
        opened = item.parts[place] = OpenedPart(self._next)
        self._next += 1
        return opened, [Opened(opened.index, part)]

    def open_thought(self, item: ReadItem) -> tuple[OpenedPart, list[StreamEvent]]:
        return self.open(item, WHOLE, Reasoning(id=item.id or None, summary=not item.raw, dialect=DIALECT))

    def say(self, opened: OpenedPart, text: str, logprobs: Any = None) -> list[StreamEvent]:
        if not text or opened.closed:
            return []
        opened.said = True
        return [Delta(opened.index, text, logprobs=logprobs)]

    def open_call(self, item: ReadItem, call: ToolCall) -> list[StreamEvent]:
        arguments, call.arguments = call.arguments, ""
        self.calls.add(call.id or call.name)
        opened, events = self.open(item, WHOLE, call)
        return events + self.say(opened, arguments)

    # --- completing ---

    def complete(self, data: dict) -> list[StreamEvent]:
        """An item is whole: what of it was not given yet is given, and its parts close."""
        said = mapping(data.get("item"))
        kind, item_id = string(said.get("type")), string(said.get("id"))
        item = self._by_id.get(item_id) or self.find(data)
        if item is None or item.kind != kind or (item.done and item.id != item_id):
            item = self.enter(said, data)
        if item.done:
            return []
        item.done = True
        rest_of = _COMPLETE.get(item.kind, ReadItems._complete_other)
        return rest_of(self, item, said) + self._close_item(item)

    def _complete_message(self, item: ReadItem, said: dict) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for place, part in enumerate(listing(said.get("content"))):
            events += self.complete_part(item, place, mapping(part))
        return events

    def complete_part(self, item: ReadItem, place: int, said: dict) -> list[StreamEvent]:
        """A content part as it is in the end: words and citations that were not given yet."""
        part = item_reader.content_part(said)
        if not isinstance(part, Text | Refusal) or item.kind == "reasoning":
            return []
        opened = item.parts.get(place)
        events: list[StreamEvent] = []
        if opened is None:
            if not part.text:
                return []
            opened, events = self.open(item, place, type(part)(""))
        if not opened.said:
            events += self.say(opened, part.text, item_reader.logprobs(said.get("logprobs")))
        for citation in part.citations[opened.cited :] if isinstance(part, Text) and not opened.closed else []:
            opened.cited += 1
            events.append(Mark(opened.index, citation=citation))
        return events

    def _complete_call(self, item: ReadItem, said: dict) -> list[StreamEvent]:
        call = item_reader.tool_call(said)
        opened = item.parts.get(WHOLE)
        if opened is None:
            return self.open_call(item, call)
        return [] if opened.said else self.say(opened, call.arguments)

    def _complete_reasoning(self, item: ReadItem, said: dict) -> list[StreamEvent]:
        thought = item_reader.reasoning(said)
        opened, events = item.parts.get(WHOLE), []
        if opened is None:
            if not thought.text and not thought.encrypted:
                return []
            item.raw = not thought.summary
            opened, events = self.open_thought(item)
        if not opened.said:
            events += self.say(opened, thought.text)
        if thought.encrypted:
            events.append(Mark(opened.index, encrypted=thought.encrypted))
        return events

    def _complete_other(self, item: ReadItem, said: dict) -> list[StreamEvent]:
        """Hosted tools and pictures are given in one piece; what runs in them is not told."""
        if not string(said.get("type")):
            return []
        part = item_reader.image(said) if item_reader.is_image(said) else Opaque(DIALECT, said)
        return self.open(item, WHOLE, part)[1]

    def _close_item(self, item: ReadItem) -> list[StreamEvent]:
        closed: list[StreamEvent] = []
        for part in item.parts.values():
            if not part.closed:
                part.closed = True
                closed.append(Closed(part.index))
        return closed

    def close_all(self) -> list[StreamEvent]:
        return [event for item in self._all for event in self._close_item(item)]


_COMPLETE = {
    "message": ReadItems._complete_message,
    "function_call": ReadItems._complete_call,
    "custom_tool_call": ReadItems._complete_call,
    "reasoning": ReadItems._complete_reasoning,
}
