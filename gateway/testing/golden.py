"""Golden streams: a stream that is cut anywhere comes out the same."""

from collections.abc import Callable, Iterable
from typing import Any

from gateway import sse


def filtered(own: Any, pieces: Iterable[bytes]) -> bytes:
    """*pieces* through the filter *own* as the gateway feeds it: whole events, as they become whole,
    then the end."""
    splitter = sse.Splitter()
    out = [own.feed(whole) for piece in pieces if (whole := splitter.feed(piece))]
    rest = splitter.rest()
    return b"".join([*out, own.feed(rest) if rest else b"", own.close()])


def decoded(decoder: Any, pieces: Iterable[bytes]) -> bytes:
    """*pieces* through a decoder of ``decode_stream``, which takes them however they come."""
    return b"".join([*(decoder.feed(piece) for piece in pieces), decoder.close()])


def golden(
    make: Callable[[], Any], stream: bytes, through: Callable[[Any, Iterable[bytes]], bytes] = filtered
) -> bytes:
    """What a new filter from *make* gives for *stream*; the same for each cut in two.

    Raises AssertionError that names the first cut where it is not.
    """
    whole = through(make(), [stream])
    for place in range(1, len(stream)):
        found = through(make(), [stream[:place], stream[place:]])
        if found != whole:
            raise AssertionError(f"cut at byte {place} of {len(stream)} it gives {_apart(whole, found)}")
    bytewise = through(make(), [stream[i : i + 1] for i in range(len(stream))])
    if bytewise != whole:
        raise AssertionError(f"fed byte by byte it gives {_apart(whole, bytewise)}")
    return whole


def _apart(expected: bytes, found: bytes) -> str:
    place = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
                 min(len(expected), len(found)))  # fmt: skip
    around = slice(max(0, place - 20), place + 40)
    return f"{found[around]!r} at byte {place}, where the whole stream gives {expected[around]!r}"
