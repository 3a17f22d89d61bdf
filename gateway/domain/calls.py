"""A call on its way through the gateway, and what it came to."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.bodies import Body
from gateway.config.kinds import Secret
from gateway.domain.callers import ANONYMOUS, Principal
from gateway.domain.channels import LeftOut
from gateway.domain.operations import Endpoint
from gateway.usage import Usage
from gateway.wishes import NO_WISHES, Wishes

# What a call came to, in logs and records.
COMPLETE, TRUNCATED, CLIENT_CLOSED, REFUSED, FAILED = "complete", "truncated", "client_closed", "refused", "failed"

_UNFIT = re.compile(r"[^\w.-]", re.ASCII)  # for a header or a line of a log


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished try on one channel with one key (by number, never by value)."""

    channel: str
    key: int
    model: str
    status: int  # what the upstream said; 0 when it said nothing
    outcome: str  # "ok", or an errors code
    seconds: float

    def __str__(self) -> str:
        # An outcome may be the upstream's own word: nothing in it may end a header or a log line.
        outcome = _UNFIT.sub("?", self.outcome[:64])
        return f"{self.channel}#{self.key}:{outcome}/{self.seconds * 1000:.0f}"


@dataclass(slots=True)
class Call:
    """What one client asked, once."""

    id: str
    endpoint: Endpoint
    method: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: Body | None = field(repr=False)
    model: str
    stream: bool
    principal: Principal = ANONYMOUS
    address: str = ""
    received: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    wishes: Wishes = NO_WISHES
    passed_over: list[LeftOut] = field(default_factory=list)  # who could not be tried: at rest, or full
    prompt: Any = field(default=None, repr=False)  # the body in neutral words, once somebody needed it
    notes: dict[str, Any] = field(default_factory=dict)  # plugins' own, keyed by plugin name
    reply_headers: list[tuple[str, str]] = field(default_factory=list)  # plugins' own, for the reply
    counted: bool = False  # its usage has to be known: upstreams are asked for it, or it is estimated
    credentials: tuple[Secret, ...] = field(default=(), repr=False)  # of a client that may begin an upload
    upload: Any = None  # uploads.Upload, of which this is a part
    hold_whole: bool = False  # a filter has to see a whole reply before any of it is passed on

    @property
    def dialect(self) -> str:
        return self.endpoint.dialect

    @property
    def operation(self) -> str:
        return self.endpoint.operation

    @property
    def strict(self) -> bool:
        """Whether its client wants no channel that would not get all that it said."""
        return self.wishes.require_parameters or self.headers.get("x-gateway-strict") == "1"


@dataclass(frozen=True, slots=True)
class Record:
    """A call's account, once it ended. Times are in seconds from the call's arrival."""

    status: int
    outcome: str
    channel: str
    attempts: tuple[Attempt, ...]
    usage: Usage
    first_event: float | None
    total: float
    bytes_out: int
    error: str = ""
    model: str = ""  # the channel's name for it
    provider: str = ""
    cost: int | None = None  # micro-USD; None where the price or the usage is not known
    queued: float = 0.0  # seconds of the total that were spent waiting for a channel with room
