"""Stands between a client and a channel that speak different dialects, for one attempt.

Entered only when they do: same dialect, same bytes. What it needs of time and chance it passes
into the pure translation.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

from gateway import json_text, sse
from gateway.bodies import JsonBody
from gateway.dialects.gathering import completion_of, events_of
from gateway.dialects.registry import DIALECTS
from gateway.dialects.responses.compact import compact_prompt, compact_reply
from gateway.dialects.translation import StreamTranslation, Translation
from gateway.dialects.vocabulary import Asked, Completion, Media, Prompt, Target
from gateway.domain import COMPACT, Call, Candidate
from gateway.errors import BadRequest, ChannelFailed, Fault

Fetch = Callable[[Media], None]  # puts the bytes of a media part in place of its URL


class Interpreter:
    """One call's translation for one candidate."""

    def __init__(self, call: Call, candidate: Candidate):
        self.dropped: list[str] = []
        self.left_out: list[str] = []  # of a reply that was there at once
        self._call = call
        self._candidate = candidate
        self._translation = Translation(DIALECTS[call.dialect], DIALECTS[candidate.dialect])
        self._asked: Asked | None = None

    def request(self, fetch: Fetch) -> JsonBody:
        """The body for the channel. Raises BadRequest when the client's cannot be understood, or
        cannot be carried whole and either side insists on it (``strict``)."""
        call, channel = self._call, self._candidate.channel
        prompt = self._prompt()
        target = Target(self._candidate.model, channel.provider.traits)
        for media in self._translation.channel.to_fetch(prompt, target):
            fetch(media)
        written = self._translation.write(prompt, target)
        self.dropped = written.dropped
        kept_elsewhere = [name for name in self.dropped if name in getattr(self._translation.client, "STATE", ())]
        if kept_elsewhere:
            text = f"{kept_elsewhere[0]} refers to what another vendor keeps; channel {channel.name!r} does not have it"
            raise BadRequest(text, param=kept_elsewhere[0], code="state_unsupported")
        if self.dropped and (channel.settings.strict or call.strict):
            names = ", ".join(self.dropped)
            raise BadRequest(f"channel {channel.name!r} speaks {self._candidate.dialect} and cannot carry: {names}",
                             code="not_translatable", details={"dropped": self.dropped})  # fmt: skip
        self._asked = Asked(self._candidate.instead or call.model, int(time.time()), _new_id, prompt)
        return JsonBody(json_text.write(written.document))

    def reply(self, data: bytes) -> bytes:
        """A whole reply in the client's dialect. Raises ChannelFailed."""
        return self._written(self._read(data))

    def gathered(self, data: bytes) -> bytes:
        """The whole reply out of a stream that came instead. Raises ChannelFailed."""
        reader = self._translation.reader()
        events = [neutral for event in sse.events(data) for neutral in reader.feed(event)]
        return self._written(self._seen(completion_of([*events, *reader.close()])))

    def spread(self, data: bytes) -> bytes:
        """The stream out of a whole reply that came instead. Raises ChannelFailed."""
        writer = self._writer()
        return b"".join([writer.feed(event) for event in events_of(self._read(data))]) + writer.close()

    def stream_filter(self) -> "StreamFilter":
        return StreamFilter(StreamTranslation(self._translation.reader(), self._writer()))

    @property
    def media_type(self) -> str:
        """Of the client's stream: Google's comes as an array unless it asked for events."""
        return "application/json" if self._array else "text/event-stream; charset=utf-8"

    @property
    def _array(self) -> bool:
        return wants_array(self._call)

    def _prompt(self) -> Prompt:
        if self._call.prompt is None:
            self._call.prompt = read_prompt(self._call)
        return self._call.prompt

    def _read(self, data: bytes) -> Completion:
        return self._seen(self._translation.read_reply(_document(data)))

    def _seen(self, completion: Completion) -> Completion:
        self.left_out = self._translation.left_out(completion)
        return completion

    def _written(self, completion: Completion) -> bytes:
        return json_text.write(self._translation.client.write_reply(completion, self._asked))

    def _writer(self) -> Any:
        client = self._translation.client
        return client.ArrayWriter(self._asked) if self._array else client.StreamWriter(self._asked)


class Compactor(Interpreter):
    """For /v1/responses/compact on a channel without it: a generate with a prompt of our own."""

    def _prompt(self) -> Prompt:
        if self._call.prompt is None:
            self._call.prompt = compact_prompt(_client_document(self._call))
        return self._call.prompt

    def _written(self, completion: Completion) -> bytes:
        return json_text.write(compact_reply(completion, self._asked))


def interpreter_for(call: Call, candidate: Candidate) -> Interpreter:
    return (Compactor if call.operation == COMPACT else Interpreter)(call, candidate)


class StreamFilter:
    """A stream translation over whole events' bytes, as stream.py takes its filters."""

    def __init__(self, translation: StreamTranslation):
        self._translation = translation

    def feed(self, whole: bytes) -> bytes:
        feed = self._translation.feed
        return b"".join([feed(event) for event in sse.events(whole)])

    def close(self) -> bytes:
        return self._translation.close()

    def broken(self, fault: Fault, request_id: str) -> bytes:
        """What the client's stream ends with instead."""
        return self._translation.close(fault)


def read_prompt(call: Call) -> Prompt:
    """The client's request in neutral words. Raises BadRequest."""
    return DIALECTS[call.dialect].read_request(_client_document(call), model=call.model, stream=call.stream)


def _client_document(call: Call) -> Any:
    try:
        document = json_text.parse(call.body.data) if isinstance(call.body, JsonBody) else {}
    except json_text.NotJson as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    for member in call.wishes.members:  # the gateway's to carry out, not a channel's to be told
        document.pop(member, None)
    return document


def wants_array(call: Call) -> bool:
    """Whether the client takes its stream as a JSON array (Gemini without ``alt=sse``)."""
    return call.dialect == "gemini" and call.stream and "alt=sse" not in call.query


def _document(data: bytes) -> Any:
    try:
        return json_text.parse(data)
    except json_text.NotJson as error:
        raise ChannelFailed(f"the channel's answer is not JSON: {error}", code="upstream_not_json") from None


def _new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:24]


