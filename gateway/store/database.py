"""Connections and transactions of the store: SQLAlchemy Core over SQLite or PostgreSQL.

A transaction that writes takes SQLite's one write lock when it begins, so that it can fail for want
of it at that place only. Reading never waits for it (WAL).

psycopg waits cooperatively under gevent if it is imported after gevent has replaced `select`, which
is so in workers: they load the configuration after the fork.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from gateway.config.settings import TeamSettings
from gateway.errors import ConfigError
from gateway.store import StoreAway, migrations
from gateway.store.directory import Directory
from gateway.store.keys import Keys
from gateway.store.teams import Teams

_BUSY = 5.0  # seconds to wait for SQLite's write lock
_WORK_MEMORY = "64MB"
_REST = 0.5  # seconds for which a PostgreSQL that could not be reached is not asked again
_POSTGRES = {
    "pool_size": 4,
    "max_overflow": 2,
    "pool_timeout": 3,
    "pool_pre_ping": True,
    "connect_args": {
        "connect_timeout": 3,
        "tcp_user_timeout": 5000,
        "application_name": "gateway",
        "prepare_threshold": None,  # a pooler between may give each transaction another server process
    },
}
# What can be mended by waiting, or by an administrator; anything else is a mistake of ours.
_AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
T = TypeVar("T")
_FORMS = "expected sqlite:///path or postgresql+psycopg://user:password@host/name"


def open_store(url: str, folder: Path) -> "Store":
    """See gateway.store.open_store."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # they quote the text, password and all
        raise ConfigError([f"store: {_FORMS}"]) from None
    backend = parsed.get_backend_name()
    try:
        if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
            return Store(_sqlite(folder / parsed.database))
        if backend in ("postgresql", "postgres") and parsed.database:
            return Store(sqlalchemy.create_engine(parsed.set(drivername="postgresql+psycopg"), **_POSTGRES))
    except ImportError:
        raise ConfigError(["store: PostgreSQL needs an extra: pip install 'llm-gateway[postgres]'"]) from None
    except exc.ArgumentError:
        raise ConfigError([f"store: {_FORMS}"]) from None
    raise ConfigError([f"store: {_FORMS}, found {parsed.drivername}://..."])


def _sqlite(path: Path) -> Engine:
    engine = sqlalchemy.create_engine(URL.create("sqlite", database=str(path)))

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def make(*_: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # what is in it is nobody else's business
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))

    @sqlalchemy.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        connection.execute(f"PRAGMA busy_timeout = {int(_BUSY * 1000)}")
        _keep_a_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """WAL. SQLite's own waiting does not cover the moment in which several find the file new."""
    give_up = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


class Store:
    """Transactions, and what is kept. Every use may raise StoreAway; the first one sees to the
    schema: an embedded database is brought up to date, another one has to be already."""

    def __init__(self, engine: Engine):
        self.embedded = engine.dialect.name == "sqlite"
        self.keys = Keys(self)
        self.teams = Teams(self)
        self._engine = engine
        self._writing = engine.execution_options(writes=True)
        self._reading = engine if self.embedded else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._preparing = threading.Lock()
        self._ready = False
        self._away_until = 0.0
        self._why = ""

    @property
    def place(self) -> str:
        """Where it is, without any password: the query may hold one, too."""
        return self._engine.url.set(query={}).render_as_string(hide_password=True)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that writes: everything in it or nothing."""
        self._prepare()
        with self.bare() as connection:
            yield connection

    def change(self, work: Callable[[Connection], T]) -> T:
        """What *work* gives, done in a transaction that writes. Whoever finds that another was quicker
        than its own look around begins anew, and then sees what the other did."""
        with contextlib.suppress(exc.IntegrityError), self.begin() as connection:
            return work(connection)
        with self.begin() as connection:
            return work(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with. Each statement sees the newest by itself."""
        self._prepare()
        with self._guarded(), self._reading.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def adding_up(self) -> Iterator[Connection]:
        """A connection to read with that adds many rows up. PostgreSQL gives a query 4 MB, and sorts a million
        rows on disk rather than keep their sums in mind."""
        if self.embedded:
            with self.read() as connection:
                yield connection
            return
        self._prepare()
        with self._guarded(), self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL work_mem = '{_WORK_MEMORY}'")
            yield connection

    @contextlib.contextmanager
    def bare(self) -> Iterator[Connection]:
        """A transaction whatever the schema's version: for migrations."""
        with self._guarded(), self._writing.begin() as connection:
            yield connection

    def directory(self, teams: Mapping[str, TeamSettings], **options: Any) -> Directory:
        """What one worker knows of the keys; see Directory."""
        return Directory(self, teams, **options)

    def upgrade(self) -> tuple[int, int]:
        """Bring the schema up to date: (version before, version now). Raises SchemaDiffers for one
        that is newer."""
        with self.bare() as connection:
            found, now = migrations.upgrade(connection)
        self._ready = True
        return found, now

    def version(self) -> int:
        """The schema's version; 0 where there is none."""
        with self._guarded(), self._reading.begin() as connection:
            return migrations.version_of(connection)

    def flaws(self) -> list[str]:
        """What is wrong with the data or the schema; nothing, as long as nobody changed it by hand."""
        with self._guarded(), self._reading.begin() as connection:
            found = migrations.flaws(connection)
            if self.embedded:
                said = connection.exec_driver_sql("PRAGMA quick_check(10)").scalars().all()
                found += [] if list(said) == ["ok"] else list(said)
            return found

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _prepare(self) -> None:
        if self._ready:
            return
        with self._preparing:
            if self._ready:
                return
            if self.embedded:
                if self.version() != migrations.NEWEST:
                    self.upgrade()
            else:
                migrations.check(self.version())
            self._ready = True

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """The database's own failures become StoreAway. While it is away it is left alone: who asks
        is told at once, not after a timeout."""
        if time.monotonic() < self._away_until:
            raise StoreAway(self._why)
        try:
            yield
        except _AWAY as error:
            raise self._away(error) from None
        except exc.DatabaseError as error:
            if type(error) is not exc.DatabaseError:  # a constraint, or a statement of ours
                raise
            raise self._away(error) from None
        except OSError as error:  # the file's folder
            raise StoreAway(f"{self.place}: {error.strerror}") from None

    def _away(self, error: exc.SQLAlchemyError) -> StoreAway:
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        self._why = f"{self.place}: {said[0]}"
        if not self.embedded and getattr(error, "connection_invalidated", True):
            self._away_until = time.monotonic() + _REST
        return StoreAway(self._why)
