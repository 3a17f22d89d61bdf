"""The events of a Responses stream as neutral events."""

from gateway import json_text
from gateway.dialects.responses import item_reader
from gateway.dialects.responses.read_items import WHOLE, OpenedPart, ReadItems
from gateway.dialects.responses.reply import read_finish
from gateway.dialects.responses.response import read_usage
from gateway.dialects.responses.schema import CALL_TYPES, fault_of, integer, listing, mapping, string
from gateway.dialects.vocabulary import Closed, Failed, Finished, Mark, Refusal, Started, StreamEvent, Text, UsageSeen
from gateway.errors import Fault
from gateway.sse import Event

_CUT = Fault(502, "upstream", "the upstream's stream ended before it said why", code="upstream_stream_cut")
_TWO_PIECES = "\n\n"  # what stands between two pieces of a summary


class StreamReader:
    """Reads one answer. Never raises: what cannot be read becomes a Failed."""

    def __init__(self) -> None:
        self._started = False
        self._ended = False
        self._items = ReadItems()

    def feed(self, event: Event) -> list[StreamEvent]:
        if self._ended or event.data == b"[DONE]":
            return []
        try:
            data = json_text.parse(event.data)
        except json_text.NotJson as error:
            return self._fail(Fault(502, "upstream", f"an event of the upstream is not JSON: {error}",
                                    code="upstream_bad_event"))  # fmt: skip
        if not isinstance(data, dict):
            return []
        kind = string(data.get("type")) or event.name
        read = _HANDLERS.get(kind)
        if read is None:
            # A relay in between may break off with an error of its own shape.
            return self._failed(data) if data.get("error") and not kind.startswith("response.") else []
        events = read(self, data)
        if self._started or not events or isinstance(events[0], Failed):
            return events
        self._started = True
        return [Started("", ""), *events]

    def close(self) -> list[StreamEvent]:
        """The upstream ended. Only its last event says why, so without it the stream was cut."""
        return [] if self._ended else self._fail(_CUT)

    # --- the response ---

    def _begun(self, data: dict) -> list[StreamEvent]:
        if self._started:
            return []
        self._started = True
        said = mapping(data.get("response"))
        return [
            Started(
                string(said.get("id")),
                string(said.get("model")),
                integer(said.get("created_at")),
                string(said.get("service_tier")) or None,
            )
        ]

    def _finished(self, data: dict) -> list[StreamEvent]:
        said = mapping(data.get("response"))
        if said.get("status") in ("failed", "cancelled"):
            return self._failed(data)
        if data.get("type") == "response.incomplete":
            said = {**said, "status": "incomplete"}
        events = self._begun(data)
        for place, item in enumerate(listing(said.get("output"))):
            events += self._items.repeat(place, mapping(item))
        events += self._items.close_all()
        usage = read_usage(said.get("usage"))
        if usage.total is not None:
            events.append(UsageSeen(usage))
        self._ended = True
        return [*events, Finished(read_finish(said, bool(self._items.calls)))]

    def _failed(self, data: dict) -> list[StreamEvent]:
        """``response.failed``, or ``error`` with its members flat or under ``error``."""
        said = mapping(data.get("response"))
        error = said.get("error") or data.get("error") or data
        if isinstance(error, str):
            error = {"message": error}
        elif error is data:
            error = {name: value for name, value in data.items() if name != "type"}
        status = string(said.get("status")) or "failed"
        return self._fail(fault_of(error, f"the upstream's response is {status}"))

    def _fail(self, fault: Fault) -> list[StreamEvent]:
        self._ended = True
        return [Failed(fault)]

    # --- items and their parts ---

    def _item_added(self, data: dict) -> list[StreamEvent]:
        said = mapping(data.get("item"))
        item = self._items.enter(said, data)
        if item.kind not in CALL_TYPES:
            return []
        call = item_reader.tool_call(said)
        if not call.name:  # to be told in output_item.done
            return []
        call.arguments = ""  # some servers give them here and in deltas too
        return self._items.open_call(item, call)

    def _item_done(self, data: dict) -> list[StreamEvent]:
        return self._items.complete(data)

    def _part(self, data: dict, kind: type) -> tuple[OpenedPart, list[StreamEvent]]:
        """The content part that *data* is about; opened when nobody announced it."""
        item = self._items.find(data)
        if item is None or item.kind != "message" or (item.done and string(data.get("item_id")) not in ("", item.id)):
            item = self._items.enter({"type": "message"}, data)
        opened = item.parts.get(_place(data))
        return (opened, []) if opened is not None else self._items.open(item, _place(data), kind(""))

    def _part_added(self, data: dict) -> list[StreamEvent]:
        said = mapping(data.get("part"))
        if said.get("type") not in ("output_text", "refusal"):
            return []
        return self._part(data, Refusal if said["type"] == "refusal" else Text)[1]

    def _part_done(self, data: dict) -> list[StreamEvent]:
        item, said = self._items.find(data), mapping(data.get("part"))
        if item is None or item.kind != "message" or said.get("type") not in ("output_text", "refusal"):
            return []
        events = self._items.complete_part(item, _place(data), said)
        opened = item.parts.get(_place(data))
        if opened is not None and not opened.closed:
            opened.closed = True
            events.append(Closed(opened.index))
        return events

    def _text_delta(self, data: dict) -> list[StreamEvent]:
        opened, events = self._part(data, Text)
        listed = data.get("logprobs")
        logprobs = item_reader.logprobs(listed) if listed else None
        return events + self._items.say(opened, string(data.get("delta")), logprobs)

    def _text_done(self, data: dict) -> list[StreamEvent]:
        opened, events = self._part(data, Text)
        return events if opened.said else events + self._items.say(opened, string(data.get("text")))

    def _refusal_delta(self, data: dict) -> list[StreamEvent]:
        opened, events = self._part(data, Refusal)
        return events + self._items.say(opened, string(data.get("delta")))

    def _refusal_done(self, data: dict) -> list[StreamEvent]:
        opened, events = self._part(data, Refusal)
        return events if opened.said else events + self._items.say(opened, string(data.get("refusal")))

    def _cited(self, data: dict) -> list[StreamEvent]:
        opened, events = self._part(data, Text)
        if opened.closed or not isinstance(data.get("annotation"), dict):
            return events
        opened.cited += 1
        return [*events, Mark(opened.index, citation=item_reader.citation(data["annotation"]))]

    def _call(self, data: dict) -> OpenedPart | None:
        item = self._items.find(data)
        return item.parts.get(WHOLE) if item is not None and item.kind in CALL_TYPES else None

    def _arguments_delta(self, data: dict) -> list[StreamEvent]:
        opened = self._call(data)
        return self._items.say(opened, string(data.get("delta"))) if opened is not None else []

    def _arguments_done(self, data: dict) -> list[StreamEvent]:
        opened = self._call(data)
        if opened is None or opened.said:
            return []
        return self._items.say(opened, string(data.get("arguments")) or string(data.get("input")))

    def _thought_delta(self, data: dict, raw: bool, key: str) -> list[StreamEvent]:
        """Words of thinking: of its summary or raw; an item that gives both is read as it began."""
        item = self._items.find(data) or self._items.enter({"type": "reasoning"}, data)
        if item.raw is None:
            item.raw = raw
        text = string(data.get("delta"))
        if item.raw != raw or not text or item.kind != "reasoning":
            return []
        opened, events = item.parts.get(WHOLE), []
        if opened is None:
            opened, events = self._items.open_thought(item)
        piece = data.get(key)
        if opened.said and not raw and piece != item.piece:
            text = _TWO_PIECES + text
        item.piece = piece
        return events + self._items.say(opened, text)

    def _summary_delta(self, data: dict) -> list[StreamEvent]:
        return self._thought_delta(data, False, "summary_index")

    def _raw_delta(self, data: dict) -> list[StreamEvent]:
        return self._thought_delta(data, True, "content_index")


