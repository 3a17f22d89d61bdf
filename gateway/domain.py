"""The nouns. All are frozen but Call (the one thing that moves through the road) and the
UpstreamRequest that hooks may edit."""

import copy
import fnmatch
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.bodies import Body
from gateway.config.kinds import Secret
from gateway.config.settings import Budget, ChannelSettings, KeySettings, Limits, TeamSettings, Timeouts
from gateway.usage import Usage
from gateway.wishes import NO_WISHES, Wishes

GENERATE = "generate"
COUNT_TOKENS = "count_tokens"
COMPACT = "compact"

# What a call came to, in logs and records.
COMPLETE, TRUNCATED, CLIENT_CLOSED, REFUSED, FAILED = "complete", "truncated", "client_closed", "refused", "failed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path asks for. ``path`` is the canonical one (``/v1/...``), without query."""

    dialect: str
    operation: str
    path: str
    model: str = ""  # when the path names it
    stream: bool | None = None  # when the path says it (gemini)
    model_needed: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the calls of one *scope* (``key:alice``, ``team:search``) may use together."""

    scope: str
    limits: Limits | None = None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a client key's name and rights. ``models`` are names or globs; empty means all.
    With ``tags`` it is served only by channels that have all of them. ``show_route`` puts the
    attempts into each reply, ``show_timing`` where its time went; ``may_choose`` lets it choose
    channels by header. ``allowances`` are its own and its team's."""

    name: str
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    show_route: bool = False
    show_timing: bool = False
    may_choose: bool = True
    owner: str = ""
    team: str = ""
    allowances: tuple[Allowance, ...] = ()

    @classmethod
    def of(cls, key: KeySettings, team: TeamSettings | None = None) -> "Principal":
        allowances = []
        if key.limits or key.budget:
            allowances.append(Allowance(f"key:{key.name}", key.limits, key.budget))
        if team is not None and (team.limits or team.budget):
            allowances.append(Allowance(f"team:{team.name}", team.limits, team.budget))
        return cls(
            key.name, tuple(key.models), tuple(key.tags), key.show_route, key.show_timing, key.may_choose,
            key.owner, key.team, tuple(allowances),
        )  # fmt: skip

    def may_use(self, model: str) -> bool:
        return not self.models or any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)


