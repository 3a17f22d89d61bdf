"""Who can serve a call: vendors, accounts with them, and the order that one call finds them in."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.kinds import Secret
from gateway.config.settings import ChannelSettings, Timeouts
from gateway.domain.operations import GENERATE
from gateway.domain.upstream import Answered, UpstreamRequest


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
    respond: Callable[[UpstreamRequest], Answered] | None = None
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
    asked the gateway: the same in another dialect, or a generate in place of what it lacks. ``instead``
    names the model, as clients know it, where it is another than the one asked for."""

    channel: Channel
    model: str
    reason: str
    dialect: str
    translated: bool = False
    instead: str = ""


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
