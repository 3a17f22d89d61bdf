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


class KeeperAway(Exception):
    """Where replies are kept cannot be asked now. Says no more than what kind of error it was: the text of
    the error may name a password."""

    def __init__(self, error: Exception):
        super().__init__(type(error).__name__)


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
