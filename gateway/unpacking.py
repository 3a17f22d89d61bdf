"""Content-Encodings that request bodies may come in. br and zstd need the extra ``compression``."""

import zlib
from collections.abc import Callable

try:
    import brotli
except ImportError:
    brotli = None
try:
    import zstandard
except ImportError:
    zstandard = None

Unpack = Callable[[bytes, int], bytes]  # (packed piece, most bytes wanted) -> plain piece

_STEP = 256


def _zlib(window: int) -> Callable[[], Unpack]:
    def opener() -> Unpack:
        unpacker = zlib.decompressobj(window)

        def unpack(piece: bytes, most: int) -> bytes:
            # What would exceed *most* stays packed; the caller refuses the body anyway then.
            return unpacker.decompress(piece, most)

        return unpack

    return opener


def _in_steps(unpack: Callable[[bytes], bytes]) -> Unpack:
    """For libraries without a limit of their own: fed in small steps, a bomb of a thousandfold
    shows after a few of them."""

    def bounded(piece: bytes, most: int) -> bytes:
        plain: list[bytes] = []
        for start in range(0, len(piece), _STEP):
            plain.append(unpack(piece[start : start + _STEP]))
            most -= len(plain[-1])
            if most < 0:
                break
        return b"".join(plain)

    return bounded


UNPACKERS: dict[str, Callable[[], Unpack]] = {"gzip": _zlib(31), "x-gzip": _zlib(31), "deflate": _zlib(15)}
if brotli is not None:
    UNPACKERS["br"] = lambda: _in_steps(brotli.Decompressor().process)
if zstandard is not None:
    UNPACKERS["zstd"] = lambda: _in_steps(zstandard.ZstdDecompressor().decompressobj().decompress)
