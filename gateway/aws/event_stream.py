"""The framing of AWS's streams: ``application/vnd.amazon.eventstream``.

A message is a prelude (its length, its headers' length, their CRC), headers, payload and a CRC of it
all, numbers big-endian. Source: the Smithy specification, "Amazon Event Stream". Pure.
"""

import struct
from binascii import crc32
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import StreamCut

MEDIA_TYPE = "application/vnd.amazon.eventstream"
_PRELUDE = 12
_LONGEST = 24 * 1024 * 1024
# Header types of a fixed size: type -> format. 0 and 1 are True and False, without a value.
_FIXED = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q", 9: "16s"}
_BYTES, _TEXT = 6, 7


class Corrupt(StreamCut):
    """The bytes are not what their checksums say, or no messages at all."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message. A header's value is a bool, int, str or bytes, as its type says."""

    headers: dict[str, Any]
    payload: bytes = field(repr=False)


class FrameReader:
    """Cuts bytes, however they arrive, into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises Corrupt."""
        held = self._held
        held += data
        messages, start = [], 0
        while len(held) - start >= _PRELUDE:
            length, headers, check = struct.unpack_from(">III", held, start)
            if crc32(held[start : start + 8]) != check or length > _LONGEST or headers > length - _PRELUDE - 4:
                raise Corrupt("the upstream's event stream is damaged (prelude)")
            if len(held) - start < length:
                break
            messages.append(_message(bytes(held[start : start + length]), headers))
            start += length
        del held[:start]
        return messages

    def close(self) -> None:
        """Raises Corrupt when the stream ended inside a message."""
        if self._held:
            raise Corrupt("the upstream's event stream ended inside a message")


def _message(data: bytes, headers_length: int) -> Message:
    if crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise Corrupt("the upstream's event stream is damaged (message)")
    end = _PRELUDE + headers_length
    try:
        headers = _headers(data[_PRELUDE:end])
    except (struct.error, IndexError, KeyError, UnicodeDecodeError):
        raise Corrupt("the upstream's event stream is damaged (headers)") from None
    return Message(headers, data[end:-4])


def _headers(data: bytes) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        name, kind = data[position + 1 : end].decode(), data[end]
        position = end + 1
        value: Any = kind == 0
        if kind in (_BYTES, _TEXT):
            (length,) = struct.unpack_from(">H", data, position)
            if position + 2 + length > len(data):
                raise IndexError
            value = data[position + 2 : position + 2 + length]
            value = value.decode() if kind == _TEXT else value
            position += 2 + length
        elif kind > 1:
            (value,) = struct.unpack_from(_FIXED[kind], data, position)
            position += struct.calcsize(_FIXED[kind])
        headers[name] = value
    return headers


def write_message(headers: dict[str, str], payload: bytes) -> bytes:
    """A message with text headers only, as services send them."""
    written = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in ((name.encode(), value.encode()) for name, value in headers.items())
    )
    prelude = struct.pack(">II", _PRELUDE + len(written) + len(payload) + 4, len(written))
    data = prelude + struct.pack(">I", crc32(prelude)) + written + payload
    return data + struct.pack(">I", crc32(data))
