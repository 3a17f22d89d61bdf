"""What an upstream of each dialect says, as bytes: whole replies, streams, errors.

Written with the gateway's own writers; a file of a samples folder takes the place of the one of its
name: ``reply.chat.json``, ``stream.chat.sse`` (or of any other ending), ``error.chat.json``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway import json_text, sse
from gateway.dialects.registry import DIALECTS, FACES
from gateway.dialects.vocabulary import (
    Asked,
    Choice,
    Closed,
    Completion,
    Delta,
    Finish,
    Finished,
    Opened,
    Prompt,
    Started,
    StreamEvent,
    Text,
    UsageSeen,
)
from gateway.errors import Fault, kind_of
from gateway.usage import Usage

WORDS = tuple(f"w{number}é€😀 " for number in range(24))  # characters of two, three and four bytes
_USAGE = Usage(7, 24, source="upstream")
_MEDIA_TYPES = {
    ".sse": "text/event-stream", ".jsonl": "application/x-ndjson", ".eventstream": "application/vnd.amazon.eventstream",
}  # fmt: skip
_MODEL = "upstream-model"
# Members that no dialect has, in spellings that a parse and a dump would not keep.
ODD = b'"x_odd" :  [0, null, 1.0e5, "\\u00e9\\/", {"a":1 ,"a" : 1}], '


@dataclass(frozen=True)
class Samples:
    """The samples of one vendor. ``end`` is its own terminal event's data; ``folder`` holds its own
    files. ``text`` is what the others say."""

    end: bytes = b""
    folder: Path | None = None
    text: str = "".join(WORDS)

    def own(self, kind: str, dialect: str) -> bytes | None:
        """The folder's file for that, if there is one; of *kind* ``reply``, ``stream`` or ``error``."""
        found = sorted(self.folder.glob(f"{kind}.{dialect}.*")) if self.folder is not None else []
        return found[0].read_bytes() if found else None

    def reply(self, dialect: str) -> bytes:
        """A whole reply that says WORDS; its first member is ODD."""
        own = self.own("reply", dialect)
        if own is not None:
            return own
        completion = Completion("id-1", _MODEL, [Choice([Text("".join(WORDS))], Finish("stop"))], _USAGE, 1)
        return odd(json_text.write(DIALECTS[dialect].write_reply(completion, _asked())))

    def stream(self, dialect: str, words: tuple[str, ...] = WORDS) -> bytes:
        """A stream that says *words*, an event each."""
        own = self.own("stream", dialect)
        if own is not None:
            return own
        writer = DIALECTS[dialect].StreamWriter(_asked())
        said = b"".join([writer.feed(event) for event in _events(words)]) + writer.close()
        if not self.end:
            return said
        return said.replace(b"data: [DONE]\n\n", b"") + sse.write_event(self.end)

    def media_type(self, dialect: str) -> str:
        """Of the stream; the ending of the folder's own file tells it."""
        found = sorted(self.folder.glob(f"stream.{dialect}.*")) if self.folder is not None else []
        return _MEDIA_TYPES.get(found[0].suffix, "application/octet-stream") if found else _MEDIA_TYPES[".sse"]

    def error(self, dialect: str, status: int, message: str) -> bytes:
        """The error document of that status."""
        own = self.own("error", dialect)
        if own is not None:
            return own
        return json_text.write(FACES[dialect].error_body(Fault(status, kind_of(status), message), "req_1"))


def odd(document: bytes) -> bytes:
    """A JSON object's text with ODD in front of its members."""
    return b"{" + ODD + document[1:]


def events(stream: bytes) -> list[bytes]:
    """The events of a stream as bytes, separators included."""
    return list(sse.blocks(stream))


def with_crlf(stream: bytes) -> bytes:
    """The same stream with lines that end in CRLF. No data holds a bare line end."""
    return stream.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _asked() -> Asked:
    numbers = iter(range(1 << 20))
    return Asked(_MODEL, 1, lambda prefix: f"{prefix}{next(numbers)}", Prompt("chat", _MODEL))


def _events(words: tuple[str, ...]) -> Iterator[StreamEvent]:
    yield Started("id-1", _MODEL, 1)
    yield Opened(0, Text(""))
    for word in words:
        yield Delta(0, word)
    yield Closed(0)
    yield UsageSeen(_USAGE)
    yield Finished(Finish("stop"))
