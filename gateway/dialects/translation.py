"""One dialect in, another out: the join of a reader and a writer.

Entered only when the client's dialect and the channel's differ.
"""

from dataclasses import fields
from typing import Any

from gateway.dialects import custom_tools
from gateway.dialects.vocabulary import Asked, Completion, Failed, Media, Opaque, Prompt, Target, Written
from gateway.errors import Fault
from gateway.sse import Event


class Translation:
    """A call of one dialect (*client*) on a channel of another (*channel*); both are dialect
    packages. One object serves one call: ``request`` first, then ``reply`` or ``stream``."""

    def __init__(self, client: Any, channel: Any):
        self.client = client
        self.channel = channel
        self._wrapped: frozenset[str] = frozenset()  # tools that had to take another form

    def read(self, document: dict, model: str = "", stream: bool = False) -> Prompt:
        """The client's document in neutral words. Raises BadRequest."""
        return self.client.read_request(document, model=model, stream=stream)

    def write(self, prompt: Prompt, target: Target) -> Written:
        """The channel's document; ``dropped`` in the client's own member names."""
        if custom_tools.lacking(self.channel.__name__.rpartition(".")[2], target.traits):
            prompt, self._wrapped = custom_tools.wrapped(prompt)
        written = self.channel.write_request(prompt, target)
        names = [self.client.FIELDS.get(name, name) for name in written.dropped]
        return Written(written.document, list(dict.fromkeys(names)))

    def reply(self, document: Any, asked: Asked) -> dict:
        """The channel's whole reply in the client's shape. Raises ChannelFailed."""
        return self.client.write_reply(self.read_reply(document), asked)

    def left_out(self, completion: Completion) -> list[str]:
        """``part.KIND`` of what of a reply the client's dialect cannot say: what another dialect alone
        understands, such as the calls of tools that a vendor runs itself."""
        own = self.client.__name__.rpartition(".")[2]
        parts = (part for choice in completion.choices for part in choice.parts)
        foreign = (part for part in parts if isinstance(part, Opaque) and part.dialect != own)
        return list(dict.fromkeys(map(unsaid_opaque, foreign)))

    def read_reply(self, document: Any) -> Completion:
        """The channel's whole reply in neutral words. Raises ChannelFailed."""
        return custom_tools.unwrapped(self.channel.read_reply(document), self._wrapped)

    def reader(self) -> Any:
        """A reader of the channel's stream."""
        reader = self.channel.StreamReader()
        return custom_tools.UnwrappingReader(reader, self._wrapped) if self._wrapped else reader

    def stream(self, asked: Asked) -> "StreamTranslation":
        return StreamTranslation(self.reader(), self.client.StreamWriter(asked))


class StreamTranslation:
    """Events in, bytes out: ``feed`` per whole upstream event, ``close`` exactly once."""

    def __init__(self, reader: Any, writer: Any):
        self._reader = reader
        self._writer = writer
        self.failed: Fault | None = None

    def feed(self, event: Event) -> bytes:
        return self._write(self._reader.feed(event))

    def close(self, fault: Fault | None = None) -> bytes:
        """The terminal events; the error event instead when *fault* says the upstream broke."""
        written = self._write(self._reader.close()) if fault is None else b""
        return written + self._writer.close(fault or self.failed)

    def _write(self, events: list) -> bytes:
        written = b""
        for event in events:
            if isinstance(event, Failed):
                self.failed = event.fault
                break
            written += self._writer.feed(event)
        return written


def unsaid(prompt: Prompt, target_fields: dict[str, str]) -> list[str]:
    """The Prompt fields that are set and that a target with *target_fields* has no word for,
    and every key of ``rest``: what every request writer starts its ``dropped`` with."""
    structural = {"dialect", "model", "turns", "rest", "stream", "include_usage"}
    missing = [
        f.name
        for f in fields(prompt)
        if f.name not in structural and f.name not in target_fields and getattr(prompt, f.name) not in (None, [], {})
    ]
    return missing + list(prompt.rest)


def unsaid_extras(media: Media, dialect: str) -> list[str]:
    """``part.KIND.NAME`` of the members of *media* that a writer of *dialect* cannot say; not of
    ``source``, which is where its words or bytes were read from."""
    if media.extra_dialect == dialect:
        return []
    return [f"part.{media.kind}.{name}" for name in media.extra if name != "source"]


def unsaid_opaque(part: Opaque) -> str:
    """``part.KIND`` of a part that another dialect alone understands: by its ``type``, or, where
    parts are unions without one (Gemini), by its member."""
    kind = part.value.get("type") or next(iter(part.value), "opaque")
    return f"part.{kind if isinstance(kind, str) else 'opaque'}"
