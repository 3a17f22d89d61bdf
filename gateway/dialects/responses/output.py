"""The growing ``output`` of a stream: its items in order, and the events that tell of them."""

from typing import Any

from gateway import json_text, sse
from gateway.dialects.responses import carrier
from gateway.dialects.responses.tools import CallNames
from gateway.dialects.vocabulary import Asked


class DeltaHead:
    """A delta event, written but for its number and its words: the hot path of a stream."""

    __slots__ = ("_before", "_between", "_after")

    def __init__(self, kind: str, members: dict[str, Any], after: bytes = b""):
        name = kind.encode()
        self._before = b'event: %s\ndata: {"type":"%s","sequence_number":' % (name, name)
        self._between = b"," + json_text.write(members)[1:-1] + b',"delta":'
        self._after = after + b"}\n\n"

    def event(self, sequence: int, text: str) -> bytes:
        return b"%s%d%s%s%s" % (self._before, sequence, self._between, json_text.write(text), self._after)


class Message:
    """The message item that texts and refusals are parts of."""

    def __init__(self, item_id: str, index: int):
        self.id = item_id
        self.index = index
        self.content: list[dict | None] = []
        self.open = 0  # parts that are not done
        self.last = False  # nothing more may join

    def item(self, status: str) -> dict:
        content = [part for part in self.content if part is not None]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}


class Output:
    """Numbers events and items, and keeps what is done for the end of the stream."""

    def __init__(self, asked: Asked):
        self.new_id = asked.new_id
        self.names = CallNames(asked.prompt)
        self.sequence = 0
        self._items: list[dict | None] = []
        self._message: Message | None = None

    def event(self, kind: str, members: dict[str, Any]) -> bytes:
        numbered = {"type": kind, "sequence_number": self.sequence, **members}
        self.sequence += 1
        return sse.write_event(json_text.write(numbered), kind)

    def delta(self, head: DeltaHead, text: str) -> bytes:
        self.sequence += 1
        return head.event(self.sequence - 1, text)

    def items(self) -> list[dict]:
        """The items that are done, in their order, and what is done of an open message."""
        items = list(self._items)
        message = self._message
        if message is not None and items[message.index] is None and any(message.content):
            items[message.index] = message.item("incomplete")
        return [item for item in items if item is not None]

    # --- items ---

    def add(self, item: dict) -> tuple[int, bytes]:
        """A new item beside the messages; a message without open parts ends with it."""
        written = self.seal()
        return self._add(item, written)

    def done(self, index: int, item: dict) -> bytes:
        self._items[index] = item
        return self.event("response.output_item.done", {"output_index": index, "item": item})

    def whole(self, item: dict) -> bytes:
        """An item that comes in one piece."""
        index, written = self.add(item)
        return written + self.done(index, item)

    def carry(self, proof: str) -> bytes:
        """A reasoning item that says nothing and holds *proof*."""
        item = {"id": self.new_id("rs_"), "type": "reasoning", "status": "completed", "summary": []}
        return self.whole({**item, "encrypted_content": proof})

    def carry_for_text(self, signature: str, empty: bool) -> bytes:
        return self.carry(carrier.proof_of_text(signature, empty))

    def _add(self, item: dict, written: bytes) -> tuple[int, bytes]:
        index = len(self._items)
        self._items.append(None)
        return index, written + self.event("response.output_item.added", {"output_index": index, "item": item})

    # --- messages ---

    def message(self) -> tuple[Message, bytes]:
        """The message that a new part joins."""
        if self._message is not None and not self._message.last:
            return self._message, b""
        message = Message(self.new_id("msg_"), len(self._items))
        _, written = self._add(message.item("in_progress"), b"")
        self._message = message
        return message, written

    def seal(self) -> bytes:
        """Let nothing more join the message; it is done when its open parts are."""
        message = self._message
        if message is None or message.last:
            return b""
        message.last = True
        return self.left(message)

    def left(self, message: Message) -> bytes:
        """A part of *message* is done."""
        if message.open or not message.last:
            return b""
        return self.done(message.index, message.item("completed"))
