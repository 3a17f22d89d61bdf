"""What calls cost: prices from files, money in whole micro-dollars.

The shipped prices (conf/prices.yaml) lie below the operator's own. An unknown price, or an unknown
usage, costs ``None``, never 0.
"""

import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.price_file import Models, Price, PriceFile, Rates, read_price_file
from gateway.usage import Usage

_PACKAGE = Path(__file__).resolve().parent
# Inside the package when installed, beside it in a checkout.
SHIPPED = next(
    (path for folder in (_PACKAGE, _PACKAGE.parent) if (path := folder / "conf" / "prices.yaml").is_file()),
    _PACKAGE / "conf" / "prices.yaml",
)
_MOST_REMEMBERED = 4096  # names of models; clients may make up any for a channel that takes a glob

# What a kind of token costs that has no price of its own.
_ELSE = {
    "cached": "input", "cache_write": "input", "cache_write_1h": "cache_write", "input_audio": "input",
    "reasoning": "output", "output_audio": "output",
}  # fmt: skip
_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Listed:
    """One price, and where it stands: ``section`` (providers or channels), ``owner``, ``model``
    (a name or glob) and ``place`` (file:line)."""

    section: str
    owner: str
    model: str
    place: str
    price: Price


class Prices:
    """Looked up by channel, provider and the model's name there.

    *files* by path: the first that has a price in force wins; in it a channel's own prices come before its
    provider's, and a model's name before a glob, of globs the one with more letters.
    """

    def __init__(self, files: Mapping[Path, PriceFile]):
        self._files = files
        self.fitting = functools.lru_cache(_MOST_REMEMBERED)(self._fitting)
        self._with_own = {channel for file in files.values() for channel in file.channels}

    def find(self, channel: str, provider: str, model: str, at: datetime) -> Listed | None:
        """The price in force at the moment *at* (with its time zone)."""
        owner = channel if channel in self._with_own else ""  # of ten thousand without, one is remembered
        return next((listed for listed in self.fitting(owner, provider, model) if listed.price.starts(at)), None)

    def cost(self, channel: str, provider: str, model: str, usage: Usage, at: datetime) -> int | None:
        """Micro-dollars, rounded half up once; None when the price or the usage is not known."""
        listed = self.find(channel, provider, model, at)
        return charged(listed.price, usage) if listed is not None else None

    def per_token(self, channel: str, provider: str, model: str, at: datetime) -> tuple[int, int] | None:
        """(input, output) in micro-dollars per million tokens; None without such a price. What only
        reads (embeddings) has 0 as the second."""
        listed = self.find(channel, provider, model, at)
        if listed is None or listed.price.input is None:
            return None
        return int(listed.price.input), int(listed.price.output or 0)

    def owners(self, section: str) -> dict[str, Path]:
        """Every name in *section* of the operator's own files, with the file that has it."""
        own = [(path, file) for path, file in self._files.items() if path != SHIPPED]
        return {owner: path for path, file in own for owner in getattr(file, section)}

    def listed(self, model: str) -> Iterator[Listed]:
        """Every price that *model* may have anywhere, those of other times included."""
        for path, file in self._files.items():
            for section in ("channels", "providers"):
                for owner, models in getattr(file, section).items():
                    yield from _listed(path, section, owner, model, models)

    def _fitting(self, channel: str, provider: str, model: str) -> tuple[Listed, ...]:
        """Every price that may hold there, the first in force before the others."""
        return tuple(
            listed
            for path, file in self._files.items()
            for section, owner in (("channels", channel), ("providers", provider))
            for listed in _listed(path, section, owner, model, getattr(file, section).get(owner, {}))
        )


def _listed(path: Path, section: str, owner: str, model: str, models: Models) -> Iterator[Listed]:
    for pattern in _patterns(model, models):
        for price in models[pattern]:
            yield Listed(section, owner, pattern, f"{path}:{price.line}", price)


def _patterns(model: str, models: Models) -> Sequence[str]:
    """The names and globs in *models* that *model* fits, the best first."""
    globs = [glob for glob in models if glob != model and fnmatch.fnmatchcase(model, glob)]
    globs.sort(key=lambda glob: -len(re.sub(r"\*|\?|\[[^\]]*\]", "", glob)))
    return [model, *globs] if model in models else globs


def charged(price: Price, usage: Usage) -> int | None:
    """Micro-dollars for *usage*; None when nothing of it that has a price was said, or something
    was used that has none."""
    counted: list[tuple[int, int, int]] = []  # (how many, micro-dollars, for how many)
    if price.input is not None and usage.total is not None:
        tiers = [tier for tier in reversed(price.tiers) if (usage.input or 0) > tier.above]
        for kind, tokens in usage.apart().items():
            rate = _rate([*tiers, price], kind) if tokens else 0
            if rate is None:
                return None
            counted.append((tokens, rate, _MILLION))
    if price.image is not None and usage.images is not None:
        counted.append((usage.images, price.image, 1))
    if price.minute is not None and usage.seconds is not None:
        counted.append((usage.seconds, price.minute, 60))
    if price.request is not None:
        counted.append((1, price.request, 1))
    if not counted:
        return None
    whole = 60 * _MILLION  # all of it in one unit, so that only the sum is rounded
    total = sum(number * rate * (whole // unit) for number, rate, unit in counted)
    return (2 * total + whole) // (2 * whole)


def _rate(levels: Sequence[Rates], kind: str) -> int | None:
    """What a million tokens of *kind* cost by the first of *levels* that names it."""
    while kind:
        for level in levels:
            rate = getattr(level, kind)
            if rate is not None:
                return rate
        kind = _ELSE.get(kind, "")
    return None


def read_prices(path: Path | None = None) -> Prices:
    """The operator's file, if there is one, above the shipped one. Raises ConfigError."""
    own = {path: read_price_file(path)} if path is not None else {}
    return Prices({**own, SHIPPED: read_price_file(SHIPPED)})
