"""Call -> Route: which channels can serve it, in which order, and why. Pure: chance and time come
in as arguments, so a decision can be made again from the call's id alone."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.domain import COMPACT, GENERATE, Candidate, Channel, LeftOut, Route
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.routing.catalogue import Catalogue
from gateway.routing.drawing import FEW, Order, Tier
from gateway.routing.strategies import PRICE_UNKNOWN, TOO_DEAR, Choice
from gateway.wishes import NO_WISHES, Wishes, aggregates

_DISABLED = "disabled"
_FOR_NOW = {_DISABLED, TOO_DEAR, PRICE_UNKNOWN}
_KEYS_TAGS = "lacks what this key is bound to by its tags"
# What a channel that lacks it can be made to do by a translated generate.
_TRANSLATABLE = frozenset({GENERATE, COMPACT})
_MOST_KEPT = 200_000  # channels, in all that was found for models once
_LONGEST_NAME = 200  # of a model for which that is kept


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

    @property
    def chooses(self) -> bool:
        """Whether the client has a say in who serves it."""
        return bool(self.channel) or self.wishes is not NO_WISHES


_CHANCE = Choice()


@dataclass(frozen=True)
class _Field:
    """Who can serve calls of one kind, as configured: the higher priority first. Of a call it does not hang on
    more than what it is asked for by, so it is found once for many of them."""

    tiers: tuple[Tier, ...]
    left_out: tuple[LeftOut, ...]
    ranked: bool  # by priority
    drawn: bool  # chance decides inside one priority

    @functools.cached_property
    def size(self) -> int:
        return sum(len(tier.candidates) for tier in self.tiers)

    @functools.cached_property
    def by_name(self) -> dict[str, list[Candidate]]:
        """By their channels' and providers' names, in lower case."""
        found: dict[str, list[Candidate]] = {}
        for item in itertools.chain.from_iterable(tier.candidates for tier in self.tiers):
            for name in {item.channel.name.lower(), item.channel.provider.name.lower()}:
                found.setdefault(name, []).append(item)
        return found

    @functools.cached_property
    def _named(self) -> dict[str, tuple[Tier, ...]]:
        return {}

    def named(self, name: str) -> tuple[Tier, ...]:
        """Those that *name* means, which an aggregator may know if it means nobody here."""
        if name not in self.names:
            return self.aggregators
        if name not in self._named:
            self._named[name] = self.tiers_of(self.by_name.get(name, ()))
        return self._named[name]

    @functools.cached_property
    def aggregators(self) -> tuple[Tier, ...]:
        """Those that lead to vendors with names of their own."""
        found = itertools.chain.from_iterable(tier.candidates for tier in self.tiers)
        return self.tiers_of([item for item in found if aggregates(item.channel)])

    def tiers_of(self, candidates: Sequence[Candidate]) -> tuple[Tier, ...]:
        """The same, or some of them, by priority; as they stand, where that is what counts."""
        return _by_priority(candidates) if self.ranked else (Tier(candidates),)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """All that mean one of them, or of those that are left out."""
        others = (name for out in self.left_out for name in (out.channel.name, out.channel.provider.name))
        return frozenset(self.by_name).union(name.lower() for name in others)


class Router:
    """Makes the routes of one configuration."""

    def __init__(self, channels: Iterable[Channel], routes: Mapping[str, Iterable[str]] | None = None):
        self._catalogue = Catalogue(channels, routes)
        self._fields: dict[tuple[str, str, str, tuple[str, ...]], _Field] = {}
        self._kept = 0  # channels that these hold

    def route(self, wanted: Wanted, seed: str, choice: Choice = _CHANCE) -> Route:
        """The route of a call. Inside one priority *choice* says who goes first, and *seed* decides
        the draw among equals. Of very many that could serve it, some are taken: enough that are awake.

        Raises NotFound for a model that no channel has, Forbidden when the key's tags leave none of
        them, BadRequest when those that have it speak neither the dialect nor the operation, or are
        not what the client wishes. A route may come out empty of candidates.
        """
        route = self.consider(wanted, seed, choice)
        if not route.candidates:
            _refuse(wanted, route.left_out)
        return route

    def consider(self, wanted: Wanted, seed: str, choice: Choice = _CHANCE) -> Route:
        """The same without judging: who could serve the call, and why the others not."""
        route, wishes = self._of_model(wanted, seed, choice), wanted.wishes
        if wishes is NO_WISHES:
            return route
        own = route.candidates[:]
        for model in wishes.models:
            further = self._of_model(replace(wanted, model=model), seed, choice)
            there = {(item.channel.name, item.model) for item in route.candidates}
            for item in further.candidates:
                if (item.channel.name, item.model) not in there:
                    reason = f"{item.reason}; falls back to {model!r}"
                    route.candidates.append(replace(item, reason=reason, instead=item.instead or model))
            route.left_out.extend(replace(item, model=model) for item in further.left_out)
            route.not_drawn += further.not_drawn
        if not wishes.allow_fallbacks:
            kept = _listed(own, wishes, self._field(wanted).names) if wishes.order else 1
            others = route.candidates[kept:]
            route.left_out.extend(LeftOut(item.channel, "the client allows no fallbacks") for item in others)
            del route.candidates[kept:]
        return route

    def model_names(self, tags: Iterable[str] = ()) -> list[str]:
        """Every model that can be named: routes and the exact names of enabled channels, sorted; with
        *tags*, those of channels that have all of them."""
        bound = set(tags)
        names = {
            name
            for name, channels in self._catalogue.exact_names()
            if any(channel.settings.enabled and bound <= set(channel.settings.tags) for channel in channels)
        }
        return sorted(names | {name for name in self._catalogue.routes if self.has(name, tags)})

    def offers(self, wanted: Wanted) -> bool:
        """Whether any enabled channel that has the model takes the operation itself."""
        field = self._field(wanted)
        found = itertools.chain.from_iterable(tier.candidates for tier in field.tiers)
        return any(not _unwanted(item, wanted, field, _CHANCE) for item in found)

    def names(self, model: str) -> bool:
        """Whether the configuration has *model* by this very name, behind a vendor's prefix or without one."""
        return self._catalogue.names(model)

    def has(self, model: str, tags: Iterable[str] = ()) -> bool:
        bound = set(tags)
        return any(bound <= set(channel.settings.tags) for channel in self._catalogue.having(model))

    def _of_model(self, wanted: Wanted, seed: str, choice: Choice) -> Route:
        field, order = self._field(wanted), choice.order(wanted.model, wanted.wishes)
        if field.size > FEW:
            return _some_of(field, wanted, seed, order, choice)
        route = Route([], field.left_out)
        for tier in field.tiers:
            fit = tier.candidates
            if wanted.chooses:
                why_not = [(item, _unwanted(item, wanted, field, choice)) for item in fit]
                route.left_out.extend(LeftOut(item.channel, why) for item, why in why_not if why)
                fit = [item for item, why in why_not if not why]
            route.candidates += order.of_few(fit, seed) if field.drawn else fit
        if wanted.wishes.order:
            route.candidates = _as_wished(route.candidates, wanted.wishes, field.names)
        return route

    def _field(self, wanted: Wanted) -> _Field:
        kind = wanted.model, wanted.dialect, wanted.operation, wanted.tags
        field = self._fields.get(kind)
        if field is None:
            field = self._new_field(wanted)
            channels = field.size + len(field.left_out)
            if channels and len(wanted.model) <= _LONGEST_NAME:  # clients may name what they like
                if self._kept + channels > _MOST_KEPT:
                    self._fields, self._kept = {}, 0
                self._fields[kind] = field
                self._kept += channels
        return field

    def _new_field(self, wanted: Wanted) -> _Field:
        left_out, fit = [], []
        # A route's entries stand in their order; files and batches must find their own account again.
        ranked = wanted.model not in self._catalogue.routes
        for channel, model, reason in self._catalogue.listed(wanted.model):
            why_not = _why_not(channel, wanted)
            if why_not:
                left_out.append(LeftOut(channel, why_not))
                continue
            own = channel.offers(wanted.dialect, wanted.operation)
            dialect = wanted.dialect if own else channel.nearest_dialect(wanted.dialect)
            instead = "" if ranked or model == wanted.model else model
            fit.append(Candidate(channel, model, reason, dialect, not own, instead))
        tiers = _by_priority(fit) if ranked else (Tier(fit),)
        return _Field(tiers, tuple(left_out), ranked, drawn=ranked and bool(wanted.model))


