"""Request bodies: JSON in memory, anything else in a file that is streamed on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON document as the client wrote it."""

    data: bytes = field(repr=False)
    content_type: str = "application/json"

    def __len__(self) -> int:
        return len(self.data)


@dataclass(slots=True)
class FileBody:
    """A body kept in a temporary file (multipart forms, binary). ``model_span`` is where a form's
    ``model`` field has its value, so that a rename changes these bytes and no others."""

    file: IO[bytes] = field(repr=False)
    length: int
    content_type: str
    model_span: tuple[int, int] | None = None
    new_model: bytes | None = None

    def __len__(self) -> int:
        if self.new_model is None or self.model_span is None:
            return self.length
        start, end = self.model_span
        return self.length - (end - start) + len(self.new_model)

    def renamed(self, model: str) -> "FileBody":
        """The same file with another value in the model field."""
        return FileBody(self.file, self.length, self.content_type, self.model_span, model.encode())

    def __iter__(self) -> Iterator[bytes]:
        if self.new_model is None or self.model_span is None:
            yield from self._range(0, self.length)
            return
        start, end = self.model_span
        yield from self._range(0, start)
        yield self.new_model
        yield from self._range(end, self.length)

    def _range(self, start: int, end: int) -> Iterator[bytes]:
        self.file.seek(start)
        while start < end and (piece := self.file.read(min(_PIECE, end - start))):
            start += len(piece)
            yield piece

    def close(self) -> None:
        self.file.close()


Body = JsonBody | FileBody
