"""Whether calls can be served: what a load balancer asks before it sends any."""

import time
from collections.abc import Callable

from gateway.domain import Channel
from gateway.errors import GatewayError
from gateway.health import resting_name
from gateway.loading import Gateway

_KEPT = 1.0  # seconds for which an answer holds: whoever asks often costs nothing
_MOST_NAMED = 5

_kept: dict[int, tuple[float, list[str]]] = {}  # by the configuration asked about


def failing(gateway: Gateway) -> list[str]:
    """What is not well, in few words; empty when all is. It names no secret and no address."""
    now = time.monotonic()
    at, found = _kept.get(id(gateway), (0.0, []))
    if not at or now - at > _KEPT:
        found = [*_keepers(gateway), *_channels(gateway)]
        _kept.clear()
        _kept[id(gateway)] = now, found
    return found


def _keepers(gateway: Gateway) -> list[str]:
    services = gateway.services
    asked: dict[str, Callable[[], object]] = {"state": lambda: services.state.posted(-1)}
    if gateway.settings.store:
        asked["store"] = lambda: services.store.version()
    return [name for name, ask in asked.items() if _fails(ask)]


def _fails(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except GatewayError:
        return True
    return False


def _channels(gateway: Gateway) -> list[str]:
    """Routes of which no channel is awake; without any routes, whether one is awake at all."""
    awake = {channel.name for channel in gateway.channels if channel.settings.enabled and _awake(gateway, channel)}
    if not awake:
        return ["channels: none is awake"]
    asleep = [
        public
        for public, entries in gateway.settings.routes.items()
        if not any(entry.partition("/")[0] in awake for entry in entries)
    ]
    return [f"route {public}: no channel of it is awake" for public in asleep[:_MOST_NAMED]]


def _awake(gateway: Gateway, channel: Channel) -> bool:
    health = gateway.services.health
    if health.left(channel.name):
        return False
    return not channel.keys or any(not health.left(resting_name(channel.name, key)) for key in channel.keys)
