"""What a client says in each dialect, and what it makes of the answer."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gateway import sse
from gateway.dialects.gathering import completion_of
from gateway.dialects.registry import DIALECTS
from gateway.dialects.vocabulary import Text

_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


def path_of(dialect: str, model: str, stream: bool = False) -> str:
    """Where a client of *dialect* asks for an answer."""
    if dialect == "gemini":
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")
    return _PATHS[dialect]


def question(dialect: str, model: str, text: str, stream: bool = False) -> dict[str, Any]:
    """A small request of *dialect*, as a document."""
    if dialect == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    if dialect == "responses":
        return {"model": model, "stream": stream, "input": text}
    more = {"max_tokens": 100} if dialect == "messages" else {}
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}], **more}


class Asker:
    """What can be asked and, as a context manager, is closed."""

    def ask(self, dialect: str = "chat", text: str = "Hello", model: str = "m", *, stream: bool = False,
            headers: Mapping[str, str] | None = None, **members: Any) -> "Answer":  # fmt: skip
        """The answer to a small question; *members* are added to the request's body."""
        body = question(dialect, model, text, stream) | members
        return self.post(path_of(dialect, model, stream), body, headers, dialect)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None, dialect: str = "chat") -> "Answer":
        """The answer to a POST of *body*: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._post(path, data, {"content-type": "application/json"} | dict(headers or {}), dialect)

    def _post(self, path: str, data: bytes, headers: Mapping[str, str], dialect: str) -> "Answer":
        raise AssertionError("each asker posts in a way of its own")

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(slots=True)
class Answer:
    """What the client got. ``headers`` are by lower-case name. Reading goes on when ``body``,
    ``pieces()`` or anything made of them is asked for; ``broken`` tells that it ended without an end."""

    status: int
    headers: Mapping[str, str]
    dialect: str = ""
    broken: bool = False
    _source: Iterator[bytes] = field(default=iter(()), repr=False)
    _end: Callable[[], Any] = field(default=lambda: None, repr=False)
    _read: list[bytes] = field(default_factory=list, repr=False)

    def pieces(self) -> Iterator[bytes]:
        """The pieces of the body as they come."""
        try:
            for piece in self._source:
                self._read.append(piece)
                yield piece
        except OSError:
            self.broken = True
        self.close()

    def close(self) -> None:
        """Leave, as a client that hangs up does; the end is the end of the call, too."""
        self._end()

    @property
    def so_far(self) -> bytes:
        """What has been read of the body; reads nothing more."""
        return b"".join(self._read)

    @property
    def body(self) -> bytes:
        """All of it. What came before a break is there."""
        for _ in self.pieces():
            pass
        return self.so_far

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json.loads(self.body)

    @property
    def events(self) -> list[sse.Event]:
        """The body's server-sent events."""
        return sse.events(self.body)

    @property
    def text(self) -> str:
        """The words of the model, whole or streamed; raises GatewayError if the body says an error."""
        dialect = DIALECTS[self.dialect]
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            reader = dialect.StreamReader()
            found = [neutral for event in self.events for neutral in reader.feed(event)]
            completion = completion_of(found)
        else:
            completion = dialect.read_reply(self.json)
        parts = completion.choices[0].parts if completion.choices else []
        return "".join(part.text for part in parts if isinstance(part, Text))
