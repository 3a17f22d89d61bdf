"""Who goes first among equals: weighted draws without replacement. Chance is the seed's alone, so that
a draw can be made again, in every worker."""

import bisect
import functools
import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain import Candidate, Channel

FEW = 16  # of so many each draws its lot; of more only those are drawn that are asked for


@dataclass(frozen=True)
class Tier:
    """The candidates of one priority, as configured."""

    candidates: Sequence[Candidate]

    @functools.cached_property
    def _sums(self) -> list[float]:
        """What the weights come to, up to and including each."""
        return list(itertools.accumulate(item.channel.settings.weight for item in self.candidates))

    def drawn(self, seed: str) -> Iterator[Candidate]:
        """All of them in the order of a weighted draw; of many, it costs as much as is taken of it."""
        left = self.candidates
        if len(left) > FEW and self._sums[-1]:
            taken = set()
            chance = random.Random(seed)
            for _ in range(len(left) // 4):
                place = bisect.bisect(self._sums, chance.random() * self._sums[-1])
                if place not in taken:
                    taken.add(place)
                    yield self.candidates[place]
            left = [item for place, item in enumerate(left) if place not in taken]
        yield from by_lot(left, seed)


def by_lot(candidates: Sequence[Candidate], seed: str) -> Sequence[Candidate]:
    """The same in the order of a weighted draw."""
    if len(candidates) < 2:
        return candidates
    return sorted(candidates, key=lambda item: _lot(seed, item.channel.name, item.channel.settings.weight))


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
