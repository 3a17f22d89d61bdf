"""Neutral events in, chat chunks out."""

from collections.abc import Callable
from typing import Any

from gateway import json_text
from gateway.dialects.chat.chunk_parts import WRITERS, Answer, Chunks, Open
from gateway.dialects.chat.faults import write_fault
from gateway.dialects.chat.reply_writer import write_finish
from gateway.dialects.chat.schema import MOST_CHOICES, SERVICE_TIERS
from gateway.dialects.chat.tokens import write_usage
from gateway.dialects.vocabulary import (
    Asked,
    Closed,
    Delta,
    Failed,
    Finish,
    Finished,
    Mark,
    Opened,
    Started,
    StreamEvent,
    UsageSeen,
)
from gateway.errors import Fault
from gateway.sse import write_event
from gateway.usage import Usage

DONE = b"data: [DONE]\n\n"


class StreamWriter:
    """Writes one stream for the client that asked.

    A delta is one chunk and leaves at once; the finish chunk goes out with Finished, the usage
    chunk (only for ``include_usage``) and [DONE] when the upstream is through.
    """

    def __init__(self, asked: Asked):
        self._asked = asked
        self._chunks: Chunks | None = None
        self._answers: dict[int, Answer] = {}
        self._open: dict[tuple[int, int], Open] = {}
        self._usage = Usage()
        self._fault: Fault | None = None
        self._closed = False

    def feed(self, event: StreamEvent) -> bytes:
        if type(event) is Delta:  # nearly all events are: no table, no detour
            part = self._open.get((event.choice, event.index))
            return part.more(event) if part is not None else b""
        handler = _HANDLERS.get(type(event))
        return handler(self, event) if handler is not None else b""

    def close(self, fault: Fault | None = None) -> bytes:
        """The end, exactly once: what is still owed and [DONE]; with a fault only the error."""
        if self._closed:
            return b""
        self._closed = True
        fault = fault or self._fault
        if fault is not None:
            return write_event(json_text.write(write_fault(fault)))
        written = b"" if self._chunks is not None else self._start(Started("", ""))
        for index, answer in self._answers.items():
            if not answer.finished:
                written += self._finish(Finished(Finish("tool_calls" if answer.calls else "stop"), index))
        usage = write_usage(self._usage) if self._asked.prompt.include_usage is True else None
        if usage is not None:
            written += self._chunks.usage(usage)
        return written + DONE

    def _start(self, event: Started) -> bytes:
        if self._chunks is not None:
            return b""
        asked = self._asked
        head: dict[str, Any] = {
            "id": event.id or asked.new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": asked.created if event.created is None else event.created,
            "model": asked.model,
        }
        if event.service_tier in SERVICE_TIERS:
            head["service_tier"] = event.service_tier
        self._chunks = Chunks(head, asked.prompt.include_usage is True)
        return self._answer(0)[1]

    def _answer(self, choice: int) -> tuple[Answer, bytes]:
        """A choice's state, and the role chunks that must come before it speaks: clients
        number choices as they see them, so lower ones are announced first."""
        written = b""
        if self._chunks is None:
            written = self._start(Started("", ""))
        if choice not in self._answers:
            first = len(self._answers) if choice < MOST_CHOICES else choice
            for index in range(first, choice + 1):
                self._answers[index] = Answer(index, self._chunks, self._asked)
                written += self._chunks.write(index, {"role": "assistant", "content": "", "refusal": None})
        return self._answers[choice], written

    def _opened(self, event: Opened) -> bytes:
        answer, written = self._answer(event.choice)
        writer = WRITERS.get(type(event.part))
        if writer is None:
            return written
        part = writer(answer, event.part)
        if part is None:
            return written
        self._open[event.choice, event.index] = part
        return written + part.begin()

    def _mark(self, event: Mark) -> bytes:
        part = self._open.get((event.choice, event.index))
        return part.mark(event) if part is not None else b""

    def _close_part(self, event: Closed) -> bytes:
        part = self._open.pop((event.choice, event.index), None)
        return part.end() if part is not None else b""

    def _usage_seen(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _finish(self, event: Finished) -> bytes:
        answer, written = self._answer(event.choice)
        if answer.finished:
            return written
        return written + answer.finish(write_finish(event.finish, answer.legacy))

    def _fail(self, event: Failed) -> bytes:
        self._fault = event.fault
        return b""


_HANDLERS: dict[type, Callable[[StreamWriter, Any], bytes]] = {
    Started: StreamWriter._start,
    Opened: StreamWriter._opened,
    Mark: StreamWriter._mark,
    Closed: StreamWriter._close_part,
    UsageSeen: StreamWriter._usage_seen,
    Finished: StreamWriter._finish,
    Failed: StreamWriter._fail,
}
