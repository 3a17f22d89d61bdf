"""Where replies are kept: in this worker, in a file of this machine, in Redis.

A cache is never in the way: one that cannot be asked knows nothing, and says so in the log now
and then.
"""

import contextlib
import importlib
import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gateway.errors import ConfigError
from gateway.policies.kept_reply import KeeperAway, KeptReply, unpacked

log = logging.getLogger("gateway.cache")

_QUIET = 10.0  # seconds between two complaints
_REST = 1.0  # seconds to leave a keeper alone that failed


class Keeper(Protocol):
    """Raises KeeperAway when it cannot be asked: the cache knows nothing then."""

    def get(self, digest: str, now: float) -> bytes | None: ...

    def put(self, digest: str, data: bytes, now: float, seconds: float) -> None: ...

    def close(self) -> None: ...


class ReplyCache:
    """``get`` and ``put`` replies for *seconds* each; neither raises. *clock*: seconds since 1970."""

    def __init__(self, keeper: Keeper, seconds: float, clock: Callable[[], float] = time.time):
        self._keeper = keeper
        self._seconds = seconds
        self._clock = clock
        self._rests_until = 0.0  # monotonic
        self._complained = -_QUIET

    def get(self, digest: str) -> tuple[KeptReply, float] | None:
        """(the reply, its age in seconds)."""
        if time.monotonic() < self._rests_until:
            return None
        now = self._clock()
        try:
            data = self._keeper.get(digest, now)
            kept = unpacked(data) if data is not None else None
        except (KeeperAway, ValueError) as error:  # or it keeps something else
            self._failed(error)
            return None
        if kept is None or now - kept.at >= self._seconds:
            return None
        return kept, max(now - kept.at, 0.0)

    def put(self, digest: str, content_type: str, streamed: bool, pieces: tuple[bytes, ...]) -> None:
        if time.monotonic() < self._rests_until:
            return
        now = self._clock()
        try:
            self._keeper.put(digest, KeptReply(now, content_type, streamed, pieces).packed(), now, self._seconds)
        except KeeperAway as error:
            self._failed(error)

    def close(self) -> None:
        self._keeper.close()

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        self._rests_until = now + _REST
        if now - self._complained >= _QUIET:
            self._complained = now
            log.error("the cache cannot be used now: %s", error)


class InMemory:
    """The replies that were used last, up to *most* bytes, of this worker alone."""

    def __init__(self, most: int):
        self._most = most
        self._size = 0
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._one = threading.Lock()

    def get(self, digest, now):
        with self._one:
            data, until = self._kept.get(digest, (None, 0.0))
            if data is not None and until <= now:
                self._drop(digest)
                return None
            if data is not None:
                self._kept.move_to_end(digest)
            return data

    def put(self, digest, data, now, seconds):
        with self._one:
            self._drop(digest)
            self._kept[digest] = data, now + seconds
            self._size += len(data)
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def close(self):
        with self._one:
            self._kept.clear()
            self._size = 0

    def _drop(self, digest):
        data, _ = self._kept.pop(digest, (b"", 0.0))
        self._size -= len(data)


class InFile:
    """A SQLite file for all workers of a machine. Nothing waits for another's turn: a reply that cannot be
    written now is not kept. *most* bytes of replies, the oldest go first."""

    _LOOK = 50  # replies written between two looks at the size of all

    def __init__(self, path: Path, most: int):
        self._path = path
        self._most = most
        self._written = 0
        self._one = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def get(self, digest, now):
        sql = "SELECT data FROM replies WHERE digest = ? AND until > ?"
        with self._asked() as database:
            row = database.execute(sql, (digest, now)).fetchone()
        return row[0] if row else None

    def put(self, digest, data, now, seconds):
        row = digest, now, now + seconds, len(data), data
        with self._asked() as database:
            try:
                database.execute("REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", row)
                self._written += 1
                if self._written % self._LOOK == 1:
                    self._tidy_up(database, now)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise

    def close(self):
        with self._one:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextlib.contextmanager
    def _asked(self):
        """The database, for one at a time."""
        try:
            with self._one:
                yield self._open()
        except (sqlite3.Error, OSError) as error:
            raise KeeperAway(error) from None

    def _open(self):
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(0o600)
            database = sqlite3.connect(self._path, isolation_level=None, timeout=0.02, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = OFF")  # what a power cut takes is asked for again
                database.execute(
                    "CREATE TABLE IF NOT EXISTS replies"
                    " (digest TEXT PRIMARY KEY, at REAL, until REAL, size INTEGER, data BLOB) WITHOUT ROWID"
                )
                database.execute("CREATE INDEX IF NOT EXISTS by_age ON replies (at, size)")
            except sqlite3.OperationalError:
                database.close()
                raise
            except sqlite3.DatabaseError:  # damaged, or something else: what is in it can be asked for again
                database.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))
                raise
            self._database = database
        return self._database

    def _tidy_up(self, database, now):
        database.execute("DELETE FROM replies WHERE until <= ?", (now,))
        size = database.execute("SELECT COALESCE(SUM(size), 0) FROM replies").fetchone()[0]
        if size <= self._most:
            return
        doomed = []
        for digest, length in database.execute("SELECT digest, size FROM replies ORDER BY at").fetchall():
            if size <= self._most * 0.9:
                break
            doomed.append((digest,))
            size -= length
        database.executemany("DELETE FROM replies WHERE digest = ?", doomed)


def open_cache(url: str, folder: Path, most: int, seconds: float) -> ReplyCache:
    """The cache at *url*: ``memory://``, ``sqlite:///path`` (a relative one from *folder*), ``redis://...`` or
    ``rediss://...``. Nothing is opened before its first use. Raises ConfigError for another form, or
    without the library."""
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return ReplyCache(InMemory(most), seconds)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return ReplyCache(InFile(folder / rest[1:], most), seconds)
    if scheme in ("redis", "rediss"):
        try:
            door = importlib.import_module("gateway.policies.redis_keeper")
        except ImportError:
            raise ConfigError(["a cache in redis needs an extra: pip install 'llm-gateway[redis]'"]) from None
        return ReplyCache(door.InRedis(url), seconds)
    raise ConfigError([f"expected memory://, sqlite:///path or redis://host:port/0, found {scheme}://..."])
