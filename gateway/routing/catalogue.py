"""Which channels have a model, and what it is called there: by its name, by a pattern, by a vendor's
prefix, or as an entry of a route. Looked up, not searched: there may be ten thousand of them."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping

from gateway.domain import Channel

Listed = list[tuple[Channel, str, str]]  # each channel once, with the model there, and why

_WILD = re.compile(r"[*?]")


class Catalogue:
    """What is configured, indexed by the models that calls may name."""

    def __init__(self, channels: Iterable[Channel], routes: Mapping[str, Iterable[str]] | None = None):
        self._channels = list(channels)
        self._by_name = {channel.name: channel for channel in self._channels}
        self.routes = {public: tuple(entries) for public, entries in (routes or {}).items()}
        self._exact: dict[str, list[tuple[Channel, str]]] = {}
        # What stands before the first wildcard -> pattern -> (it compiled, places of the channels that have it)
        self._globs: dict[str, dict[str, tuple[re.Pattern, list[int]]]] = {}
        for place, channel in enumerate(self._channels):
            for public, upstream in channel.models:
                wild = _WILD.search(public)
                if wild is None:
                    self._exact.setdefault(public, []).append((channel, upstream or public))
                    continue
                same_start = self._globs.setdefault(public[: wild.start()].partition("[")[0], {})
                if public not in same_start:
                    same_start[public] = re.compile(fnmatch.translate(public)), []
                same_start[public][1].append(place)
        self._longest_start = max(map(len, self._globs), default=0)

    def listed(self, model: str) -> Listed:
        """The channels that have *model*; all of them for an operation without one."""
        if not model:
            return [(channel, "", "the operation names no model") for channel in self._channels]
        if model in self.routes:
            return self._of_route(model)
        vendor, slash, rest = model.partition("/")
        if not slash:
            return _once(self._plain(model))
        # A vendor prefix selects the vendor; aggregators list the prefixed name itself.
        of_vendor = [
            (channel, upstream, f"is {vendor}'s and has the model")
            for channel, upstream, _ in self._plain(rest)
            if channel.provider.name == vendor
        ]
        return _once(self._named(model) + of_vendor) or _once(self._plain(model))

    def names(self, model: str) -> bool:
        """Whether *model* stands here as it is, not by a pattern."""
        return model in self.routes or model in self._exact or model.partition("/")[2] in self._exact

    def exact_names(self) -> Iterable[tuple[str, list[Channel]]]:
        """Every name that is no pattern, with the channels that have it."""
        return ((name, [channel for channel, _ in pairs]) for name, pairs in self._exact.items())

    def having(self, model: str) -> Iterator[Channel]:
        """The channels that have *model*, in no order, some perhaps twice: looked up as far as they are asked for."""
        if model in self.routes:
            yield from (channel for channel, _, _ in self._of_route(model))
            return
        yield from self._having_plainly(model)
        vendor, slash, rest = model.partition("/")
        if slash:
            yield from (channel for channel in self._having_plainly(rest) if channel.provider.name == vendor)

    def _having_plainly(self, model: str) -> Iterator[Channel]:
        yield from (channel for channel, _ in self._exact.get(model, ()))
        yield from (self._channels[at] for places in self._patterns(model) for at in places)

    def _plain(self, model: str) -> Listed:
        found = set().union(*self._patterns(model))
        return self._named(model) + [(self._channels[at], model, "has a matching pattern") for at in sorted(found)]

    def _patterns(self, model: str) -> Iterator[list[int]]:
        """The places of the channels with each pattern that *model* fits."""
        for end in range(min(len(model), self._longest_start) + 1):
            for pattern, places in self._globs.get(model[:end], {}).values():
                if pattern.match(model):
                    yield places

    def _named(self, model: str) -> Listed:
        return [(channel, upstream, "lists the model") for channel, upstream in self._exact.get(model, ())]

    def _of_route(self, public: str) -> Listed:
        entries = [entry.partition("/") for entry in self.routes[public]]
        return [(self._by_name[name], model, f"entry of route {public!r}") for name, _, model in entries]


def _once(found: Listed) -> Listed:
    return list({item[0].name: item for item in reversed(found)}.values())[::-1]