ANONYMOUS = Principal("anonymous")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's TLS certificate, which a trusted proxy has verified: small hexadecimal digits (SHA-1 or
    SHA-256), and its subject in the form of RFC 4514; either may be empty."""

    fingerprint: str
    subject: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """What ``authenticate`` sees of a request. ``credentials`` holds the distinct keys it carried
    (Bearer, x-api-key, api-key, x-goog-api-key, ?key=), wherever they stood."""

    method: str
    path: str
    headers: Mapping[str, str]
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    credentials: tuple[Secret, ...] = field(repr=False)
    certificate: Certificate | None = None
    principal: Principal = ANONYMOUS  # whose it is, once that is known: pages are told


@dataclass(frozen=True, slots=True)
class Answered:
    """What an in-process provider gives back: ``body`` is bytes, or an iterable of pieces that may
    sleep, and may raise to break the connection. A given Content-Length is respected."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor, as data.

    ``dialects`` maps each dialect it speaks to the path of its generate operation ("" for the
    usual one); ``operations`` are those it takes beside generate, ``paths`` where they stand if not
    at the usual place. ``auth`` is ``bearer``, ``basic``, ``x-api-key``, ``header:NAME``,
    ``query:NAME`` or ``none``; ``dialect_auth`` differs from it for some dialects. ``traits`` see
    dialects.vocabulary.Target. ``respond(UpstreamRequest) -> Answered`` makes the provider live
    inside the gateway, without any network.

    ``egress`` names what ``tools.http`` may reach beside the channel's own address: hosts (https)
    or addresses. ``keyless`` lets a channel go without a key (``authorize`` is called with None
    then); such a channel may reach ``keyless_egress`` too. ``end`` is the data of the vendor's own
    terminal event, which becomes the dialect's. ``checks_ok`` asks ``classify_failure`` of answers
    below 400 too. ``base_url``, ``egress`` and paths may hold ``${channel.name}`` and
    ``${channel.options.NAME}``. ``rules`` (provider_rules) and ``options`` (the class that reads the
    channel's) are put in while the configuration loads.
    """

    name: str
    dialects: Mapping[str, str]
    base_url: str = ""
    auth: str = "bearer"
    dialect_auth: Mapping[str, str] = field(default_factory=dict)
    operations: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    respond: Callable[["UpstreamRequest"], Answered] | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    egress: tuple[str, ...] = ()
    keyless: bool = False
    keyless_egress: tuple[str, ...] = ()
    end: bytes = b""
    checks_ok: bool = False
    options: type | None = None
    rules: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Channel:
    """One upstream account a call can be sent through. ``options`` are those of the YAML, as the
    provider's ``ChannelOptions`` if its plugin declares them. ``rules`` are its provider's, for this
    channel; ``egress`` is where its plugin's ``tools.http`` may go (``https://host:443``)."""

    name: str
    provider: Provider
    base_url: str
    keys: tuple[Secret, ...]
    models: tuple[tuple[str, str | None], ...]
    settings: ChannelSettings = field(repr=False)
    options: Any = field(default=None, repr=False)
    rules: Any = field(default=None, repr=False)
    egress: frozenset[str] = frozenset()

    @property
    def timeouts(self) -> Timeouts:
        return self.settings.timeout

    def offers(self, dialect: str, operation: str) -> bool:
        """Whether the channel itself takes *operation* in *dialect*: nothing is translated then."""
        provider = self.provider
        return dialect in provider.dialects and (operation == GENERATE or operation in provider.operations)

    def context(self, model: str) -> int | None:
        """Most tokens that *model* (the channel's name for it) reads, if the configuration says so."""
        found = self.settings.context
        return found.get(model) or next((found[g] for g in found if fnmatch.fnmatchcase(model, g)), None)

    def nearest_dialect(self, dialect: str) -> str:
        """The dialect to generate in for a client that speaks *dialect*; empty if it speaks none."""
        return next((other for other in (dialect, *_NEAREST[dialect]) if other in self.provider.dialects), "")


# What a client's dialect is translated to, nearest first. Chat comes early because every vendor's
# is tried by many clients, which cannot be said of each vendor's second dialect.
_NEAREST = {
    "chat": ("responses", "messages", "gemini"),
    "responses": ("chat", "messages", "gemini"),
    "messages": ("chat", "responses", "gemini"),
    "gemini": ("chat", "responses", "messages"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A channel that can serve a call, with the model's name and the dialect to use there, and why
    it stands here. ``translated`` tells that the channel is asked something else than the client
    asked the gateway: the same in another dialect, or a generate in place of what it lacks."""

    channel: Channel
    model: str
    reason: str
    dialect: str
    translated: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A channel that cannot or may not serve a call, and why; ``model`` tells for which, if it is
    not the call's own but one to fall back to."""

    channel: Channel
    reason: str
    model: str = ""


class Route:
    """The candidates in order, and who was left out; ``arrange_channels`` may edit both lists. Of very many
    that could serve the call only some are drawn."""

    __slots__ = ("candidates", "not_drawn", "_left_out")

    def __init__(self, candidates: list[Candidate], left_out: Sequence[LeftOut] = (), not_drawn: int = 0):
        self.candidates = candidates
        self.not_drawn = not_drawn  # how many
        self._left_out = left_out  # often thousands, and seldom looked at

    @property
    def left_out(self) -> list[LeftOut]:
        if not isinstance(self._left_out, list):
            self._left_out = list(self._left_out)
        return self._left_out

    def drop(self, candidate: Candidate, reason: str) -> None:
        self.candidates.remove(candidate)
        self.left_out.append(LeftOut(candidate.channel, reason))


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
        outcome = re.sub(r"[^\w.-]", "?", self.outcome[:64], flags=re.ASCII)
        return f"{self.channel}#{self.key}:{outcome}/{self.seconds * 1000:.0f}"


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
