"""A reply that is kept, and the bytes it is kept as."""

from dataclasses import dataclass

from gateway import json_text


@dataclass(frozen=True, slots=True)
class KeptReply:
    """*pieces* are the body as it came: one piece, or a stream's events. *at* is when, in seconds since 1970."""

    at: float
    content_type: str
    streamed: bool
    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def packed(self) -> bytes:
        """A line of JSON, and the body behind it."""
        head = [self.at, self.content_type, self.streamed, [len(piece) for piece in self.pieces]]
        return b"\n".join([json_text.write(head), b"".join(self.pieces)])


def unpacked(data: bytes) -> KeptReply:
    """What ``packed`` gave. Raises ValueError when it is something else."""
    line, _, body = data.partition(b"\n")
    try:
        at, content_type, streamed, lengths = json_text.parse(line)
        if sum(lengths) != len(body):
            raise ValueError("not all of it is there")
    except TypeError:
        raise ValueError("it is no kept reply") from None
    pieces, begin = [], 0
    for length in lengths:
        pieces.append(body[begin : begin + length])
        begin += length
    return KeptReply(float(at), content_type, streamed, tuple(pieces))
