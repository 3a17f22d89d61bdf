"""Price files as frozen values: what stands in them, and everything that may be wrong with it."""

import functools
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from gateway.config.checker import Checker, Reader, option
from gateway.config.document import Complaints, Node, Where, read_document, read_text
from gateway.config.kinds import Moment, scalar_text


class Money(int):
    """US dollars with at most six decimals, kept as micro-dollars."""

    @classmethod
    def read(cls, node: Node) -> "Money":
        expected = "US dollars, 0 or more, with at most 6 decimals"
        try:
            dollars = Decimal(scalar_text(node, expected))  # the text: a float would be near it only
        except InvalidOperation:
            raise ValueError(expected) from None
        if not dollars.is_finite() or not 0 <= dollars < 10**9 or dollars.as_tuple().exponent < -6:
            raise ValueError(expected)
        return cls(dollars.scaleb(6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per million tokens of each kind."""

    input: Money | None = option("what is read, as far as it is no other kind", None)
    cached: Money | None = option("read from a cache; else as input", None)
    cache_write: Money | None = option("written to a cache; else as input", None)
    cache_write_1h: Money | None = option("written to one that lasts an hour; else as cache_write", None)
    input_audio: Money | None = option("audio read; else as input", None)
    output: Money | None = option("what is written, as far as it is no other kind", None)
    reasoning: Money | None = option("thinking; else as output", None)
    output_audio: Money | None = option("audio written; else as output", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier(Rates):
    """Rates of the calls that read more than so many tokens; what it does not name stays."""

    above: int = option("input tokens, cached ones included", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Rates):
    """What a model costs from a moment on (``from`` in the file)."""

    request: Money | None = option("US dollars per call", None)
    image: Money | None = option("US dollars per image made", None)
    minute: Money | None = option("US dollars per minute of audio heard", None)
    tiers: list[Tier] = option("rates of long calls", [])
    since: Moment | None = option("when it begins; none given: always", None)
    line: int = 0

    def starts(self, at: datetime) -> bool:
        return self.since is None or self.since <= at


Models = dict[str, list[Price]]  # by name or glob; the latest beginning first


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFile:
    """One whole file."""

    providers: dict[str, Models] = option("provider -> model -> price", {})
    channels: dict[str, Models] = option("channel -> model -> price, for accounts with prices of their own", {})


class _PriceChecker(Checker):
    """Takes a single price for a list of one, and reads ``from``, which is no name in Python."""

    def new_reader(self, kind: Any) -> Reader:
        usual = super().new_reader(kind)
        if kind == list[Price]:
            return functools.partial(self._one_or_more, usual)
        return functools.partial(self._price, usual) if kind is Price else usual

    def _one_or_more(self, usual: Reader, node: Node, where: Where) -> list:
        return [self.read(Price, node, where)] if isinstance(node.value, dict) else usual(node, where)

    def _price(self, usual: Reader, node: Node, where: Where) -> Price | None:
        if not isinstance(node.value, dict):
            return usual(node, where)
        members, wrong = dict(node.value), len(self.complaints.lines)
        began = members.pop("from", None)
        if "since" in members:
            self._unknown(members.pop("since"), where, "since", {field.name: field for field in fields(Price)})
        price = usual(Node(node.line, members), where)
        if began is not None:
            price = replace(price, since=self.read(Moment, began, (where, "from")))
        return price if len(self.complaints.lines) == wrong else None  # enough was said of it

    def _unknown(self, child: Node, where: Where, name: str, members: dict) -> None:
        shown = {"from" if known == "since" else known: member for known, member in members.items() if known != "line"}
        super()._unknown(child, where, name, shown)


def read_price_file(path: Path) -> PriceFile:
    """What the file says. Raises ConfigError with all complaints."""
    complaints = Complaints(str(path))
    root = read_document(read_text(path), {}, complaints)
    file = _PriceChecker(complaints).read(PriceFile, root)
    if file is not None:
        for section in ("providers", "channels"):
            for owner, models in getattr(file, section).items():
                for model, prices in models.items():
                    _check(prices, f"{section}.{owner}.{model}", complaints)
    complaints.raise_any()
    for models in [*file.providers.values(), *file.channels.values()]:
        for prices in models.values():
            prices.sort(key=lambda price: (price.since is not None, price.since), reverse=True)
    return file


def _check(prices: list[Price | None], path: str, complaints: Complaints) -> None:
    beginnings: set[datetime | None] = set()
    for price in filter(None, prices):
        named = [field.name for field in fields(Rates) if getattr(price, field.name) is not None]
        if not named and price.request is None and price.image is None and price.minute is None:
            complaints.add(price.line, path, "no price is named here, such as 'input' and 'output'")
        elif (named or price.tiers) and price.input is None:
            complaints.add(price.line, path, "key 'input' is missing (what is read, per million tokens)")
        if price.since in beginnings:
            complaints.add(price.line, path, "two prices begin at the same time")
        beginnings.add(price.since)
        borders = [tier.above for tier in price.tiers if tier]
        if borders != sorted(set(borders)):
            complaints.add(price.line, f"{path}.tiers", "expected rising 'above'")
