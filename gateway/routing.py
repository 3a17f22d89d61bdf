"""Call -> Route: which channels can serve it, in which order, and why. Pure: chance and time come
in as arguments, so a decision can be made again from the call's id alone."""

import fnmatch
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain import COMPACT, GENERATE, Candidate, Channel, LeftOut, Route
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.wishes import NO_WISHES, Wishes

Rank = Callable[[Candidate], float]

_DISABLED = "disabled"
_KEYS_TAGS = "lacks what this key is bound to by its tags"
# What a channel that lacks it can be made to do by a translated generate.
_TRANSLATABLE = frozenset({GENERATE, COMPACT})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What routing must know of a call. ``model`` is empty for operations without one; ``channel``
    is the one the client asked for by name, if it did; ``tags`` are the key's."""

    dialect: str
    operation: str
    model: str
    channel: str = ""
    wishes: Wishes = NO_WISHES
    tags: tuple[str, ...] = ()


class Router:
    """The channels of one configuration, indexed by the models they serve."""

    def __init__(self, channels: Iterable[Channel], routes: Mapping[str, Iterable[str]] | None = None):
        self._channels = list(channels)
        self._by_name = {channel.name: channel for channel in self._channels}
        self._routes = {public: tuple(entries) for public, entries in (routes or {}).items()}
        self._exact: dict[str, list[tuple[Channel, str]]] = {}
        self._globs: list[tuple[re.Pattern, Channel]] = []
        for channel in self._channels:
            for public, upstream in channel.models:
                if "*" in public or "?" in public:
                    self._globs.append((re.compile(fnmatch.translate(public)), channel))
                else:
                    self._exact.setdefault(public, []).append((channel, upstream or public))

    def route(self, wanted: Wanted, seed: str, rank: Rank | None = None) -> Route:
        """The route of a call. Inside one priority the smaller *rank* goes first, and *seed* decides
        the draw among equals.

        Raises NotFound for a model that no channel has, Forbidden when the key's tags leave none of
        them, BadRequest when those that have it speak neither the dialect nor the operation, or are
        not what the client wishes. A route may come out empty of candidates.
        """
        route = self.consider(wanted, seed, rank)
        if not route.candidates:
            _refuse(wanted, route.left_out)
        return route

    def consider(self, wanted: Wanted, seed: str, rank: Rank | None = None) -> Route:
        """The same without judging: who could serve the call, and why the others not."""
        route, wishes = self._of_model(wanted, seed, rank), wanted.wishes
        if wishes is NO_WISHES:
            return route
        for model in wishes.models:
            further = self._of_model(replace(wanted, model=model), seed, rank)
            there = {(item.channel.name, item.model) for item in route.candidates}
            for item in further.candidates:
                if (item.channel.name, item.model) not in there:
                    reason = f"{item.reason}; falls back to {model!r}"
                    route.candidates.append(replace(item, reason=reason))
            route.left_out += [replace(item, model=model) for item in further.left_out]
        if not wishes.allow_fallbacks:
            route.left_out += [LeftOut(c.channel, "the client allows no fallbacks") for c in route.candidates[1:]]
            del route.candidates[1:]
        return route

    def _of_model(self, wanted: Wanted, seed: str, rank: Rank | None) -> Route:
        listed, wishes = self._listed(wanted.model), wanted.wishes
        ours = _names(listed) if wishes.only or wishes.order else frozenset()
        left_out, fit = [], []
        for channel, model, reason in listed:
            why_not = _why_not(channel, wanted, ours)
            if why_not:
                left_out.append(LeftOut(channel, why_not))
            elif channel.offers(wanted.dialect, wanted.operation):
                fit.append(Candidate(channel, model, reason, wanted.dialect))
            else:
                dialect = channel.nearest_dialect(wanted.dialect)
                fit.append(Candidate(channel, model, reason, dialect, translated=True))
        if len(fit) > 1 and wanted.model not in self._routes:
            fit = _ordered(fit, bool(wanted.model), seed, rank)
        if wishes.order:
            fit = _as_wished(fit, wishes, ours)
        return Route(fit, left_out)

    def model_names(self, tags: Iterable[str] = ()) -> list[str]:
        """Every model that can be named: routes and the exact names of enabled channels, sorted; with
        *tags*, those of channels that have all of them."""
        bound = set(tags)
        names = {
            name
            for name, pairs in self._exact.items()
            if any(c.settings.enabled and bound <= set(c.settings.tags) for c, _ in pairs)
        }
        return sorted(names | {name for name in self._routes if self.has(name, tags)})

    def offers(self, wanted: Wanted) -> bool:
        """Whether any enabled channel that has the model takes the operation itself."""
        return any(not _why_not(channel, wanted) for channel, _, _ in self._listed(wanted.model))

    def has(self, model: str, tags: Iterable[str] = ()) -> bool:
        bound = set(tags)
        return any(bound <= set(channel.settings.tags) for channel, _, _ in self._listed(model))

    def _listed(self, model: str) -> list[tuple[Channel, str, str]]:
        """(channel, model there, why) for each channel that has *model*, each channel once."""
        if not model:
            return [(channel, "", "the operation names no model") for channel in self._channels]
        if model in self._routes:
            return self._of_route(model)
        vendor, slash, rest = model.partition("/")
        if not slash:
            return _once(self._plain(model))
        # A vendor prefix selects the vendor; aggregators list the prefixed name itself.
        whole = [(channel, upstream, "lists the model") for channel, upstream in self._exact.get(model, ())]
        of_vendor = [
            (channel, upstream, f"is {vendor}'s and has the model")
            for channel, upstream, _ in self._plain(rest)
            if channel.provider.name == vendor
        ]
        return _once(whole + of_vendor) or _once(self._plain(model))

    def _plain(self, model: str) -> list[tuple[Channel, str, str]]:
        exact = [(channel, upstream, "lists the model") for channel, upstream in self._exact.get(model, ())]
        globs = [(channel, model, "has a matching pattern") for glob, channel in self._globs if glob.match(model)]
        return exact + globs

    def _of_route(self, public: str) -> list[tuple[Channel, str, str]]:
        entries = [entry.partition("/") for entry in self._routes[public]]
        return [(self._by_name[name], model, f"entry of route {public!r}") for name, _, model in entries]


