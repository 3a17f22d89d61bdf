"""Who goes first: by a rank, and among equals by weighted draws without replacement. Chance is the seed's alone, so
that a draw can be made again, in every worker."""

import bisect
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain import Candidate, Channel

FEW = 16  # of so many each draws its lot; of more only those are drawn that are asked for

Rank = Callable[[Candidate], Any]  # anything that can be compared; the smaller, the earlier


class Tier:
    """The candidates of one priority, as configured."""

    __slots__ = ("candidates", "_sums", "_ranked")  # there may be ten thousand of one

    def __init__(self, candidates: Sequence[Candidate]):
        self.candidates = candidates
        self._sums: list[float] | None = None
        self._ranked: dict[str, tuple[Hashable, list[Tier | list[Candidate]]]] | None = None

    def _sums_of_weights(self) -> list[float]:
        """What the weights come to, up to and including each."""
        if self._sums is None:
            self._sums = list(itertools.accumulate(item.channel.settings.weight for item in self.candidates))
        return self._sums

    def drawn(self, seed: str) -> Iterator[Candidate]:
        """All of them in the order of a weighted draw; of many, it costs as much as is taken of it."""
        if len(self.candidates) <= FEW:
            yield from by_lot(self.candidates, seed)
            return
        taken, chance, sums = set(), random.Random(seed), self._sums_of_weights()
        for _ in range(len(self.candidates) // 4 if sums[-1] else 0):
            place = bisect.bisect(sums, chance.random() * sums[-1])
            if place not in taken:
                taken.add(place)
                yield self.candidates[place]
        left = [item for place, item in enumerate(self.candidates) if place not in taken]
        yield from sorted(left, key=lambda item: _lot(1 - chance.random(), item.channel.settings.weight))

    def ranked(self, rank: Rank, name: str, moment: Hashable) -> "list[Tier | list[Candidate]]":
        """The smaller *rank* first: those of equal rank are a tier, those between in order. What is found for *name*
        is kept for this *moment*."""
        if self._ranked is None:
            self._ranked = {}
        kept = self._ranked.get(name)
        if kept is None or kept[0] != moment:
            kept = self._ranked[name] = moment, _by_rank(self.candidates, [rank(item) for item in self.candidates])
        return kept[1]


def _by_rank(candidates: Sequence[Candidate], ranks: list[Any]) -> "list[Tier | list[Candidate]]":
    found: list[Tier | list[Candidate]] = []
    for _, places in itertools.groupby(sorted(range(len(ranks)), key=ranks.__getitem__), ranks.__getitem__):
        same = [candidates[place] for place in places]
        if len(same) > 1:
            found.append(Tier(same))
        elif found and isinstance(found[-1], list):
            found[-1] += same
        else:
            found.append(same)
    return found


@dataclass(frozen=True, slots=True)
class Order:
    """How candidates of one priority stand: the smaller *rank* first, those that are *late* behind all others,
    and what both leave equal by chance.

    So that of very many not all have to be looked at by each call: no rank is smaller than *least*, which most of
    them have; or all calls of one moment see the same ranks (*lasting*: their name, and the moment)."""

    rank: Rank | None = None
    least: Any = None
    lasting: tuple[str, Hashable] | None = None
    late: Callable[[Candidate], bool] | None = None

    def of_few(self, candidates: Sequence[Candidate], seed: str) -> Sequence[Candidate]:
        found = by_lot(candidates, seed)
        if self.rank is not None:
            found = sorted(found, key=self.rank)
        return found if self.late is None else sorted(found, key=self.late)

    def of_many(self, tier: Tier, seed: str) -> Iterator[Candidate]:
        """The same, at the cost of what is taken as long as few stand behind the others."""
        if self.rank is None:
            found = tier.drawn(seed)
        elif self.lasting is not None:
            blocks = tier.ranked(self.rank, *self.lasting)
            found = itertools.chain.from_iterable(b.drawn(seed) if isinstance(b, Tier) else b for b in blocks)
        else:
            found = self._least_first(tier, seed, self.rank)
        if self.late is None:
            return found
        return _late_last(found, self.late)

    def _least_first(self, tier: Tier, seed: str, rank: Rank) -> Iterator[Candidate]:
        others = []
        for item in tier.drawn(seed):
            found = rank(item)
            if found == self.least:
                yield item
            else:
                others.append((found, item))
        yield from (item for _, item in sorted(others, key=lambda pair: pair[0]))


BY_CHANCE = Order()


def _late_last(found: Iterator[Candidate], late: Callable[[Candidate], bool]) -> Iterator[Candidate]:
    held = []
    for item in found:
        if late(item):
            held.append(item)
        else:
            yield item
    yield from held


def by_lot(candidates: Sequence[Candidate], seed: str) -> Sequence[Candidate]:
    """The same in the order of a weighted draw. As a lot hangs on seed and name alone, the same seed prefers the
    same channel whoever else takes part, in every worker: rendezvous hashing, which keeps a conversation where
    it was."""
    if len(candidates) < 2:
        return candidates
    return sorted(candidates, key=lambda item: _own_lot(seed, item.channel.name, item.channel.settings.weight))


def _own_lot(seed: str, name: str, weight: float) -> float:
    """What *name* draws."""
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    return _lot((int.from_bytes(digest) + 1) / 2**64, weight)


def _lot(chance: float, weight: float) -> float:
    """Sorting by -log(u)/w is a weighted draw without replacement (Efraimidis and Spirakis 2006). *chance* is
    more than 0, and at most 1."""
    return -math.log(chance) / weight if weight else math.inf


def drawn_keys(channel: Channel, seed: str) -> list[int]:
    """The positions of the channel's keys in the order of trying: a weighted draw, so that all of an
    account's keys share the work. ``[0]`` for a channel without any."""
    if len(channel.keys) < 2:
        return [0]
    weights = [getattr(key, "weight", 1) for key in channel.keys]
    return sorted(range(len(weights)), key=lambda i: _own_lot(seed, f"{channel.name}#{i}", weights[i]))
