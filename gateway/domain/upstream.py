"""What is sent to an upstream, and what comes back."""

import copy
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from gateway.bodies import Body


@dataclass(frozen=True, slots=True)
class Answered:
    """What an in-process provider gives back: ``body`` is bytes, or an iterable of pieces that may
    sleep, and may raise to break the connection. A given Content-Length is respected."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes]


@dataclass(slots=True)
class UpstreamRequest:
    """What will be sent, open to ``rewrite_request`` and ``authorize``.

    ``body_edits`` are (JSON Pointer, value) pairs; REMOVED as value takes a member out. They are
    applied to the bytes in place, so that everything else stays as the client wrote it. ``dropped``
    names members of the client's that this channel does not get: the reply says so.
    """

    method: str
    url: str
    headers: MutableMapping[str, str]
    body: Body | None
    body_edits: list[tuple[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def copy(self) -> "UpstreamRequest":
        """The same request, to be signed apart from this one; the body's bytes are shared."""
        return UpstreamRequest(
            self.method, self.url, copy.copy(self.headers), self.body, [*self.body_edits], [*self.dropped]
        )

    def set_member(self, pointer: str, value: Any) -> None:
        """Add or replace the member of the JSON body that the JSON Pointer names."""
        self.body_edits.append((pointer, value))

    def unset_member(self, pointer: str) -> None:
        """Take a member out of the JSON body, if it is there."""
        self.body_edits.append((pointer, REMOVED))

    def __repr__(self) -> str:  # headers and query may carry credentials
        return f"UpstreamRequest({self.method} {self.url.partition('?')[0]})"


@dataclass(slots=True)
class UpstreamReply:
    """A whole answer: what ``classify_failure`` looks at and ``rewrite_response`` may change."""

    status: int
    headers: MutableMapping[str, str]
    body: bytes = field(repr=False)


class _Removed:
    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Any = _Removed()
