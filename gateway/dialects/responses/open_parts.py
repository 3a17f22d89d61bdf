"""The parts of a stream that are being written: each turns deltas and marks into events.

All have ``delta(text, logprobs)``, ``mark(event)`` and ``close()``; what they return is bytes.
"""

from dataclasses import replace
from typing import Any

from gateway.dialects.responses import carrier
from gateway.dialects.responses.item_writer import annotation
from gateway.dialects.responses.output import DeltaHead, Message, Output
from gateway.dialects.responses.schema import DIALECT, listing, mapping, string
from gateway.dialects.vocabulary import Citation, Mark, Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall

_NOTHING = b""


def open_part(part: Part, output: Output) -> tuple[Any, bytes]:
    """What *part* is written by from now on, and the events of its beginning."""
    begin = _KINDS.get(type(part))
    if begin is None:
        return Whole(), _NOTHING
    opened = begin(part, output)
    return opened, opened.begin(part)


class TextPart:
    """An ``output_text`` or ``refusal`` part. It begins with its first word, as an upstream may
    open a text that stays empty, and an empty message would stand in the history for ever."""

    def __init__(self, part: Text | Refusal, output: Output):
        self._output = output
        self._kind = "refusal" if isinstance(part, Refusal) else "output_text"
        self._message: Message | None = None
        self._place = 0
        self._head: DeltaHead | None = None
        self._pieces: list[str] = []
        self._annotations: list[dict] = []
        self._logprobs: list[dict] = []
        self._signature: str | None = None

    def begin(self, part: Text | Refusal) -> bytes:
        written = self.delta(part.text, None) if part.text else _NOTHING
        if isinstance(part, Text):
            self._signature = part.signature
            for citation in part.citations:
                written += self._cite(citation)
        return written

    def delta(self, text: str, logprobs: Any) -> bytes:
        if self._head is None:
            return self._start() + self.delta(text, logprobs) if text else _NOTHING
        self._pieces.append(text)
        if logprobs is not None and self._kind == "output_text":
            return self._delta_with_logprobs(text, logprobs)
        return self._output.delta(self._head, text)

    def mark(self, mark: Mark) -> bytes:
        if mark.signature:
            self._signature = mark.signature
        return self._cite(mark.citation) if mark.citation is not None else _NOTHING

    def close(self) -> bytes:
        output, message, written = self._output, self._message, _NOTHING
        if message is not None:
            text = "".join(self._pieces)
            if self._kind == "refusal":
                written = output.event("response.refusal.done", {**self._where(), "refusal": text})
            else:
                said = {**self._where(), "text": text, "logprobs": self._logprobs}
                written = output.event("response.output_text.done", said)
            part = message.content[self._place] = self._part(text)
            written += output.event("response.content_part.done", {**self._where(), "part": part})
            message.open -= 1
            written += output.left(message)
        if self._signature:
            written += output.carry_for_text(self._signature, empty=message is None)
        return written

    def _start(self) -> bytes:
        message, written = self._output.message()
        self._message, self._place = message, len(message.content)
        message.content.append(None)
        message.open += 1
        after = b"" if self._kind == "refusal" else b',"logprobs":[]'
        self._head = DeltaHead(f"response.{self._kind}.delta", self._where(), after)
        return written + self._output.event("response.content_part.added", {**self._where(), "part": self._part("")})

    def _where(self) -> dict[str, Any]:
        message = self._message
        if message is None:
            return {}
        return {"item_id": message.id, "output_index": message.index, "content_index": self._place}

    def _part(self, text: str) -> dict[str, Any]:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": self._annotations, "logprobs": self._logprobs}

    def _delta_with_logprobs(self, text: str, logprobs: Any) -> bytes:
        entries = [_logprob(entry) for entry in listing(mapping(logprobs).get("content") or logprobs)]
        self._logprobs += entries
        said = {**self._where(), "delta": text, "logprobs": entries}
        return self._output.event("response.output_text.delta", said)

    def _cite(self, citation: Citation) -> bytes:
        value = annotation(citation, sum(map(len, self._pieces)))
        if value is None or self._kind == "refusal":
            return _NOTHING
        written = self._start() if self._head is None else _NOTHING
        place = {"annotation_index": len(self._annotations), "annotation": value}
        self._annotations.append(value)
        return written + self._output.event("response.output_text.annotation.added", {**self._where(), **place})


