"""In which order channels of one priority are tried, beside by chance: the least busy, the fastest,
the cheapest first; and what keeps a conversation with one of them."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.domain import Call, Candidate

_SHARE = 0.3  # of a new time in the running mean of times to the first event
_STALE = 60.0  # seconds after which a channel that was not asked is worth asking again
# Where clients name their conversation, beside members of the body.
_SESSION_HEADERS = ("session_id", "session-id", "x-session-id", "conversation_id", "x-conversation-id")

Rank = Callable[[Candidate], Any]  # anything that can be compared


class Bearings:
    """What one worker sees of its channels: open calls and the time to the first event. Each worker
    balances its own calls, which balances them all; these are preferences, not limits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._counting = threading.Lock()  # calls may run in threads
        self._open: dict[str, int] = {}
        self._times: dict[str, tuple[float, float]] = {}  # seconds (mean), when

    def began(self, channel: str) -> None:
        with self._counting:
            self._open[channel] = self._open.get(channel, 0) + 1

    def ended(self, channel: str) -> None:
        with self._counting:
            self._open[channel] = max(self._open.get(channel, 0) - 1, 0)

    def answered(self, channel: str, seconds: float) -> None:
        """The first event (or the whole reply) came after *seconds*."""
        now = self._clock()
        mean, at = self._times.get(channel, (seconds, now))
        if now - at > _STALE:
            mean = seconds
        self._times[channel] = mean + _SHARE * (seconds - mean), now

    def open_calls(self, channel: str) -> int:
        return self._open.get(channel, 0)

    def first_event(self, channel: str) -> float:
        """The mean time in seconds; 0 when nothing recent is known, so that it is found out."""
        mean, at = self._times.get(channel, (0.0, 0.0))
        return mean if self._clock() - at <= _STALE else 0.0


def rank_by(strategy: str, bearings: Bearings, prices: Any, longest: float | None = None) -> Rank | None:
    """The smaller, the earlier; None for chance alone. *prices* may be None. Whose first event takes more
    than *longest* seconds comes behind all others."""
    rank = _rank_by(strategy, bearings, prices)
    if longest is None:
        return rank
    return lambda candidate: (bearings.first_event(candidate.channel.name) > longest, rank(candidate) if rank else 0)


def _rank_by(strategy: str, bearings: Bearings, prices: Any) -> Rank | None:
    if strategy == "least_busy":
        return lambda candidate: _load(candidate, bearings)
    if strategy == "fastest":
        return lambda candidate: bearings.first_event(candidate.channel.name)
    if strategy == "cheapest" and prices is not None:
        return lambda candidate: _price(candidate, prices)
    return None


def _load(candidate: Candidate, bearings: Bearings) -> float:
    return bearings.open_calls(candidate.channel.name) / max(candidate.channel.settings.weight, 0.01)


def _price(candidate: Candidate, prices: Any) -> float:
    channel = candidate.channel
    found = prices.per_token(channel.name, channel.provider.name, candidate.model, datetime.now(UTC))
    return float("inf") if found is None else found[0] + found[1]


def too_dear(candidate: Candidate, prices: Any, most: tuple[float, float, float, float]) -> str:
    """Why *candidate* is not what a client wishes that would pay *most* (Wishes.max_price); empty if it is."""
    channel = candidate.channel
    found = prices.find(channel.name, channel.provider.name, candidate.model, datetime.now(UTC))
    if found is None:
        return "its price is not known, and the client set provider.max_price"
    asked = (found.price.input, found.price.output, found.price.request, found.price.image)
    if any(price is not None and price > wished for price, wished in zip(asked, most, strict=True)):
        return "dearer than the client's provider.max_price"
    return ""


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
