"""The claims as rows of SQLite: one transaction's view, in which each row is read and written once.

Rows are kept for the next transaction, and read again only when another worker wrote meanwhile.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.state.claims import SECOND, Claim, Level, Purse, Refusal, Slots, Taken, Window, lacking, plain, wanted
from gateway.state.counts import PurseCount, SlotsCount, WindowCount, row_name

VERSION = 2
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS counts (
    name TEXT PRIMARY KEY, total INTEGER, oldest INTEGER, bucket INTEGER, amount INTEGER, until INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT, bucket INTEGER, amount INTEGER, PRIMARY KEY (name, bucket)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slots (name TEXT, worker TEXT, taken INTEGER, PRIMARY KEY (name, worker)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (worker TEXT PRIMARY KEY, until INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS board (name TEXT PRIMARY KEY, text TEXT, until INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS had (name TEXT PRIMARY KEY, until INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generation (number INTEGER, file INTEGER);
INSERT INTO generation SELECT 0, random() WHERE NOT EXISTS (SELECT * FROM generation);
CREATE TABLE IF NOT EXISTS clock (ahead INTEGER, latest INTEGER);
INSERT INTO clock SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM clock);
PRAGMA user_version = {VERSION};
COMMIT;
"""
_SWEPT = 300  # names looked at by each beat, to forget those whose time is over
_KEPT = 1000  # rows, from one transaction to the next

_SAVE_COUNT = "REPLACE INTO counts VALUES (?, ?, ?, ?, ?, ?)"
_SAVE_SLOTS = "REPLACE INTO slots VALUES (?, ?, ?)"
_NO_SLOTS = "DELETE FROM slots WHERE name = ? AND worker = ?"
_HAVE = "INSERT INTO had VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until WHERE until <= ? RETURNING name"

_Count = WindowCount | PurseCount | SlotsCount


