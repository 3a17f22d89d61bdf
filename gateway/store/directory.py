"""What a worker knows of the store's keys, so that a call asks the store nothing.

The worker follows the feed of changes (`look`, a small query twice a second) and forgets whatever was
changed. As long as it hears from the store, what it knows is true; once it has not for `grace`
seconds, nothing is known any more, and keys are refused until the store is back.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.settings import KeySettings, TeamSettings
from gateway.domain import Principal
from gateway.errors import ConfigError, Forbidden, Unauthorized
from gateway.rights import check_rights
from gateway.store import StoreAway, changes, clock
from gateway.store.documents import read_key, read_team
from gateway.store.keys import Found

log = logging.getLogger("gateway.store")

_LOOK = 0.4  # seconds between two looks at the changes: what was changed holds everywhere within a second
_UNKNOWN_FOR = 5.0  # seconds for which a digest that opens nothing is not asked for again


@dataclass(frozen=True, slots=True)
class Known:
    """A secret's key. ``until``: the secret was replaced, and ends then (microseconds)."""

    settings: KeySettings
    principal: Principal
    until: int | None
    revoked: bool
    teamless: bool = False  # its team is nowhere


class Directory:
    """The keys that a worker has met. *teams* are those of gateway.yaml, which come before the store's;
    *size* is how many secrets are remembered; *clock* is monotonic, in seconds."""

    def __init__(
        self, store: Any, teams: Mapping[str, TeamSettings], *, size: int = 10_000, grace: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self._store = store
        self._teams = teams
        self._size = size
        self._grace = grace
        self._clock = clock
        self._lock = threading.Lock()  # around the next four
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._position: changes.Position | None = None
        self._generation = 0
        self._heard = float("-inf")
        self._away = ""
        self._following: threading.Event | None = None

    def follow(self, services: Any, plugin: str) -> None:
        """Look at what was changed from now on, until ``leave``."""
        self._following = services.every(_LOOK, self.look, plugin)

    def leave(self) -> None:
        """No further looks."""
        if self._following is not None:
            self._following.set()

    def admit(self, digest: str, address: Any) -> Principal | None:
        """Who calls with the secret of this SHA-256; None when nobody knows it. Raises Unauthorized,
        Forbidden, and StoreAway when the store would have to be asked, and cannot be."""
        known = self._find(digest)
        if known is None:
            return None
        if known.revoked:
            raise Unauthorized("this API key was revoked", code="revoked_api_key")
        if known.until is not None and clock.now() >= known.until:
            raise Unauthorized("this API key was replaced by another one", code="expired_api_key")
        check_rights(known.settings, address)
        if known.teamless:  # its calls would have no limits
            raise Forbidden("the team of this API key is not known here", code="access_denied")
        return known.principal

    @property
    def edition(self) -> int:
        """Another number after each change that was heard of."""
        return self._generation

    def team(self, name: str) -> TeamSettings | None:
        """The settings of a team, wherever it is declared; to be asked again when ``edition`` is another."""
        if name in self._teams:
            return self._teams[name]
        stored = self._store.teams.get(name)
        return None if stored is None else read_team(name, stored.document)

    def look(self) -> None:
        """At what was changed. A store that is away is logged once."""
        try:
            self._hear()
        except StoreAway as error:
            if error.reason != self._away:
                log.error("%s; keys that are known are valid for %.0f seconds more", error.reason, self._left())
            self._away = error.reason
        else:
            if self._away:
                log.warning("the store can be asked again")
            self._away = ""

    def _left(self) -> float:
        return max(0.0, self._heard + self._grace - self._clock())

    def _hear(self) -> None:
        began = self._clock()
        with self._store.read() as connection:
            news = changes.since(connection, self._position)
        with self._lock:
            if news.any:
                self._forget(news)
            if self._position is None or news.everything or news.position > self._position:
                self._position = news.position
            self._heard = max(self._heard, began)

    def _forget(self, news: changes.News) -> None:
        self._generation += 1
        self._unknown.clear()
        if news.everything:
            self._known.clear()
            return
        gone = [
            digest for digest, known in self._known.items()
            if known.principal.name in news.keys or known.principal.team in news.teams
        ]  # fmt: skip
        for digest in gone:
            del self._known[digest]

    def _find(self, digest: str) -> Known | None:
        now = self._clock()
        if now - self._heard > self._grace:  # also before the first look
            self._hear()
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
                return known
            if self._unknown.get(digest, 0.0) > now:
                return None
        return self._ask(digest)

    def _ask(self, digest: str) -> Known | None:
        while True:
            generation = self._generation
            with self._store.read() as connection:
                found = self._store.keys.find(connection, digest)
                known = None if found is None else self._knowing(found)
            with self._lock:
                # An answer from before a change that was heard of meanwhile would stay for ever.
                if generation == self._generation:
                    self._remember(digest, known)
                    return known

    def _remember(self, digest: str, known: Known | None) -> None:
        if known is None:
            self._unknown[digest] = self._clock() + _UNKNOWN_FOR
        else:
            self._known[digest] = known
        for memory in (self._known, self._unknown):
            while len(memory) > self._size:
                memory.popitem(last=False)

    def _knowing(self, found: Found) -> Known:
        key = found.key
        try:
            settings = read_key(key.name, key.owner, key.team, key.expires, key.document)
            team = self._teams.get(key.team) or (found.team and read_team(key.team, found.team.document))
        except ConfigError as error:
            raise StoreAway(f"{error}; is this gateway older than the one that wrote it?") from None
        teamless = bool(key.team) and team is None
        return Known(settings, Principal.of(settings, team), found.until, key.revoked is not None, teamless)
