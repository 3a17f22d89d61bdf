"""In which order channels of one priority are tried, beside by chance: the least busy, the fastest,
the cheapest first; and what keeps a conversation with one of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.domain import Call, Candidate, Channel
from gateway.routing.bearings import Bearings
from gateway.routing.drawing import BY_CHANCE, Order
from gateway.wishes import NO_WISHES, SPEED, Wishes

# Why a price keeps a channel from a call: another may be in force later.
TOO_DEAR = "dearer than the client's provider.max_price"
PRICE_UNKNOWN = "its price is not known, and the client set provider.max_price"
# Seconds for which very many channels stay in the same order by what was measured of them, and by price: with ten
# thousand it takes 5 to 20 ms to be made.
_FIGURES_HOLD, _PRICES_HOLD = 1, 60

# Where clients name their conversation, beside members of the body.
_SESSION_HEADERS = ("session_id", "session-id", "x-session-id", "conversation_id", "x-conversation-id")


def _anybody(_: Channel) -> bool:
    return True


@dataclass(slots=True)
class Choice:
    """What decides among channels beside the configuration of the channels: the usual *strategy*, what this worker
    sees of them, *prices* (may be None), and who is *awake*."""

    strategy: str = "weighted"
    bearings: Bearings = field(default_factory=Bearings)
    prices: Any = None
    awake: Callable[[Channel], bool] = _anybody

    def order(self, model: str, wishes: Wishes) -> Order:
        """How those that have *model* stand inside one priority."""
        if wishes is NO_WISHES and self.strategy == "weighted":
            return BY_CHANCE
        strategy = wishes.sorts.get(model) or wishes.sort or self.strategy
        return self._by(strategy, self._late(wishes))

    def _by(self, strategy: str, late: Callable[[Candidate], bool] | None) -> Order:
        bearings, now = self.bearings, time.time()
        if strategy == "least_busy":
            return Order(lambda item: _load(item, bearings), 0.0, late=late)
        if strategy == "fastest":
            lasting = strategy, now // _FIGURES_HOLD
            return Order(lambda item: bearings.first_event(item.channel.name), lasting=lasting, late=late)
        if strategy == SPEED:
            return Order(lambda item: _slowness(item, bearings), lasting=(strategy, now // _FIGURES_HOLD), late=late)
        if strategy == "cheapest" and self.prices is not None:
            prices, at = self.prices, datetime.now(UTC)
            lasting = strategy, (prices, now // _PRICES_HOLD)
            return Order(lambda item: _price(item, prices, at), lasting=lasting, late=late)
        return Order(late=late)

    def _late(self, wishes: Wishes) -> Callable[[Candidate], bool] | None:
        """Who is known to be slower than the client prefers."""
        longest, least, bearings = wishes.max_latency, wishes.min_speed, self.bearings
        if longest is None and least is None:
            return None

        def late(item: Candidate) -> bool:
            if longest is not None and bearings.first_event(item.channel.name) > longest:
                return True
            speed = bearings.speed(item.channel.name) if least is not None else None
            return speed is not None and speed < least

        return late

    def too_dear(self, candidate: Candidate, wishes: Wishes) -> str:
        """Why *candidate* is none for a client that would pay *wishes.max_price* at most; empty if it is."""
        if wishes.max_price is None or self.prices is None:
            return ""
        channel = candidate.channel
        found = self.prices.find(channel.name, channel.provider.name, candidate.model, datetime.now(UTC))
        if found is None:
            return PRICE_UNKNOWN
        asked = (found.price.input, found.price.output, found.price.request, found.price.image)
        dear = any(price is not None and price > most for price, most in zip(asked, wishes.max_price, strict=True))
        return TOO_DEAR if dear else ""


def _load(candidate: Candidate, bearings: Bearings) -> float:
    return bearings.open_calls(candidate.channel.name) / max(candidate.channel.settings.weight, 0.01)


def _slowness(candidate: Candidate, bearings: Bearings) -> float:
    speed = bearings.speed(candidate.channel.name)
    return float("-inf") if speed is None else -speed  # to be found out


def _price(candidate: Candidate, prices: Any, at: datetime) -> float:
    channel = candidate.channel
    found = prices.per_token(channel.name, channel.provider.name, candidate.model, at)
    return float("inf") if found is None else found[0] + found[1]


def conversation(call: Call) -> str:
    """What tells the conversation that *call* belongs to; empty when nothing does."""
    for name in _SESSION_HEADERS:
        if call.headers.get(name):
            return f"{call.principal.name} {call.headers[name]}"
    if not isinstance(call.body, JsonBody):
        return ""
    document = json_text.parse(call.body.data)
    metadata = document.get("metadata") if isinstance(document.get("metadata"), dict) else {}
    told = [document.get(name) for name in ("prompt_cache_key", "user", "safety_identifier")]
    told.append(metadata.get("user_id"))
    found = next((name for name in told if isinstance(name, str) and name), "")
    return f"{call.principal.name} {found}" if found else ""
