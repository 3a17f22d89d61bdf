"""Neutral events as the events of a Responses stream."""

from typing import Any

from gateway.dialects.responses import response
from gateway.dialects.responses.open_parts import open_part
from gateway.dialects.responses.output import Output
from gateway.dialects.responses.schema import ERROR_TYPES
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
from gateway.usage import Usage


class StreamWriter:
    """Writes one answer; of several choices the protocol can say only the first.

    The items of the answer stay in memory, because the last event repeats them all. There is no
    ``[DONE]`` in this protocol.
    """

    def __init__(self, asked: Asked):
        self._asked = asked
        self._output = Output(asked)
        self._response: dict[str, Any] | None = None
        self._parts: dict[int, Any] = {}
        self._usage = Usage()
        self._finish: Finish | None = None
        self._fault: Fault | None = None
        self._closed = False

    def feed(self, event: StreamEvent) -> bytes:
        if type(event) is Delta:
            part = self._parts.get(event.index)
            return part.delta(event.text, event.logprobs) if part is not None and not event.choice else b""
        return _HANDLERS[type(event)](self, event)

    def close(self, fault: Fault | None = None) -> bytes:
        """The terminal event - or, with *fault*, an ``error`` and a ``response.failed``: SDKs raise
        on the one, Codex on the other."""
        if self._closed:
            return b""
        fault = fault or self._fault
        if fault is not None:
            return self._fail(fault)
        written = self._begin(None) + self._close_parts()
        said = self.finish()
        return written + self._output.event(f"response.{said['status']}", {"response": said})

    def finish(self) -> dict[str, Any]:
        """The whole Response object; nothing can be written after it."""
        self._begin(None)
        self._close_parts()
        self._closed = True
        items = self._output.items()
        return response.ended(self._response, self._finish, items, self._usage, self._asked.created)

    def _fail(self, fault: Fault) -> bytes:
        if self._response is None:
            self._response = response.begun(self._asked, "", None, None)
        self._closed = True
        said = {"code": fault.code, "message": fault.message, "param": fault.param}
        # Flat as in OpenAI's reference, and nested as in Open Responses, which its SDKs raise on.
        nested = {"type": fault.type or ERROR_TYPES.get(fault.kind, "server_error"), **said}
        if fault.details is not None:
            nested["details"] = fault.details
        written = self._output.event("error", {**said, "error": nested})
        failed = response.failed(self._response, fault, self._output.items(), self._usage)
        return written + self._output.event("response.failed", {"response": failed})

    def _close_parts(self) -> bytes:
        written = b"".join(self._parts.pop(index).close() for index in sorted(self._parts))
        return written + self._output.seal()

    def _begin(self, started: Started | None) -> bytes:
        if self._response is not None:
            return b""
        known = started or Started("", "")
        self._response = response.begun(self._asked, known.id, known.created, known.service_tier)
        written = self._output.event("response.created", {"response": self._response})
        return written + self._output.event("response.in_progress", {"response": self._response})

    def _opened(self, event: Opened) -> bytes:
        if event.choice:
            return b""
        begun = self._begin(None)
        part, written = open_part(event.part, self._output)
        self._parts[event.index] = part
        return begun + written

    def _marked(self, event: Mark) -> bytes:
        part = self._parts.get(event.index)
        return part.mark(event) if part is not None and not event.choice else b""

    def _ended(self, event: Closed) -> bytes:
        part = None if event.choice else self._parts.pop(event.index, None)
        return part.close() if part is not None else b""

    def _used(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        if event.choice:
            return b""
        self._finish = event.finish
        return self._begin(None) + self._close_parts()

    def _failed(self, event: Failed) -> bytes:
        self._fault = event.fault
        return b""


_HANDLERS = {
    Started: StreamWriter._begin,
    Opened: StreamWriter._opened,
    Mark: StreamWriter._marked,
    Closed: StreamWriter._ended,
    UsageSeen: StreamWriter._used,
    Finished: StreamWriter._finished,
    Failed: StreamWriter._failed,
}
