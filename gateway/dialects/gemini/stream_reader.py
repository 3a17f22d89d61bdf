"""The events of ``streamGenerateContent`` as neutral events.

Each event is a whole GenerateContentResponse that holds what is new. Text goes on in the part
that is open; a call, an image or any other part comes whole.
"""

from dataclasses import replace
from typing import Any

from gateway import json_text
from gateway.dialects.gemini import citations, faults, finishes, logprobs, proto_json, token_counts
from gateway.dialects.gemini.partial_calls import PartialCalls
from gateway.dialects.gemini.parts_reader import PartReader
from gateway.dialects.gemini.reply import ReplyIds, blocked, created
from gateway.dialects.vocabulary import (
    Closed,
    Delta,
    Failed,
    Finish,
    Finished,
    Mark,
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

_CUT = Fault(502, "upstream", "the upstream's stream ended without a finish reason", code="upstream_stream_cut")


class _Candidate:
    """One of the answers: the part that is open (``kind``) and what has been said so far."""

    __slots__ = ("number", "next", "kind", "words", "calls", "partial", "pending", "finished", "cited")

    def __init__(self, number: int):
        self.number = number
        self.next = 0
        self.kind: type | None = None  # Text or Reasoning while one is open
        self.words: list[str] = []  # of the open text: citations count in its bytes
        self.calls = False
        self.partial = PartialCalls()
        self.pending: Finish | None = None
        self.finished = False
        self.cited: set[tuple] = set()

    def open(self, part: Part, out: list[StreamEvent]) -> int:
        out.append(Opened(self.next, part, self.number))
        self.next += 1
        return self.next - 1

    def close(self, out: list[StreamEvent]) -> None:
        if self.kind is not None:
            out.append(Closed(self.next - 1, self.number))
            self.kind = None

    def release(self, out: list[StreamEvent]) -> None:
        """Say why it ended, once."""
        self.close(out)
        if self.pending is not None and not self.finished:
            self.finished = True
            if self.calls and self.pending.reason == "stop":
                self.pending.reason = "tool_calls"
            out.append(Finished(self.pending, self.number))


class StreamReader:
    """``feed`` each event, ``close`` when the upstream ended cleanly. Raises ChannelFailed for an
    event that is not understood."""

    def __init__(self) -> None:
        self._candidates: dict[int, _Candidate] = {}
        self._parts: PartReader | None = None  # from the first event on
        self._usage: Any = None
        self._failed = False

    def feed(self, event: Event) -> list[StreamEvent]:
        if self._failed or event.data == b"[DONE]":
            return []
        out: list[StreamEvent] = []
        try:
            document = json_text.parse(event.data)
            for one in document if isinstance(document, list) else (document,):
                self._document(one, out)
        except (json_text.NotJson, proto_json.Malformed) as error:
            raise ChannelFailed(f"an event of the upstream's stream is malformed: {error}") from None
        except RecursionError:
            raise ChannelFailed("an event of the upstream's stream is nested too deeply") from None
        return out

    def close(self) -> list[StreamEvent]:
        if self._failed:
            return []
        seen = self._candidates.values()
        if not seen or any(state.pending is None for state in seen):
            return [Failed(_CUT)]
        out: list[StreamEvent] = []
        for state in seen:
            self._end(state, out)
        return out

    def _document(self, document: Any, out: list[StreamEvent]) -> None:
        if self._failed:
            return
        if not isinstance(document, dict):
            raise proto_json.Malformed("the event", "an object")
        fault = faults.read(document["error"]) if document.get("error") else blocked(document)
        if fault is not None:
            self._failed = True
            out.append(Failed(fault))
            return
        usage = document.get("usageMetadata")
        if self._parts is None:
            self._start(document, usage, out)
        if usage is not None and usage != self._usage:
            self._usage = usage
            out.append(UsageSeen(token_counts.read(usage)))
        for raw in proto_json.items(document.get("candidates"), "candidates"):
            self._candidate(raw, out)

    def _start(self, document: dict, usage: Any, out: list[StreamEvent]) -> None:
        reply_id = proto_json.text(document.get("responseId") or "", "responseId")
        model = proto_json.text(document.get("modelVersion") or "", "modelVersion")
        self._parts = PartReader(ReplyIds(reply_id), {}, fenced=True)
        counted = token_counts.read(usage) if usage is not None else None
        out.append(Started(reply_id, model, created(document), usage=counted))

    def _candidate(self, raw: Any, out: list[StreamEvent]) -> None:
        if not isinstance(raw, dict):
            raise proto_json.Malformed("candidates[]", "an object")
        number = raw.get("index") or 0
        if not isinstance(number, int):
            raise proto_json.Malformed("candidates[].index", "a whole number")
        state = self._candidates.get(number)
        if state is None:
            state = self._candidates[number] = _Candidate(number)
        content = raw.get("content") or {}
        parts = content.get("parts") if isinstance(content, dict) else content
        before = len(out)
        for part in proto_json.items(parts, "content.parts"):
            words = part.get("text") if type(part) is dict and len(part) == 1 else None
            if type(words) is str and state.kind is Text:  # nearly every event
                if words:
                    state.words.append(words)
                    out.append(Delta(state.next - 1, words, number))
                continue
            part = state.partial.feed(part, "content.parts[].functionCall")
            if part is not None:
                self._part(part, state, out)
        if len(raw) > 2 or "content" not in raw or "index" not in raw:
            self._beside(raw, state, out, before)

    def _beside(self, raw: dict, state: _Candidate, out: list[StreamEvent], before: int) -> None:
        """What stands beside the content: log probabilities, citations, the reason it ended."""
        if "logprobsResult" in raw:
            last = next((event for event in reversed(out[before:]) if isinstance(event, Delta)), None)
            if last is not None:
                last.logprobs = logprobs.read(raw["logprobsResult"])
        if "groundingMetadata" in raw or "citationMetadata" in raw:
            self._cite(raw, state, out)
        finish = finishes.read(raw.get("finishReason"), state.calls)
        if finish is None:
            return
        state.pending = finish
        # Some upstreams say STOP with every piece. A STOP that comes with words may be such a one
        # and waits for the end; any other is the last.
        if finish.raw != "STOP" or len(out) == before:
            self._end(state, out)

    def _end(self, state: _Candidate, out: list[StreamEvent]) -> None:
        part = state.partial.rest()
        if part is not None:
            self._part(part, state, out)
        state.release(out)

    def _part(self, raw: Any, state: _Candidate, out: list[StreamEvent]) -> None:
        assert self._parts is not None
        part = self._parts.read(raw, "content.parts[]")
        if isinstance(part, Text | Reasoning):
            self._words(part, state, out)
            return
        state.close(out)
        if not isinstance(part, ToolCall):
            index = state.open(part, out)
        else:
            state.calls = True
            index = state.open(replace(part, arguments=""), out)
            out.append(Delta(index, part.arguments, state.number))
        out.append(Closed(index, state.number))

    def _words(self, part: Text | Reasoning, state: _Candidate, out: list[StreamEvent]) -> None:
        if not part.text and not part.signature:
            return
        kind = type(part)
        # An empty text with a signature belongs to whatever came before it.
        if state.kind is not kind and not (state.kind is not None and not part.text):
            state.close(out)
            state.kind = kind
            state.words = []
            state.open(Text("") if kind is Text else replace(part, text="", signature=None), out)
        if part.text:
            if kind is Text:
                state.words.append(part.text)
            out.append(Delta(state.next - 1, part.text, state.number))
        if part.signature:
            out.append(Mark(state.next - 1, signature=part.signature, choice=state.number, dialect="gemini"))

    def _cite(self, raw: dict, state: _Candidate, out: list[StreamEvent]) -> None:
        found = list(citations.read(raw))
        if not found:
            return
        if state.kind is not Text:
            state.close(out)
            state.kind = Text
            state.words = []
            state.open(Text(""), out)
        words = "".join(state.words)
        for one in found:
            citation = citations.placed(one, words)
            # The metadata grows: what was there comes again.
            key = (citation.url, citation.title, citation.start, citation.end)
            if key not in state.cited:
                state.cited.add(key)
                out.append(Mark(state.next - 1, citation=citation, choice=state.number))
