"""The parts of one streamed choice: which are open, and what may be said of them next."""

from itertools import count
from typing import Any

from gateway.dialects.chat.open_calls import OpenCalls
from gateway.dialects.chat.reply_reader import read_finish
from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.chat.thinking import BETWEEN
from gateway.dialects.vocabulary import (
    Closed,
    Delta,
    Finish,
    Finished,
    Mark,
    Opened,
    Part,
    Reasoning,
    Refusal,
    StreamEvent,
    Text,
)

Events = list[StreamEvent]
Source = tuple[int | None, str, str | None]  # a reasoning_details entry: its index, dialect and id

CONTENT, REFUSAL, REASONING = "content", "refusal", "reasoning"

_EMPTY = {CONTENT: lambda: Text(""), REFUSAL: lambda: Refusal(""), REASONING: lambda: Reasoning(dialect=DIALECT)}


class OpenParts:
    """One choice. At most one part of words is open; any number of tool calls may be.

    ``kind`` is the open part's (empty when none is open), ``entry`` the reasoning_details entry
    it comes from, None for the plain members.
    """

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self._next_index = count().__next__
        self.calls = OpenCalls(choice, self._next_index)
        self.kind = ""
        self.entry: Source | None = None
        self.thought: list[str] = []  # what the open plain reasoning said so far
        self.finished = False
        self.before = 0  # characters of content in earlier parts; annotations count from there
        self._length = 0  # and in the open one
        self._index = 0
        self._thoughts = 0

    def open(self, kind: str, part: Part, events: Events, entry: Source | None = None) -> None:
        """Begin a part; other words end with that, and so do tool calls that look complete."""
        self.shut(events)
        self.calls.close_complete(events)
        self.kind, self.entry, self._index = kind, entry, self._next_index()
        self._thoughts += kind == REASONING
        events.append(Opened(self._index, part, self.choice))

    def shut(self, events: Events) -> None:
        """End the open words, if any."""
        if self.kind:
            self.before += self._length
            self._length = 0
            self.kind, self.entry, self.thought = "", None, []
            events.append(Closed(self._index, self.choice))

    def whole(self, part: Part, events: Events) -> None:
        """A part that comes in one piece."""
        self.open(REASONING if isinstance(part, Reasoning) else "whole", part, events)
        self.shut(events)

    def say(self, kind: str, text: str, events: Events, logprobs: Any = None) -> None:
        """More words of a plain member (content, refusal, reasoning)."""
        if self.kind != kind or self.entry is not None:
            if kind == REASONING and self._thoughts:
                text = text.removeprefix(BETWEEN)  # it parted the thoughts, it is not one
            if not text:
                return
            self.open(kind, _EMPTY[kind](), events)
        if kind == CONTENT:
            self._length += len(text)
        elif kind == REASONING:
            self.thought.append(text)
        events.append(Delta(self._index, text, self.choice, logprobs))

    def more(self, text: str, events: Events) -> None:
        """More words of whatever is open."""
        events.append(Delta(self._index, text, self.choice))

    def mark(self, events: Events, **marks: Any) -> None:
        events.append(Mark(self._index, choice=self.choice, **marks))

    def finish(self, raw: str | None, events: Events) -> None:
        """Close what is open; *raw* is the finish_reason, None when only [DONE] was said."""
        if self.finished:
            return
        self.finished = True
        self.shut(events)
        for signature in self.calls.finish(events):
            self.whole(Reasoning(signature=signature, dialect="gemini"), events)
        called = self.calls.any
        finish = read_finish(raw, called) or Finish("tool_calls" if called else "stop")
        events.append(Finished(finish, self.choice))
