"""Reads a request's body: bounded, unpacked, and far enough understood to be routed."""

import mmap
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from gateway import json_edit, json_text
from gateway.arrival.unpacking import UNPACKERS, NotUnpackable, Unpacker
from gateway.bodies import FileBody, JsonBody
from gateway.errors import BadRequest, BodyTooLarge, UnsupportedMedia

_PIECE = 64 * 1024
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_LONGEST_FIELD = 4096


def read_json(stream: Any, content_type: str, encoding: str, limit: int, length: int | None = None) -> JsonBody:
    """A JSON body, unpacked and otherwise as the client wrote it.

    Raises UnsupportedMedia for another type or an unknown Content-Encoding, BodyTooLarge past
    *limit* bytes (unpacked too: a bomb stops there), BadRequest for one that cannot be unpacked or
    is shorter than the *length* that was announced.
    """
    if not is_json(content_type):
        raise UnsupportedMedia(f"expected Content-Type application/json, found {content_type[:100]!r}")
    pieces = _unpacked(_pieces(stream, limit, length), encoding, limit)
    return JsonBody(b"".join(pieces), content_type or "application/json")


def read_file(stream: Any, content_type: str, encoding: str, limit: int, length: int | None = None) -> FileBody:
    """A body of any type, kept on disk. Raises as read_json does."""
    file = tempfile.TemporaryFile()
    size = 0
    try:
        for piece in _unpacked(_pieces(stream, limit, length), encoding, limit):
            size += file.write(piece)
        file.flush()
    except BaseException:  # whatever ends it, a killed greenlet's end too: nobody else knows of the file
        file.close()
        raise
    return FileBody(file, size, content_type)


def is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return not media_type or media_type == "application/json" or media_type.endswith("+json")


def read_head(body: JsonBody) -> dict[str, Any]:
    """``model``, ``stream`` and what wishes are made of, as a JSON body has them. Raises BadRequest when it is
    not a JSON object, or names two different models (parsers differ in which of them holds)."""
    try:
        head = json_text.read_head(body.data)
    except json_text.NotJson as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    if body.data.count(b'"model"') > 1 and len(set(json_edit.top_level(body.data, "model"))) > 1:
        raise BadRequest("the body names two different models", param="model")
    return head


def form_field(body: FileBody, name: str) -> tuple[str, tuple[int, int]] | None:
    """The value of a multipart form's text field and where it stands in the file (RFC 7578);
    None when there is no such field. The file is searched, not loaded."""
    if not body.content_type.lower().startswith("multipart/form-data") or not body.length:
        return None
    found = _BOUNDARY.search(body.content_type)
    if found is None:
        raise BadRequest("the multipart form names no boundary")
    boundary = b"--" + (found[1] or found[2]).encode("latin-1")
    line = rb"(?:[^\r\n]+\r\n)*"
    wanted = rb'[Cc]ontent-[Dd]isposition:[^\r\n]*;\s*name="?%s"?(?=[;\r\s])[^\r\n]*\r\n' % re.escape(name.encode())
    pattern = re.compile(re.escape(boundary) + rb"\r\n" + line + rb"?" + wanted + line + rb"\r\n")
    with mmap.mmap(body.file.fileno(), body.length, access=mmap.ACCESS_READ) as view:
        found_at = []
        for part in pattern.finditer(view):
            end = view.find(b"\r\n" + boundary, part.end())
            if end < 0 or end - part.end() > _LONGEST_FIELD:
                raise BadRequest(f"the multipart form's field {name!r} is too long or does not end", param=name)
            found_at.append((part.end(), end))
        if len(found_at) > 1:  # parsers differ in which of them holds
            raise BadRequest(f"the multipart form has the field {name!r} twice", param=name)
        if not found_at:
            return None
        start, end = found_at[0]
        return view[start:end].decode("utf-8", "replace"), (start, end)


def _pieces(stream: Any, limit: int, length: int | None) -> Iterator[bytes]:
    if length is not None and length > limit:  # said before it is sent
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    size = 0
    # Never past what was announced: not every server's stream ends there (PEP 3333).
    while piece := _read(stream, _PIECE if length is None else min(_PIECE, length - size)):
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(f"the body is larger than {limit} bytes")
        yield piece
    if length is not None and size < length:
        raise BadRequest(f"the body broke off after {size} of {length} bytes", code="body_incomplete")


def _read(stream: Any, most: int) -> bytes:
    try:
        return stream.read(most)
    except Exception as error:  # each WSGI server has its own for broken chunks and lost clients
        raise BadRequest(f"the body broke off ({type(error).__name__})", code="body_incomplete") from None


def _unpacked(pieces: Iterator[bytes], encoding: str, limit: int) -> Iterator[bytes]:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return pieces
    if encoding not in UNPACKERS:
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not one of {', '.join(UNPACKERS)}")
    return _bounded(pieces, UNPACKERS[encoding](), limit)


def _bounded(pieces: Iterator[bytes], unpacker: Unpacker, limit: int) -> Iterator[bytes]:
    size = 0
    try:
        for piece in pieces:
            plain = unpacker.feed(piece, limit + 1 - size)
            size += len(plain)
            if size > limit:
                raise BodyTooLarge(f"the unpacked body is larger than {limit} bytes")
            yield plain
        unpacker.end()
    except NotUnpackable as error:
        raise BadRequest(f"the body cannot be unpacked: {error}") from None
