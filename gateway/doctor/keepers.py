"""The servers that machines share: whether they answer, and whether their clocks agree with this one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gateway.doctor.findings import Finding, failed, ok, warning
from gateway.errors import ConfigError
from gateway.loading import Gateway
from gateway.store import StoreAway, open_store

try:
    import redis
except ImportError:  # its extra is not installed; `state: redis://` says so
    redis = None  # type: ignore[assignment]

_MOST_APART = 1.0  # seconds
_PATIENCE = 3.0


def check_keepers(gateway: Gateway) -> list[Finding]:
    """Of ``state:`` and ``store:``, as far as they are servers."""
    settings, found = gateway.settings, []
    state = settings.state.reveal() if settings.state else ""
    store = settings.store.reveal() if settings.store else ""
    if state.startswith(("redis://", "rediss://")):
        found.append(_redis(state))
    if store.startswith("postgres"):
        found.append(_postgres(store, gateway.path.resolve().parent))
    return found


def _redis(url: str) -> Finding:
    parts = urlsplit(url)
    place = f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    if redis is None:
        return failed("state", "the library for Redis is not installed", "pip install 'llm-gateway[redis]'")
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != "prefix"])
    options = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
    try:
        client = redis.Redis.from_url(urlunsplit(parts._replace(query=query)), **options)
        client.ping()  # the connection is made now, and not on the clock
        return _compared("state", f"Redis at {place}", lambda: _seconds(client.time()))
    except (redis.RedisError, OSError, ValueError, TypeError) as error:
        # What the library says names the place at most; a URL that it cannot read it might quote.
        said = type(error).__name__ if isinstance(error, ValueError | TypeError) else str(error)
        return failed("state", f"Redis at {place} cannot be asked: {said}", "look whether it runs, and at `state:`")


def _seconds(said: Any) -> float:
    return said[0] + said[1] / 1e6


def _postgres(url: str, folder: Path) -> Finding:
    remedy = "look whether it runs, and at `store:`; `gateway db check` tells more"
    try:
        store = open_store(url, folder)
        try:
            with store.bare() as connection:
                statement = "SELECT extract(epoch FROM clock_timestamp())"
                return _compared("store", store.place, lambda: float(connection.exec_driver_sql(statement).scalar()))
        finally:
            store.close()
    except StoreAway as error:
        return failed("store", error.reason, remedy)
    except ConfigError as error:
        return failed("store", "; ".join(error.complaints), remedy)


def _compared(check: str, place: str, ask: Callable[[], float]) -> Finding:
    before = time.time()
    theirs = ask()
    after = time.time()
    apart = theirs - (before + after) / 2
    facts = {"seconds_apart": round(apart, 3), "round_trip": round(after - before, 4)}
    if abs(apart) - (after - before) / 2 > _MOST_APART:
        direction = "before" if apart > 0 else "behind"
        remedy = "let one time service (chrony, systemd-timesyncd) keep both clocks"
        return warning(check, f"{place} answers; its clock is {abs(apart):.1f} s {direction} this one", remedy, **facts)
    return ok(check, f"{place} answers; its clock agrees (within {abs(apart):.3f} s)", **facts)
