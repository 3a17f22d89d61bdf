"""Neutral events as the stream of ``streamGenerateContent``, as SSE or as one JSON array.

Every piece of text leaves at once in a chunk of its own. The arguments of a call can only be
said whole, so a call waits for its end; why the answer ended, what it cost and where it comes
from stand in the last chunk. No comments and no [DONE]: Google's SDK parses every line.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway import json_text, sse
from gateway.dialects.gemini import citations, faults, finishes, logprobs, parts_writer, signatures, token_counts
from gateway.dialects.vocabulary import (
    Asked,
    Citation,
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


class _Open:
    """A part that is open, and the bytes around each piece of its text (None: not said in pieces).
    ``base`` is how much text of its choice stands before it."""

    __slots__ = ("part", "base", "before", "after", "pieces")

    def __init__(self, part: Part, base: int):
        self.part = part
        self.base = base
        self.before: bytes | None = None
        self.after = b""
        self.pieces: list[str] = []


class StreamWriter:
    """``feed`` gives the bytes that an event makes possible, ``close`` the end: the last chunk,
    or the error event when the stream failed."""

    def __init__(self, asked: Asked):
        self._asked = asked
        self._id = ""
        self._model = asked.model
        self._tail = b""  # responseId and modelVersion, once they are known
        self._open: dict[tuple[int, int], _Open] = {}
        self._finishes: dict[int, Finish | None] = {}
        self._texts: dict[int, list[str]] = {}
        self._cited: dict[int, list[Citation]] = {}
        self._usage = Usage()
        self._hides_thoughts = parts_writer.hides_thoughts(asked.prompt)
        self._closed = False

    def feed(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        return _HANDLERS[type(event)](self, event)

    def close(self, fault: Fault | None = None) -> bytes:
        if self._closed:
            return b""
        if fault is not None:
            self._closed = True
            return self._frame(json_text.write(faults.write(fault)))
        written = b"".join(self._finish_part(key) for key in list(self._open))
        self._closed = True
        return written + self._frame(self._last()) + self._end()

    # --- framing ---------------------------------------------------------------------------

    def _frame(self, chunk: bytes) -> bytes:
        return sse.write_event(chunk)

    def _end(self) -> bytes:
        return b""

    def _chunk(self, part: dict[str, Any], choice: int, beside: dict[str, Any] | None = None) -> bytes:
        self._finishes.setdefault(choice, None)
        content = {"parts": [part], "role": "model"}
        written = json_text.write({"content": content, "index": choice, **(beside or {})})
        return self._frame(b'{"candidates":[' + written + b"]" + self._ending())

    def _ending(self) -> bytes:
        if not self._tail:
            named = {"modelVersion": self._model, "responseId": self._id or self._asked.new_id("")}
            self._tail = b"," + json_text.write(named)[1:]
        return self._tail

    # --- events ----------------------------------------------------------------------------

    def _started(self, event: Started) -> bytes:
        self._id = event.id
        self._model = self._model or event.model
        return b""

    def _opened(self, event: Opened) -> bytes:
        # A copy: what the marks say is kept in it.
        state = _Open(replace(event.part), sum(map(len, self._texts.get(event.choice, ()))))
        self._open[(event.choice, event.index)] = state
        self._finishes.setdefault(event.choice, None)
        part = event.part
        if isinstance(part, Media | Opaque):
            whole = parts_writer.media_part(part) if isinstance(part, Media) else _own(part)
            return self._chunk(whole, event.choice) if whole else b""
        if isinstance(part, ToolCall):
            state.pieces = [part.arguments]
            return b""
        if not isinstance(part, Text | Reasoning | Refusal) or (self._hides_thoughts and isinstance(part, Reasoning)):
            return b""
        thought = b',"thought":true' if isinstance(part, Reasoning) else b""
        state.before = b'{"candidates":[{"content":{"parts":[{"text":'
        state.after = b'%s}],"role":"model"},"index":%d}]' % (thought, event.choice) + self._ending()
        written = self._piece(state, part.text, event.choice) if part.text else b""
        if isinstance(part, Text):
            self._cite(event.choice, state, part.citations)
            if part.signature:
                written += self._chunk({"text": "", "thoughtSignature": part.signature}, event.choice)
        return written

    def _delta(self, event: Delta) -> bytes:
        state = self._open.get((event.choice, event.index))
        if state is None or not event.text:
            return b""
        if state.before is None:
            state.pieces.append(event.text)
            return b""
        if event.logprobs is not None:
            tokens = logprobs.write(event.logprobs)
            if tokens is not None:
                self._texts.setdefault(event.choice, []).append(event.text)
                return self._chunk({"text": event.text}, event.choice, {"logprobsResult": tokens})
        return self._piece(state, event.text, event.choice)

    def _piece(self, state: _Open, words: str, choice: int) -> bytes:
        texts = state.pieces if type(state.part) is Reasoning else self._texts.setdefault(choice, [])
        texts.append(words)
        return self._frame(state.before + json_text.write(words) + state.after)

    def _mark(self, event: Mark) -> bytes:
        state = self._open.get((event.choice, event.index))
        if state is None:
            return b""
        if event.citation is not None:
            self._cite(event.choice, state, [event.citation])
        part = state.part
        if isinstance(part, Reasoning) and event.dialect:
            part.dialect = event.dialect
        if isinstance(part, Reasoning) and part.dialect != "gemini":
            # One proof may come in two marks; it is said at the part's end.
            part.signature = event.signature or part.signature
            part.encrypted = event.encrypted or part.encrypted
        elif event.signature and isinstance(part, ToolCall):
            part.signature = event.signature
        elif event.signature:
            thought = {"thought": True} if isinstance(part, Reasoning) else {}
            return self._chunk({"text": "", **thought, "thoughtSignature": event.signature}, event.choice)
        return b""

    def _cite(self, choice: int, state: _Open, cited: list[Citation]) -> None:
        """Offsets into a part become offsets into the whole text."""
        kept = self._cited.setdefault(choice, [])
        for one in cited:
            placed = one.start is not None and one.end is not None
            kept.append(replace(one, start=one.start + state.base, end=one.end + state.base) if placed else one)

    def _closed_part(self, event: Closed) -> bytes:
        return self._finish_part((event.choice, event.index))

    def _finish_part(self, key: tuple[int, int]) -> bytes:
        state = self._open.pop(key, None)
        part = state.part if state is not None else None
        if isinstance(part, ToolCall):
            part.arguments = "".join(state.pieces)
            return self._chunk(parts_writer.call_part(part, part.id or self._asked.new_id("call_")), key[0])
        if isinstance(part, Reasoning):
            part.text = "" if self._hides_thoughts else "".join(state.pieces)
            signature = signatures.encode(part)
            if signature:
                return self._chunk({"text": "", "thought": True, "thoughtSignature": signature}, key[0])
        return b""

    def _usage_seen(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        self._finishes[event.choice] = event.finish
        return b""

    def _failed(self, event: Failed) -> bytes:
        return self.close(event.fault)

    # --- the end ---------------------------------------------------------------------------

    def _last(self) -> bytes:
        numbers = sorted(self._finishes) or [0]
        document: dict[str, Any] = {"candidates": [self._ended(number) for number in numbers]}
        usage = token_counts.write(self._usage)
        if usage is not None:
            document["usageMetadata"] = usage
        return json_text.write(document)[:-1] + self._ending()

    def _ended(self, number: int) -> dict[str, Any]:
        # A part without words, as Google sends it: the SDK's chat forgets an answer whose last
        # chunk has none.
        candidate: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}}
        candidate |= finishes.write(self._finishes.get(number))
        candidate["index"] = number
        words = "".join(self._texts.get(number, ()))
        grounding = citations.write([(citation, words, None) for citation in self._cited.get(number, ())])
        return candidate | ({"groundingMetadata": grounding} if grounding else {})


class ArrayWriter(StreamWriter):
    """The same chunks as one JSON array: the form without ``alt=sse``. A stream that failed ends
    in an error object and leaves the array open: a broken stream looks broken."""

    def __init__(self, asked: Asked):
        super().__init__(asked)
        self._begun = False

    def _frame(self, chunk: bytes) -> bytes:
        before = b",\r\n" if self._begun else b"["
        self._begun = True
        return before + chunk

    def _end(self) -> bytes:
        return b"]"


def _own(part: Opaque) -> dict[str, Any] | None:
    return part.value if part.dialect == "gemini" else None


_HANDLERS: dict[type, Callable[[Any, Any], bytes]] = {
    Delta: StreamWriter._delta,
    Started: StreamWriter._started,
    Opened: StreamWriter._opened,
    Mark: StreamWriter._mark,
    Closed: StreamWriter._closed_part,
    UsageSeen: StreamWriter._usage_seen,
    Finished: StreamWriter._finished,
    Failed: StreamWriter._failed,
}