def _once(found: list[tuple[Channel, str, str]]) -> list[tuple[Channel, str, str]]:
    return list({item[0].name: item for item in reversed(found)}.values())[::-1]


def _names(listed: Iterable[tuple[Channel, str, str]]) -> frozenset[str]:
    return frozenset(name.lower() for channel, _, _ in listed for name in (channel.name, channel.provider.name))


def _why_not(channel: Channel, wanted: Wanted, ours: frozenset[str] = frozenset()) -> str:
    if not channel.offers(wanted.dialect, wanted.operation) and wanted.operation not in _TRANSLATABLE:
        return f"does not offer {wanted.operation} in {wanted.dialect}"
    if wanted.tags and not set(wanted.tags) <= set(channel.settings.tags):
        return _KEYS_TAGS
    if not channel.settings.enabled:
        return _DISABLED
    if wanted.channel and channel.name != wanted.channel:
        return f"the client asked for channel {wanted.channel!r}"
    return "" if wanted.wishes is NO_WISHES else wanted.wishes.refuse(channel, ours)


def _refuse(wanted: Wanted, left_out: list[LeftOut]) -> None:
    """Raises what an empty route is to the client; returns when it is but a matter of time."""
    if not left_out:
        raise NotFound(f"no channel serves the model {wanted.model!r}", code="model_not_found", param="model")
    why = {item.reason for item in left_out}
    if _DISABLED in why:
        return
    if _KEYS_TAGS in why:
        raise Forbidden(_nobody_serves(wanted, left_out), param="model", code="model_not_allowed")
    raise BadRequest(_nobody_serves(wanted, left_out), code="unsupported_operation")


def _nobody_serves(wanted: Wanted, left_out: list[LeftOut]) -> str:
    reasons = "; ".join(f"{item.channel.name}: {item.reason}" for item in left_out[:5])
    what = f"model {wanted.model!r}" if wanted.model else f"operation {wanted.operation!r}"
    return f"no channel can serve {what} this way ({reasons})"


def _as_wished(candidates: list[Candidate], wishes: Wishes, ours: frozenset[str]) -> list[Candidate]:
    """Those that the client's order names first, in that order."""
    placed = sorted(((wishes.place(item.channel, ours), item) for item in candidates), key=lambda pair: pair[0])
    return [
        replace(item, reason=f"{item.reason}; number {place + 1} in the client's order")
        if place < len(wishes.order)
        else item
        for place, item in placed
    ]


def _ordered(candidates: list[Candidate], draw: bool, seed: str, rank: Rank | None) -> list[Candidate]:
    """By priority, and inside one priority by *rank* and a weighted draw without replacement (or, for
    calls without a model, as configured: files and batches must find their own account again)."""
    tiers: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        tiers.setdefault(candidate.channel.settings.priority, []).append(candidate)
    ordered: list[Candidate] = []
    for priority in sorted(tiers, reverse=True):
        tier = tiers[priority]
        if draw and len(tier) > 1:
            tier.sort(key=lambda candidate: _lot(seed, candidate.channel.name, candidate.channel.settings.weight))
            if rank is not None:
                tier.sort(key=rank)
        ordered += tier
    return ordered


def _lot(seed: str, name: str, weight: float) -> float:
    """What *name* draws: sorting by -log(u)/w is a weighted draw without replacement (Efraimidis and
    Spirakis 2006). As u hangs on seed and name alone, the same seed prefers the same channel whoever
    else takes part, in every worker: rendezvous hashing, which keeps a conversation where it was."""
    if not weight:
        return math.inf
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64) / weight


def drawn_keys(channel: Channel, seed: str) -> list[int]:
    """The positions of the channel's keys in the order of trying: a weighted draw, so that all of an
    account's keys share the work. ``[0]`` for a channel without any."""
    if len(channel.keys) < 2:
        return [0]
    weights = [getattr(key, "weight", 1) for key in channel.keys]
    return sorted(range(len(weights)), key=lambda i: _lot(seed, f"{channel.name}#{i}", weights[i]))
