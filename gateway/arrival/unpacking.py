"""Content-Encodings that request bodies may come in. br and zstd need the extra ``compression``."""

import zlib
from collections.abc import Callable
from typing import Any

try:
    import brotli
except ImportError:
    brotli = None
try:
    import zstandard
except ImportError:
    zstandard = None

_STEP = 256


class NotUnpackable(ValueError):
    """The bytes are not what their Content-Encoding says, or end too early."""


class _Zlib:
    """gzip (window 31) or zlib (15)."""

    def __init__(self, window: int):
        self._inner = zlib.decompressobj(window)

    @property
    def over(self) -> bool:
        return self._inner.eof

    def take(self, data: bytes, most: int) -> tuple[bytes, bytes]:
        # What would exceed *most* stays packed; the caller refuses the body anyway then.
        return self._inner.decompress(data, most), self._inner.unused_data


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def over(self) -> bool:
        return self._inner.is_finished()

    def take(self, data: bytes, most: int) -> tuple[bytes, bytes]:
        # A few hundred bytes may hold gigabytes: the limit has to be the library's own.
        return self._inner.process(data, output_buffer_limit=most), b""


class _Zstd:
    """Has no limit of its own: fed in small steps (each makes 8 MB at most), a bomb shows after a few."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()

    @property
    def over(self) -> bool:
        return self._inner.eof

    def take(self, data: bytes, most: int) -> tuple[bytes, bytes]:
        plain: list[bytes] = []
        for start in range(0, len(data), _STEP):
            plain.append(self._inner.decompress(data[start : start + _STEP]))
            most -= len(plain[-1])
            if self.over:
                return b"".join(plain), self._inner.unused_data + data[start + _STEP :]
            if most < 0:
                break
        return b"".join(plain), b""


class Unpacker:
    """Unpacks one body, piece by piece. *open_member* begins anew where the format lets several
    packed members stand in a row (*several*)."""

    def __init__(self, open_member: Callable[[], Any], several: bool):
        self._open = open_member
        self._several = several
        self._member: Any = None

    def feed(self, piece: bytes, most: int) -> bytes:
        """What *piece* unpacks to; once that is *most* bytes or more, the rest is left out."""
        plain: list[bytes] = []
        while piece and most > 0:
            if self._member is None or (self._member.over and self._several):
                self._member = self._open()
            elif self._member.over:
                raise NotUnpackable("something follows its end")
            try:
                unpacked, piece = self._member.take(piece, most)
            except _ERRORS:
                raise NotUnpackable("it is damaged, or packed in another way") from None
            plain.append(unpacked)
            most -= len(unpacked)
        return b"".join(plain)

    def end(self) -> None:
        """Raises NotUnpackable when the body ended before its packing did."""
        if self._member is None or not self._member.over:
            raise NotUnpackable("it ends too early")


_ERRORS: tuple[type[Exception], ...] = (zlib.error,)
UNPACKERS: dict[str, Callable[[], Unpacker]] = {
    "gzip": lambda: Unpacker(lambda: _Zlib(31), several=True),
    "x-gzip": lambda: Unpacker(lambda: _Zlib(31), several=True),
    "deflate": lambda: Unpacker(lambda: _Zlib(15), several=False),
}
if brotli is not None:
    _ERRORS += (brotli.error,)
    UNPACKERS["br"] = lambda: Unpacker(_Brotli, several=False)
if zstandard is not None:
    _ERRORS += (zstandard.ZstdError,)
    UNPACKERS["zstd"] = lambda: Unpacker(_Zstd, several=True)
