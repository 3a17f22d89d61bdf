"""The tool calls of one streamed choice.

A fragment names its call by ``index``; the id and the name come with the first only. Beside that
there are servers that leave the index out (Google), give every call the index 0, repeat id and
name in every fragment, or interleave the fragments of several calls.
"""

from collections.abc import Callable
from typing import Any

from gateway import json_text
from gateway.dialects.chat.assistant import arguments
from gateway.dialects.chat.shapes import Malformed, said
from gateway.dialects.chat.thinking import read_signature
from gateway.dialects.vocabulary import Closed, Delta, Mark, Opened, StreamEvent, ToolCall

Events = list[StreamEvent]


def _piece(value: Any) -> str:
    try:
        return arguments(value, "arguments")
    except Malformed:
        return ""


class _Call:
    __slots__ = ("id", "name", "kind", "signature", "index", "pieces", "closed")

    def __init__(self) -> None:
        self.id = self.name = ""
        self.kind = "function"
        self.signature: str | None = None
        self.index = -1  # of the part; -1 until the name is known
        self.pieces: list[str] = []
        self.closed = False

    def looks_complete(self) -> bool:
        """Whether the arguments so far are a whole JSON object; free text never is known to be."""
        text = "".join(self.pieces)
        if self.kind == "custom" or not text.lstrip().startswith("{"):
            return False
        try:
            json_text.parse(text.encode("utf-8", "replace"))
        except json_text.NotJson:
            return False
        return True


class OpenCalls:
    """``next_index`` numbers the parts of the choice."""

    def __init__(self, choice: int, next_index: Callable[[], int]) -> None:
        self._choice = choice
        self._next_index = next_index
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._signatures: dict[str, str] = {}  # of calls that are yet to come, by their id

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def take(self, entry: dict[str, Any], events: Events) -> None:
        """One fragment: an entry of ``tool_calls``."""
        called = entry.get("function")
        kind, words = "function", "arguments"
        if isinstance(entry.get("custom"), dict):
            called, kind, words = entry["custom"], "custom", "input"
        if not isinstance(called, dict):
            called = {}
        call = self._find(entry, said(called.get("name")), kind)
        signature = read_signature(entry)
        if signature:
            self._sign(call, signature, events)
        piece = _piece(called.get(words))
        if call.index < 0:
            if piece:
                call.pieces.append(piece)
            self._open(call, events)
        elif piece and not call.closed:
            call.pieces.append(piece)
            events.append(Delta(call.index, piece, self._choice))

    def _find(self, entry: dict[str, Any], name: str | None, kind: str) -> _Call:
        index, call_id = entry.get("index"), said(entry.get("id"))
        if isinstance(index, int):
            call = self._by_index.get(index)
        elif call_id:
            call = next((call for call in self._calls if call.id == call_id), None)
        else:
            call = self._calls[-1] if self._calls and not name else None
        if call is not None and call_id and call.id and call_id != call.id and name:
            call = None  # a new call under an old index
        if call is None:
            call = _Call()
            call.kind = kind
            self._calls.append(call)
            if isinstance(index, int):
                self._by_index[index] = call
        call.id = call.id or call_id or ""
        call.name = call.name or name or ""
        return call

    def _open(self, call: _Call, events: Events, nameless: bool = False) -> None:
        if not call.name and not nameless:
            return
        self.close_complete(events)
        call.index = self._next_index()
        signature = call.signature or self._signatures.pop(call.id, None)
        part = ToolCall(call.id, call.name, kind=call.kind, signature=signature)
        events.append(Opened(call.index, part, self._choice))
        text = "".join(call.pieces)
        if text:
            events.append(Delta(call.index, text, self._choice))

    def sign(self, call_id: str, signature: str, events: Events) -> None:
        """A thought signature that names its call, which may be yet to come."""
        call = next((call for call in self._calls if call.id == call_id), None)
        if call is None:
            self._signatures[call_id] = signature
        else:
            self._sign(call, signature, events)

    def _sign(self, call: _Call, signature: str, events: Events) -> None:
        if call.index < 0:
            call.signature = signature
        elif not call.closed:
            events.append(Mark(call.index, signature=signature, choice=self._choice))

    def close_complete(self, events: Events) -> None:
        """Something else begins: calls whose arguments are whole have ended."""
        for call in self._calls:
            if call.index >= 0 and not call.closed and call.looks_complete():
                self._close(call, events)

    def _close(self, call: _Call, events: Events) -> None:
        call.closed = True
        events.append(Closed(call.index, self._choice))

    def finish(self, events: Events) -> list[str]:
        """Close all; returns the signatures that no call claimed."""
        for call in self._calls:
            if call.index < 0:
                self._open(call, events, nameless=True)
        for call in self._calls:
            if not call.closed:
                self._close(call, events)
        unclaimed, self._signatures = list(self._signatures.values()), {}
        return unclaimed