def _some_of(field: _Field, wanted: Wanted, seed: str, order: Order, choice: Choice) -> Route:
    """A route through a field of very many: no call tries more than some of them. Those that the client's order names
    come first."""
    route, seen, awake = Route([], field.left_out), set(), 0
    tiers = _tiers(field, wanted)
    found = itertools.chain(*map(field.named, wanted.wishes.order), tiers)
    for item in _in_order(found, seed, order if field.drawn else None):
        if id(item) in seen:
            continue
        seen.add(id(item))
        why_not = _unwanted(item, wanted, field, choice) if wanted.chooses else ""
        if why_not:
            route.left_out.append(LeftOut(item.channel, why_not))
            continue
        route.candidates.append(item)
        awake += choice.awake(item.channel)
        if awake == FEW:
            break
    if wanted.wishes.order:
        route.candidates = _as_wished(route.candidates, wanted.wishes, field.names)
    route.not_drawn = max(sum(len(tier.candidates) for tier in tiers) - len(seen), 0)
    return route


def _in_order(tiers: Iterable[Tier], seed: str, order: Order | None) -> Iterator[Candidate]:
    for tier in tiers:
        yield from tier.candidates if order is None else order.of_many(tier, seed)


def _tiers(field: _Field, wanted: Wanted) -> Sequence[Tier]:
    """Those that the client names, where it names all that it would have."""
    names = {wanted.channel.lower()} if wanted.channel else set(wanted.wishes.only)
    if not names or not names <= field.names or not field.ranked:
        return field.tiers
    tiers = [tier for name in sorted(names) for tier in field.named(name)]
    if len(names) == 1:
        return tiers
    return _by_priority({id(item): item for tier in tiers for item in tier.candidates}.values())