class Tables:
    """*held* are the slots that *worker* has, by name. It is the truth, of which the table tells the
    other workers; it is only changed when a transaction is done (``done``)."""

    def __init__(self, database: sqlite3.Connection, worker: str, alive: float, held: dict[str, int]):
        self._execute = database.execute
        self._execute_many = database.executemany
        self._worker = worker
        self._alive = int(alive * SECOND)
        self._held = held
        self._places: dict[str, str] = {}  # where the sweep has come to, by table
        self._ahead = 0  # microseconds by which the state's time is ahead of the machine's
        self._file = self._execute("SELECT file FROM generation").fetchone()[0]
        self._counts: dict[tuple, _Count] = {}
        self._counts_of = -1  # the database's version that they were read from; -1: not to be trusted
        self._looked_at: set[_Count] = set()  # in this transaction
        self.now = 0

    # --- a transaction -----------------------------------------------------------------------------

    def begin(self, now: int) -> None:
        """A transaction has begun, when the machine's clock said *now* (microseconds since 1970)."""
        self._told = now
        self.now = now + self._ahead
        self._looked_at.clear()
        version = self._execute("PRAGMA data_version").fetchone()[0]  # another one, once another worker wrote
        if version != self._counts_of or len(self._counts) > _KEPT:
            self._counts.clear()
        self._version, self._counts_of = version, -1

    def save(self) -> None:
        """Write what has changed; before the commit."""
        changed = [count for count in self._looked_at if count.changed]
        if rows := [count.row() for count in changed if type(count) is not SlotsCount]:
            self._execute_many(_SAVE_COUNT, rows)
        for count in changed:
            if type(count) is SlotsCount:
                self._execute(_SAVE_SLOTS if count.mine else _NO_SLOTS, count.row())

    def done(self) -> None:
        """The transaction was committed."""
        self._counts_of = self._version
        for count in self._looked_at:
            if type(count) is not SlotsCount:
                count.changed = False
            elif count.changed:
                count.told = self._held[count.name] = count.mine
                if not count.mine:
                    del self._held[count.name]

    # --- claims ------------------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim]) -> Taken:
        now, over, wishes = self.now, [], []
        for claim, count in zip(claims, self._found(claims), strict=True):
            used, amount = count.used(claim, now), wanted(claim)
            short = lacking(claim, used, amount) if claim.most is not None else 0
            if short:
                if not claim.observe:
                    return Taken([], Refusal(claim, used, count.retry_after(claim, short, now)))
                over.append(claim)
            wishes.append((claim, count, used + amount, amount, short))
        marks, levels = [self._file], []
        for claim, count, used, amount, short in wishes:
            marks.append(count.add(claim, amount, now))
            levels.append(Level(claim, used, count.frees(claim, used, short, now)))
        return Taken(levels, None, over, tuple(marks))

    def settle(self, taken: Taken, amounts: Mapping[str, int]) -> None:
        file, *marks = taken.marks
        claims = taken.claims
        for claim, count, mark in zip(claims, self._found(claims), marks, strict=True):
            if type(claim) is Slots:
                count.correct(claim, mark, -1, self.now)
            elif claim.name in amounts and file == self._file:  # a file begun anew does not know what was claimed
                change = amounts[claim.name] - wanted(claim)
                if change:
                    count.correct(claim, mark, change, self.now)

    def levels(self, claims: Sequence[Claim]) -> list[Level]:
        levels = []
        for claim, count in zip(claims, self._found(claims), strict=True):
            used = count.used(claim, self.now)
            short = lacking(claim, used, wanted(claim))
            levels.append(Level(claim, used, count.frees(claim, used, short, self.now)))
        return levels

    def spend(self, name: str, amount: int, seconds: int) -> None:
        purse = Purse(name, None, amount, seconds=seconds)
        (count,) = self._found([purse])
        count.add(purse, amount - count.used(purse, self.now), self.now)

    def _found(self, claims: Sequence[Claim]) -> list[_Count]:
        """Where each of *claims* is counted."""
        keys = [(c.name, c.seconds) if type(c) is Window else (c.name, type(c)) for c in claims]
        try:
            found = [self._counts[key] for key in keys]
        except KeyError:
            self._read({key: claim for key, claim in zip(keys, claims, strict=True) if key not in self._counts})
            found = [self._counts[key] for key in keys]
        self._looked_at.update(found)
        return found

    def _read(self, claims: Mapping[tuple, Claim]) -> None:
        names = {key: row_name(claim) for key, claim in claims.items() if type(claim) is not Slots}
        marks = ", ".join("?" * len(names))
        found = self._execute(f"SELECT * FROM counts WHERE name IN ({marks})", tuple(names.values()))
        rows = {row[0]: row for row in found}
        for key, name in names.items():
            kind = PurseCount if key[1] is Purse else WindowCount
            self._counts[key] = kind(rows.get(name, (name, 0, 0, 0, 0, 0)), self._execute)
        for key, claim in claims.items():
            if type(claim) is Slots:
                mine = self._held.get(claim.name, 0)
                self._counts[key] = SlotsCount(claim.name, self._worker, mine, self._execute)

    # --- notices -----------------------------------------------------------------------------------

    def post(self, name: str, text: str, seconds: float) -> None:
        if text:
            self._execute("REPLACE INTO board VALUES (?, ?, ?)", (name, text, self.now + int(seconds * SECOND)))
        else:
            self._execute("DELETE FROM board WHERE name = ?", (name,))
        # Told by the time, so that a board begun anew never says an old generation again.
        self._execute("UPDATE generation SET number = max(number + 1, ?)", (self.now,))

    def posted(self, since: int) -> tuple[int, dict[str, str]] | None:
        number = self._execute("SELECT number FROM generation").fetchone()[0]
        if number == since:
            return None
        return number, dict(self._execute("SELECT name, text FROM board WHERE until > ?", (self.now,)).fetchall())

    def claim(self, name: str, seconds: float) -> bool:
        row = (name, self.now + int(seconds * SECOND), self.now)
        return self._execute(_HAVE, row).fetchone() is not None

    # --- life --------------------------------------------------------------------------------------

    def live(self) -> None:
        """This worker lives; those that are known no longer to, lose their slots."""
        self._look_at_the_clock()
        execute = self._execute
        if execute("SELECT 1 FROM workers WHERE worker = ?", (self._worker,)).fetchone() is None:
            # New, or given up by the others: what it still has counts again.
            held = [(plain(name), self._worker, taken) for name, taken in self._held.items()]
            self._execute_many(_SAVE_SLOTS, held)
        execute("REPLACE INTO workers VALUES (?, ?)", (self._worker, self.now + self._alive))
        for (dead,) in execute("DELETE FROM workers WHERE until <= ? RETURNING worker", (self.now,)).fetchall():
            execute("DELETE FROM slots WHERE worker = ?", (dead,))
        self._forget()

    def _look_at_the_clock(self) -> None:
        """The state's time does not go back. When the machine's does, it goes on from where it was: else
        what was counted, claimed and posted, and dead workers, would stay until the clock is as late again."""
        ahead, latest = self._execute("SELECT ahead, latest FROM clock").fetchone()
        self._ahead = max(ahead, latest - self._told)
        self.now = self._told + self._ahead
        self._execute("UPDATE clock SET ahead = ?, latest = ?", (self._ahead, self.now))

    def _forget(self) -> None:
        """Go on a little through all names, and take out those whose time is over."""
        for table in ("counts", "had", "board"):
            rows: list[Any] = self._execute(
                f"SELECT name, until FROM {table} WHERE name > ? ORDER BY name LIMIT {_SWEPT}",
                (self._places.get(table, ""),),
            ).fetchall()
            self._places[table] = rows[-1][0] if len(rows) == _SWEPT else ""
            over = [(name,) for name, end in rows if end <= self.now]
            self._execute_many(f"DELETE FROM {table} WHERE name = ?", over)
            if table == "counts":
                self._execute_many("DELETE FROM buckets WHERE name = ?", over)

    def leave(self) -> None:
        """This worker ends."""
        for count in self._counts.values():
            if type(count) is SlotsCount:
                count.mine = 0
        self._execute("DELETE FROM slots WHERE worker = ?", (self._worker,))
        self._execute("DELETE FROM workers WHERE worker = ?", (self._worker,))