def _place(data: dict) -> int:
    place = data.get("content_index")
    return place if type(place) is int else 0


_HANDLERS = {
    "response.created": StreamReader._begun,
    "response.queued": StreamReader._begun,
    "response.in_progress": StreamReader._begun,
    "response.output_item.added": StreamReader._item_added,
    "response.output_item.done": StreamReader._item_done,
    "response.content_part.added": StreamReader._part_added,
    "response.content_part.done": StreamReader._part_done,
    "response.output_text.delta": StreamReader._text_delta,
    "response.output_text.done": StreamReader._text_done,
    "response.output_text.annotation.added": StreamReader._cited,
    "response.refusal.delta": StreamReader._refusal_delta,
    "response.refusal.done": StreamReader._refusal_done,
    "response.function_call_arguments.delta": StreamReader._arguments_delta,
    "response.function_call_arguments.done": StreamReader._arguments_done,
    "response.custom_tool_call_input.delta": StreamReader._arguments_delta,
    "response.custom_tool_call_input.done": StreamReader._arguments_done,
    "response.reasoning_summary_text.delta": StreamReader._summary_delta,
    "response.reasoning_text.delta": StreamReader._raw_delta,
    "response.reasoning.delta": StreamReader._raw_delta,
    "response.completed": StreamReader._finished,
    "response.incomplete": StreamReader._finished,
    "response.failed": StreamReader._failed,
    "response.cancelled": StreamReader._failed,
    "error": StreamReader._failed,
}