class ReasoningPart:
    """A reasoning item. What other dialects call thinking is shown as the summary, as that is what
    clients show and send back; raw thinking of an open-weights model stays ``reasoning_text``."""

    def __init__(self, part: Reasoning, output: Output):
        self._output = output
        self._thought = replace(part)
        self._raw = part.dialect == DIALECT and not part.summary
        self._id = part.id if part.id and part.id.startswith("rs_") else output.new_id("rs_")
        self._index = 0
        self._head: DeltaHead | None = None
        self._pieces: list[str] = []
        self._texts: list[dict] = []

    def begin(self, part: Reasoning) -> bytes:
        self._index, written = self._output.add(self._item("in_progress"))
        pieces = part.pieces or ([part.text] if part.text else [])
        for n, piece in enumerate(pieces):
            written += self.delta(piece, None)
            if n < len(pieces) - 1:
                written += self._end_text()
        return written

    def delta(self, text: str, logprobs: Any) -> bytes:
        written = self._start_text() if self._head is None else _NOTHING
        self._pieces.append(text)
        return written + self._output.delta(self._head, text)

    def mark(self, mark: Mark) -> bytes:
        self._thought.signature = mark.signature or self._thought.signature
        self._thought.encrypted = mark.encrypted or self._thought.encrypted
        self._thought.dialect = mark.dialect or self._thought.dialect
        return _NOTHING

    def close(self) -> bytes:
        written = self._end_text() if self._head is not None else _NOTHING
        item = self._item("completed")
        proof = carrier.proof_of(self._thought, "\n\n".join(part["text"] for part in self._texts))
        if proof:
            item["encrypted_content"] = proof
        return written + self._output.done(self._index, item)

    def _item(self, status: str) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self._id, "type": "reasoning", "status": status, "summary": []}
        item["content" if self._raw else "summary"] = self._texts
        return item

    def _where(self) -> dict[str, Any]:
        place = {"content_index" if self._raw else "summary_index": len(self._texts)}
        return {"item_id": self._id, "output_index": self._index, **place}

    def _part(self, text: str) -> dict[str, str]:
        return {"type": "reasoning_text" if self._raw else "summary_text", "text": text}

    def _start_text(self) -> bytes:
        kind = "reasoning_text" if self._raw else "reasoning_summary_text"
        self._head = DeltaHead(f"response.{kind}.delta", self._where())
        added = "response.content_part.added" if self._raw else "response.reasoning_summary_part.added"
        return self._output.event(added, {**self._where(), "part": self._part("")})

    def _end_text(self) -> bytes:
        text = "".join(self._pieces)
        text_done = "response.reasoning_text.done" if self._raw else "response.reasoning_summary_text.done"
        part_done = "response.content_part.done" if self._raw else "response.reasoning_summary_part.done"
        written = self._output.event(text_done, {**self._where(), "text": text})
        written += self._output.event(part_done, {**self._where(), "part": self._part(text)})
        self._texts.append(self._part(text))
        self._head, self._pieces = None, []
        return written


class CallPart:
    """A ``function_call`` or ``custom_tool_call``."""

    def __init__(self, part: ToolCall, output: Output):
        self._output = output
        self._call = part
        self._custom = part.kind == "custom"
        prefix = "ctc_" if self._custom else "fc_"
        given = part.item_id or ""
        self._id = given if given.startswith(prefix) else output.new_id(prefix)
        self._call_id = part.id or output.new_id("call_")
        self._index = 0
        self._head: DeltaHead | None = None
        self._pieces: list[str] = []

    def begin(self, part: ToolCall) -> bytes:
        written = self._sign(part.signature) if part.signature else _NOTHING
        self._index, added = self._output.add(self._item("", "in_progress"))
        kind = "custom_tool_call_input" if self._custom else "function_call_arguments"
        self._head = DeltaHead(f"response.{kind}.delta", self._where())
        return written + added + (self.delta(part.arguments, None) if part.arguments else _NOTHING)

    def delta(self, text: str, logprobs: Any) -> bytes:
        self._pieces.append(text)
        return self._output.delta(self._head, text)

    def mark(self, mark: Mark) -> bytes:
        return self._sign(mark.signature) if mark.signature else _NOTHING

    def close(self) -> bytes:
        text, written = "".join(self._pieces), _NOTHING
        if not text and not self._custom:  # no arguments: clients parse it as JSON all the same
            text = "{}"
            written = self._output.delta(self._head, text)
        if self._custom:
            written += self._output.event("response.custom_tool_call_input.done", {**self._where(), "input": text})
        else:
            name = self._output.names.members(self._call.name)["name"]
            said = {**self._where(), "name": name, "arguments": text}
            written += self._output.event("response.function_call_arguments.done", said)
        return written + self._output.done(self._index, self._item(text, "completed"))

    def _sign(self, signature: str) -> bytes:
        return self._output.carry(carrier.proof_of_call(self._call_id, signature))

    def _where(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index}

    def _item(self, text: str, status: str) -> dict[str, Any]:
        kind, said = ("custom_tool_call", "input") if self._custom else ("function_call", "arguments")
        names = self._output.names.members(self._call.name)
        return {"id": self._id, "type": kind, "status": status, "call_id": self._call_id, **names, said: text}


class Whole:
    """A part that has no deltas, or that this dialect cannot say."""

    def __init__(self, part: Part | None = None, output: Output | None = None):
        self._output = output

    def begin(self, part: Media | Opaque) -> bytes:
        if isinstance(part, Opaque):
            return self._output.whole(part.value) if part.dialect == DIALECT else _NOTHING
        if part.kind == "image" and part.data:
            form = (part.media_type or "image/png").rpartition("/")[2]
            item = {"id": self._output.new_id("ig_"), "type": "image_generation_call", "status": "completed",
                    "result": part.data, "output_format": form}  # fmt: skip
            if part.extra_dialect == DIALECT:
                item = {**item, **part.extra, "result": part.data}
            return self._output.whole(item)
        text = f"![image]({part.url})" if part.kind == "image" and part.url else part.transcript
        if not text:
            return _NOTHING
        said, written = open_part(Text(text), self._output)
        return written + said.close()

    def delta(self, text: str, logprobs: Any) -> bytes:
        return _NOTHING

    def mark(self, mark: Mark) -> bytes:
        return _NOTHING

    def close(self) -> bytes:
        return _NOTHING


def _logprob(entry: Any) -> dict[str, Any]:
    """One of chat's log probabilities; ``bytes`` must be a list here."""
    entry = mapping(entry)
    top = [_token(mapping(other)) for other in listing(entry.get("top_logprobs"))]
    return {**_token(entry), "top_logprobs": top}


def _token(entry: dict) -> dict[str, Any]:
    logprob = entry.get("logprob")
    known = logprob is not None and not isinstance(logprob, str | list | dict)
    return {
        "token": string(entry.get("token")),
        "bytes": listing(entry.get("bytes")),
        "logprob": logprob if known else 0,
    }


_KINDS = {
    Text: TextPart,
    Refusal: TextPart,
    Reasoning: ReasoningPart,
    ToolCall: CallPart,
    Media: Whole,
    Opaque: Whole,
}
