"""The shared state of several machines, in Redis.

Each worker has one connection. What several of its calls want while an answer is under way goes
together on the next journey (see turns), as one call of one script (see redis_script). The time is
Redis's, so that machines agree.

While Redis is away, one call every half second tries; the others are told so at once. What could
not be settled meanwhile is settled first when it is back, and a take whose answer was lost is undone.
"""

import contextlib
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from gateway import json_text
from gateway.errors import ConfigError
from gateway.state.claims import (
    ALIVE,
    MOST_SPENT,
    SECOND,
    Claim,
    Level,
    Purse,
    Refusal,
    Slots,
    StateAway,
    Taken,
    Window,
    bounded,
    plain,
    until,
    wanted,
)
from gateway.state.redis_script import SCRIPT
from gateway.state.turns import Job, Later, Turns

log = logging.getLogger("gateway.state")

_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
_TIMEOUT = 1.0  # seconds for a connection, and for an answer
_REST = 0.5  # seconds between two tries while it is away
_MOST_OWED = 200  # settled in one journey
_UNDONE = -1
_KINDS = {Window: "window", Slots: "slots", Purse: "purse"}


class RedisState:
    """See claims.State. *url* is ``redis://[user:password@]host:port/db`` (``rediss`` for TLS) with the
    client library's settings as its query, and ``prefix`` (``gw``), by which several gateways that
    must not share a state are kept apart. *clock* stands in for Redis's own; *alive* is claims.ALIVE.

    Raises ConfigError for a URL that cannot be read. Connects at the first use."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None, alive: float = ALIVE):
        self._settings, prefix = _read(url)
        self._maker = self._settings.pop("connection_class")
        self._place = f"{self._settings.get('host', 'localhost')}:{self._settings.get('port', 6379)}"
        self._workers = "{" + prefix + "}:workers"
        self._clock = clock
        self._alive = int(alive * SECOND)
        self._worker = uuid.uuid4().hex
        self._numbers = itertools.count(1)
        self._turns = Turns(self._carry_out, self._failed)
        self._later = Later(self._pay)
        self._connection: Any = None
        self._owed: list[list[Any]] = []
        self._away = ""  # why
        self._since = 0.0  # monotonic
        self._again = 0.0  # when to try again, monotonic
        self._trying = False
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisState({self._place})"

    # --- the interface -----------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim]) -> Taken:
        if not claims:
            return Taken([])
        wish = ["take", 0, [_told(claim) for claim in claims]]
        code, now, *found = self._ask(wish)
        if code == _UNDONE:
            raise StateAway("the shared state was away for a moment")
        if code:
            claim, (used, moment) = claims[code - 1], found
            retry_after = 1.0 if type(claim) is Slots else until(moment, now) if moment else None
            return Taken([], Refusal(claim, used, retry_after))
        levels, over = [], []
        for claim, used, frees, short in zip(claims, found[0::3], found[1::3], found[2::3], strict=True):
            levels.append(Level(claim, used, until(frees, now) if frees else 0.0))
            if short:
                over.append(claim)
        return Taken(levels, None, over, (wish[1],))

    def settle(self, taken: Taken, amounts: Mapping[str, int] | None = None, later: bool = False) -> None:
        if taken.settled or not taken.levels:
            return
        amounts = {plain(name): bounded(amount) for name, amount in (amounts or {}).items()}
        taken.settled = True
        wish = ["settle", taken.marks[0], amounts]
        if later and not self._closed:  # the next call's journey takes it along
            self._owed.append(wish)
            self._later.want()
            return
        if self._away and not self._due():
            self._owed.append(wish)
            return
        with contextlib.suppress(StateAway):
            self._ask(wish)

    def levels(self, claims: Sequence[Claim]) -> list[Level]:
        now, *found = self._ask(["levels", [_told(claim) for claim in claims]])
        rows = zip(claims, found[0::2], found[1::2], strict=True)
        return [Level(claim, used, until(frees, now) if frees else 0.0) for claim, used, frees in rows]

    def spend(self, name: str, amount: int, seconds: int = 80 * 86400) -> None:
        self._ask(["spend", plain(name), min(max(amount, 0), MOST_SPENT), seconds])

    def post(self, name: str, text: str, seconds: float) -> None:
        self._ask(["post", plain(name), plain(text), int(seconds * SECOND)])

    def posted(self, since: int) -> tuple[int, dict[str, str]] | None:
        found = self._ask(["posted", since])
        if not found:
            return None
        return found[0], {name.decode(): text.decode() for name, text in zip(found[1::2], found[2::2], strict=True)}

    def claim(self, name: str, seconds: float) -> bool:
        return bool(self._ask(["claim", 0, plain(name), int(seconds * SECOND)]))

    def beat(self) -> None:
        self._ask(["live", 0])

    def close(self) -> None:
        if self._closed:
            return
        with contextlib.suppress(StateAway):  # else the others find out by themselves
            self._ask(["leave"])
        self._closed = True
        self._later.close()
        self._disconnect()

    def _pay(self) -> None:
        if self._owed:  # nobody's journey has taken it along
            self._ask(["levels", []])

    # --- journeys ----------------------------------------------------------------------------------

    def _due(self) -> bool:
        return not self._trying and time.monotonic() >= self._again

    def _ask(self, wish: list[Any]) -> Any:
        if self._closed:
            raise StateAway("the shared state was closed")
        if not self._away:
            return self._turns.ask(wish)
        if not self._due():
            raise StateAway(self._away)
        self._trying = True
        try:
            return self._turns.ask(wish)
        finally:
            self._trying = False

    def _carry_out(self, gather: Callable[[], list[Job]]) -> None:
        if self._away and time.monotonic() < self._again:
            raise StateAway(self._away)
        jobs = gather()
        try:
            stale = self._connection is not None
            try:
                replies = self._travel(jobs)
            except redis.ConnectionError:
                if not stale:
                    raise
                # Redis was started anew, or had closed an idle connection: not away yet.
                self._disconnect()
                self._undo(jobs)
                replies = self._travel(jobs)
        except RedisError as error:
            # What the library says names the place, never the password.
            self._since = self._since if self._away else time.monotonic()
            self._away = f"the shared state at {self._place} cannot be asked: {error}"
            self._again = time.monotonic() + _REST
            raise StateAway(self._away) from None
        if self._away:
            log.warning("the shared state at %s is back", self._place)
        self._away = ""
        for job, reply in zip(jobs, replies, strict=True):
            job.result = reply

    def _travel(self, jobs: list[Job]) -> list[Any]:
        """There and back again, with what is owed; the replies to *jobs*."""
        owed = self._owed[:_MOST_OWED]
        first = [["live", int((time.monotonic() - self._since) * SECOND)]] if self._away else []
        for job in jobs:
            if job.work[0] in ("take", "claim") and not job.work[1]:
                job.work[1] = next(self._numbers)
        wishes = json_text.write([*first, *owed, *(job.work for job in jobs)])
        now = "" if self._clock is None else int(self._clock() * SECOND)
        arguments = (1, self._workers, self._worker, self._alive, now, wishes)
        try:
            if self._connection is None:
                self._connection = self._connect()
            try:
                replies = self._call("EVALSHA", _SHA, *arguments)
            except NoScriptError:
                replies = self._call("EVAL", SCRIPT, *arguments)
        except BaseException:  # a killed greenlet's, too: half a reply would be the next one's
            self._disconnect()
            raise
        del self._owed[: len(owed)]
        return replies[len(first) + len(owed) :]

    def _call(self, *words: Any) -> Any:
        self._connection.send_packed_command(self._connection.pack_command(*words), check_health=False)
        return self._connection.read_response()

    def _connect(self) -> Any:
        connection = self._maker(**self._settings)
        connection.connect()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    # --- failures ----------------------------------------------------------------------------------

    def _failed(self, jobs: list[Job]) -> None:
        """Nobody knows whether *jobs* were done."""
        self._undo(jobs)
        self._owed += [job.work for job in jobs if job.work[0] == "settle"]

    def _undo(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.work[0] == "take" and job.work[1]:
                self._owed.append(["undo", job.work[1], {claim[1]: 0 for claim in job.work[2]}])
                job.work[1] = 0


def _told(claim: Claim) -> tuple:
    """A claim as the script knows it."""
    seconds = 0 if type(claim) is Slots else claim.seconds
    most = False if claim.most is None else claim.most
    return _KINDS[type(claim)], plain(claim.name), most, wanted(claim), claim.observe, seconds


def _read(url: str) -> tuple[dict[str, Any], str]:
    """(the settings of a connection, the prefix of all keys). No message repeats the URL: it may hold a password."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = query.pop("prefix", "gw")
    if not prefix or set(prefix) & set("{}"):
        raise ConfigError(["state: the prefix must be a name without braces"])
    settings: dict[str, Any] = {
        "socket_connect_timeout": _TIMEOUT, "socket_timeout": _TIMEOUT, "protocol": 2, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip
    try:
        settings |= parse_url(urlunsplit(parts._replace(query=urlencode(query))))
        maker = settings.pop("connection_class", redis.Connection)
        maker(**settings)
    except (TypeError, ValueError, RedisError):
        raise ConfigError(["state: expected redis://[user:password@]host:port/db?setting=value"]) from None
    return settings | {"connection_class": maker}, prefix
