"""The shared state of one machine's workers, in a SQLite file.

One worker writes at a time; what several of its calls want at the same moment is one transaction
(see turns). The turn between workers is a file lock that is asked for without blocking, so that a
worker's other calls go on meanwhile: SQLite's own waiting would stop them all, for milliseconds.

A worker may be killed at any point: what it had not committed never was, and the kernel takes its
lock away. Nothing is synced to disk: a power cut may cost the file, which is then begun anew.
Budgets are counted again from the ledger, where there is one.
"""

import contextlib
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from gateway.state.claims import (
    ALIVE,
    MOST_SPENT,
    SECOND,
    Claim,
    Level,
    StateAway,
    Taken,
    bounded,
    plain,
)
from gateway.state.file_lock import FileLock
from gateway.state.tables import SCHEMA, VERSION, Tables
from gateway.state.turns import Job, Later, Turns

log = logging.getLogger("gateway.state")

_REST = 0.5  # seconds between two tries to open a file that cannot be used


class SqliteState:
    """See claims.State. *path* may be ``:memory:`` for one process alone; *clock* gives the time in
    seconds since 1970, the same for all workers; *alive* is claims.ALIVE, *patience* the longest wait for
    the other workers, in seconds. Raises StateAway."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time, alive: float = ALIVE, patience: float = 5.0):
        self._path = path
        self._clock = clock
        self._alive = alive
        self._worker = uuid.uuid4().hex
        self._held: dict[str, int] = {}
        self._owed: list[tuple] = []
        self._turns = Turns(self._carry_out, self._failed)
        self._lock = FileLock(None if path == ":memory:" else f"{path}.lock", self._turns.let_others, patience)
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._beaten = 0.0  # by the clock
        self._tried = 0.0  # to open it, monotonic
        self._closed = False
        self._later = Later(self._pay)
        self._in_turn(self._open)

    # --- the interface -----------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim]) -> Taken:
        return self._turns.ask(("take", claims)) if claims else Taken([])

    def settle(self, taken: Taken, amounts: Mapping[str, int] | None = None, later: bool = False) -> None:
        if taken.settled or not taken.levels:
            return
        work = ("settle", taken, {name: bounded(amount) for name, amount in (amounts or {}).items()})
        taken.settled = True
        if later and not self._closed:
            # The next call's turn has most of the same rows in hand: a turn of its own would cost twice. A
            # worker killed before that leaves what any killed worker does: estimates, and slots that it loses.
            self._owed.append(work)
            self._later.want()
            return
        with contextlib.suppress(StateAway):
            self._turns.ask(work)

    def levels(self, claims: Sequence[Claim]) -> list[Level]:
        return self._turns.ask(("levels", claims))

    def spend(self, name: str, amount: int, seconds: int = 80 * 86400) -> None:
        self._turns.ask(("spend", plain(name), min(max(amount, 0), MOST_SPENT), seconds))

    def post(self, name: str, text: str, seconds: float) -> None:
        self._turns.ask(("post", plain(name), plain(text), seconds))

    def posted(self, since: int) -> tuple[int, dict[str, str]] | None:
        return self._turns.ask(("posted", since))

    def claim(self, name: str, seconds: float) -> bool:
        return self._turns.ask(("claim", plain(name), seconds))

    def beat(self) -> None:
        self._turns.ask(("live",))

    def close(self) -> None:
        if self._closed:
            return
        with contextlib.suppress(StateAway):
            self._turns.ask(("leave",))
        self._closed = True
        self._later.close()
        with contextlib.suppress(StateAway):
            self._in_turn(self._drop)  # the last one to close takes the log away
        self._lock.close()

    def _pay(self) -> None:
        if self._owed:  # nobody's turn has taken it along
            self._turns.ask(("levels", ()))

    # --- a turn ------------------------------------------------------------------------------------

    def _carry_out(self, gather: Callable[[], list[Job]]) -> None:
        if self._closed:
            raise StateAway("the shared state was closed")
        if self._database is None and time.monotonic() - self._tried < _REST:
            raise StateAway(f"the state file {self._path} cannot be used")
        self._in_turn(lambda: self._work(gather()))

    def _in_turn(self, work: Callable[[], None]) -> None:
        """What goes wrong in *work* undoes the transaction; if the file is to blame, it is opened anew."""
        try:
            self._lock.take()
            try:
                work()
            except (sqlite3.Error, OSError):
                self._drop()
                raise
            finally:
                if self._database is not None and self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                self._lock.give()
        except (sqlite3.Error, OSError) as error:
            raise StateAway(f"the state file {self._path} cannot be used: {error}") from None

    def _work(self, jobs: list[Job]) -> None:
        now = self._clock()
        due = not 0 <= now - self._beaten < self._alive / 2
        if self._database is None or (due and self._removed()):
            self._open()
            due = True
        self._transaction(int(now * SECOND), jobs, due)
        if due:
            self._beaten = now

    def _transaction(self, now: int, jobs: list[Job], due: bool) -> None:
        execute, tables, owed = self._database.execute, self._tables, self._owed[:]
        execute("BEGIN IMMEDIATE")
        tables.begin(now)
        if due:
            tables.live()
        for name, *arguments in owed:
            getattr(tables, name)(*arguments)
        for job in jobs:
            name, *arguments = job.work
            job.result = getattr(tables, name)(*arguments)
        tables.save()
        execute("COMMIT")
        tables.done()
        del self._owed[: len(owed)]

    def _failed(self, jobs: list[Job]) -> None:
        """Nothing of *jobs* was done; what cannot be asked for again is done later."""
        self._owed += [job.work for job in jobs if job.work[0] == "settle"]

    # --- the file ----------------------------------------------------------------------------------

    def _open(self) -> None:
        """A file that is damaged, or another version's, is set aside."""
        self._drop()
        self._tried = time.monotonic()
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            log.error("the state file %s cannot be used (%s); it is set aside and begun anew", self._path, error)
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._path + end, f"{self._path}.damaged{end}")
            self._connect()
        self._tables = Tables(self._database, self._worker, self._alive, self._held)

    def _connect(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            # A transaction changes a few bytes in each of some pages, which are copied and summed up whole.
            database.execute("PRAGMA page_size = 1024")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its check failed")
            if (version := database.execute("PRAGMA user_version").fetchone()[0]) not in (0, VERSION):
                raise sqlite3.DatabaseError(f"it is of version {version}")
            database.executescript(SCHEMA)
            if self._path != ":memory:":
                os.chmod(self._path, 0o600)
                self._inode = os.stat(self._path).st_ino
        except BaseException:  # whatever it was: nobody else knows of the connection
            database.close()
            raise
        self._database = database

    def _removed(self) -> bool:
        """Whether somebody took the file away. Its readers would never notice by themselves."""
        if self._path == ":memory:":
            return False
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == self._inode:
                return False
        log.error("the state file %s was removed; it is begun anew", self._path)
        return True

    def _drop(self) -> None:
        """Close the file, without the transaction that it may be in."""
        if self._database is not None:
            database, self._database = self._database, None
            with contextlib.suppress(sqlite3.Error):
                database.close()