def _by_priority(candidates: Iterable[Candidate]) -> tuple[Tier, ...]:
    tiers: dict[int, list[Candidate]] = {}
    for item in candidates:
        tiers.setdefault(item.channel.settings.priority, []).append(item)
    return tuple(Tier(tiers[priority]) for priority in sorted(tiers, reverse=True))


def _why_not(channel: Channel, wanted: Wanted) -> str:
    """What keeps *channel*, as it is configured, from calls of this kind."""
    if not channel.offers(wanted.dialect, wanted.operation) and wanted.operation not in _TRANSLATABLE:
        return f"does not offer {wanted.operation} in {wanted.dialect}"
    if wanted.tags and not set(wanted.tags) <= set(channel.settings.tags):
        return _KEYS_TAGS
    return "" if channel.settings.enabled else _DISABLED


def _unwanted(candidate: Candidate, wanted: Wanted, field: _Field, choice: Choice) -> str:
    """Why the client does not want *candidate*; empty if it does."""
    channel, wishes = candidate.channel, wanted.wishes
    if wanted.channel and channel.name != wanted.channel:
        return f"the client asked for channel {wanted.channel!r}"
    return "" if wishes is NO_WISHES else wishes.refuse(channel, field.names) or choice.too_dear(candidate, wishes)


def _refuse(wanted: Wanted, left_out: list[LeftOut]) -> None:
    """Raises what an empty route is to the client; returns when it is but a matter of time."""
    if not left_out:
        raise NotFound(f"no channel serves the model {wanted.model!r}", code="model_not_found", param="model")
    why = {item.reason for item in left_out}
    if not why.isdisjoint(_FOR_NOW):
        return
    if _KEYS_TAGS in why:
        raise Forbidden(_nobody_serves(wanted, left_out), param="model", code="model_not_allowed")
    raise BadRequest(_nobody_serves(wanted, left_out), code="unsupported_operation")


def _nobody_serves(wanted: Wanted, left_out: list[LeftOut]) -> str:
    reasons = "; ".join(f"{item.channel.name}: {item.reason}" for item in left_out[:5])
    what = f"model {wanted.model!r}" if wanted.model else f"operation {wanted.operation!r}"
    return f"no channel can serve {what} this way ({reasons})"


def _listed(candidates: Iterable[Candidate], wishes: Wishes, ours: frozenset[str]) -> int:
    """How many of them the client's order names: the first ones."""
    return sum(wishes.place(item.channel, ours) < len(wishes.order) for item in candidates)


def _as_wished(candidates: list[Candidate], wishes: Wishes, ours: frozenset[str]) -> list[Candidate]:
    """Those that the client's order names first, in that order."""
    placed = sorted(((wishes.place(item.channel, ours), item) for item in candidates), key=lambda pair: pair[0])
    return [
        replace(item, reason=f"{item.reason}; number {place + 1} in the client's order")
        if place < len(wishes.order)
        else item
        for place, item in placed
    ]
