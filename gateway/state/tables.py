"""The claims as rows of SQLite: one transaction's view, in which each row is read and written once.

A window's amounts are kept by bucket. The newest bucket stands in the meter itself, so that a call
usually changes one row per window; when time moves on, it goes to the table of buckets.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.state.claims import (
    BUCKETS,
    SECOND,
    Claim,
    Level,
    Refusal,
    Slots,
    Taken,
    Window,
    bucket_at,
    frees_at,
    lacking,
    plain,
    until,
    wanted,
)

VERSION = 1
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meters (
    name TEXT PRIMARY KEY, total INTEGER, oldest INTEGER, bucket INTEGER, amount INTEGER, until INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT, bucket INTEGER, amount INTEGER, PRIMARY KEY (name, bucket)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS purses (name TEXT PRIMARY KEY, total INTEGER, until INTEGER) WITHOUT ROWID;
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
_FOR_EVER = 1 << 62
_SWEPT = 300  # names looked at by each beat, to forget those whose time is over

_METER = "SELECT total, oldest, bucket, amount, until FROM meters WHERE name = ?"
_SAVE_METER = "REPLACE INTO meters VALUES (?, ?, ?, ?, ?, ?)"
_LEFT_THE_WINDOW = "SELECT sum(amount) FROM buckets WHERE name = ? AND bucket < ?"
_ADD_TO_BUCKET = "INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
_PURSE = "SELECT total, until FROM purses WHERE name = ? AND until > ?"
_SAVE_PURSE = "REPLACE INTO purses VALUES (?, ?, ?)"
_OTHERS_SLOTS = "SELECT sum(taken) FROM slots JOIN workers USING (worker) WHERE name = ? AND worker <> ? AND until > ?"
_SAVE_SLOTS = "REPLACE INTO slots VALUES (?, ?, ?)"
_NO_SLOTS = "DELETE FROM slots WHERE name = ? AND worker = ?"
_HAVE = "INSERT INTO had VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until WHERE until <= ? RETURNING name"


class _Meter:
    """A window's row (``bucket`` is the newest, with its ``amount``), or a purse's."""

    __slots__ = ("name", "total", "oldest", "bucket", "amount", "until", "changed")

    def __init__(self, name: str, row: tuple | None):
        self.name = name
        self.total, self.oldest, self.bucket, self.amount, self.until = row or (0, 0, 0, 0, 0)
        self.changed = False


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
        self.begin(0)

    # --- a transaction -----------------------------------------------------------------------------

    def begin(self, now: int) -> None:
        """A transaction begins when the machine's clock says *now* (microseconds since 1970)."""
        self._told = now
        self.now = now + self._ahead
        self._meters: dict[tuple[str, int], _Meter] = {}
        self._purses: dict[str, _Meter] = {}
        self._others: dict[str, int] = {}
        self._mine: dict[str, int] = {}

    def save(self) -> None:
        """Write what has changed; before the commit."""
        if rows := [
            (m.name, m.total, m.oldest, m.bucket, m.amount, m.until) for m in self._meters.values() if m.changed
        ]:
            self._execute_many(_SAVE_METER, rows)
        if rows := [(m.name, m.total, m.until) for m in self._purses.values() if m.changed]:
            self._execute_many(_SAVE_PURSE, rows)
        if self._mine:
            mine, worker = self._mine.items(), self._worker
            self._execute_many(_SAVE_SLOTS, [(plain(name), worker, taken) for name, taken in mine if taken])
            if gone := [(plain(name), worker) for name, taken in mine if not taken]:
                self._execute_many(_NO_SLOTS, gone)

    def done(self) -> None:
        """The transaction was committed."""
        for name, mine in self._mine.items():
            if mine:
                self._held[name] = mine
            else:
                self._held.pop(name, None)

    # --- claims ------------------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim]) -> Taken:
        found, over = [], []
        for claim in claims:
            row = self._row(claim)
            used, amount = self._used(claim) if row is None else row.total, wanted(claim)
            short = lacking(claim, used, amount)
            if short:
                if not claim.observe:
                    return Taken([], Refusal(claim, used, self._retry_after(claim, short)))
                over.append(claim)
            found.append((claim, row, used + amount, amount, short))
        marks, levels = [self._file], []
        for claim, row, _, amount, _ in found:
            marks.append(self._add(claim, row, amount))
        for claim, row, used, _, short in found:
            levels.append(Level(claim, used, self._frees(claim, row, used, short)))
        return Taken(levels, None, over, tuple(marks))

    def settle(self, taken: Taken, amounts: Mapping[str, int]) -> None:
        file, *marks = taken.marks
        for level, mark in zip(taken.levels, marks, strict=True):
            claim = level.claim
            if type(claim) is Slots:
                self._mine[claim.name] = max(self._held_of(claim.name) - 1, 0)
                continue
            change = amounts[claim.name] - wanted(claim) if claim.name in amounts else 0
            if not change or file != self._file:  # a file begun anew does not know what was claimed
                continue
            if type(claim) is not Window:
                self._spend(self._purse(claim.name), change, claim.seconds)
            # What has left its window already is no longer in the total either.
            elif mark >= (meter := self._meter(claim)).oldest:
                self._count(meter, mark, change, claim.seconds)

    def levels(self, claims: Sequence[Claim]) -> list[Level]:
        levels = []
        for claim in claims:
            row = self._row(claim)
            used = self._used(claim) if row is None else row.total
            levels.append(Level(claim, used, self._frees(claim, row, used, lacking(claim, used, wanted(claim)))))
        return levels

    def spend(self, name: str, amount: int, seconds: int) -> None:
        purse = self._purse(name)
        self._spend(purse, amount - purse.total, seconds)

    def _row(self, claim: Claim) -> _Meter | None:
        """Where it is counted; slots are not, but by worker."""
        kind = type(claim)
        if kind is Window:
            return self._meter(claim)
        return None if kind is Slots else self._purse(claim.name)

    def _used(self, claim: Slots) -> int:
        others = self._others.get(claim.name)
        if others is None:
            row = self._execute(_OTHERS_SLOTS, (plain(claim.name), self._worker, self.now)).fetchone()
            others = self._others[claim.name] = row[0] or 0
        return others + self._held_of(claim.name)

    def _add(self, claim: Claim, row: _Meter | None, amount: int) -> int:
        """Returns the mark under which what was added is found again."""
        if row is None:
            self._mine[claim.name] = self._held_of(claim.name) + 1
            return 0
        if type(claim) is Window:
            mark = bucket_at(self.now, claim.seconds)
            self._count(row, mark, amount, claim.seconds)
            return mark
        self._spend(row, amount, claim.seconds)
        return 0

    def _held_of(self, name: str) -> int:
        mine = self._mine.get(name)
        return self._held.get(name, 0) if mine is None else mine

    # --- windows and purses ------------------------------------------------------------------------

    def _meter(self, claim: Window) -> _Meter:
        """Swept: its total is what counts now."""
        seconds = claim.seconds
        meter = self._meters.get((claim.name, seconds))
        if meter is None:
            # Windows of another length are others: their buckets mean other times.
            name = f"{plain(claim.name)}/{seconds}"
            meter = _Meter(name, self._execute(_METER, (name,)).fetchone())
            self._meters[claim.name, seconds] = meter
            oldest = bucket_at(self.now, seconds) - BUCKETS
            if meter.oldest < oldest:
                self._sweep(meter, oldest)
        return meter

    def _sweep(self, meter: _Meter, oldest: int) -> None:
        if meter.total:
            gone = self._execute(_LEFT_THE_WINDOW, (meter.name, oldest)).fetchone()[0]
            if gone is not None:
                self._execute("DELETE FROM buckets WHERE name = ? AND bucket < ?", (meter.name, oldest))
                meter.total -= gone
            if meter.bucket < oldest:
                meter.total -= meter.amount
                meter.amount = 0
            meter.changed = True
        meter.oldest = oldest

    def _count(self, meter: _Meter, bucket: int, amount: int, seconds: int) -> None:
        if bucket > meter.bucket:
            if meter.amount:
                self._execute(_ADD_TO_BUCKET, (meter.name, meter.bucket, meter.amount))
            meter.bucket, meter.amount = bucket, amount
        elif bucket == meter.bucket:
            meter.amount += amount
        else:
            self._execute(_ADD_TO_BUCKET, (meter.name, bucket, amount))
        meter.total += amount
        meter.until = self.now + 2 * seconds * SECOND
        meter.changed = True

    def _purse(self, name: str) -> _Meter:
        purse = self._purses.get(name)
        if purse is None:
            row = self._execute(_PURSE, (plain(name), self.now)).fetchone()
            purse = self._purses[name] = _Meter(plain(name), row and (row[0], 0, 0, 0, row[1]))
        return purse

    def _spend(self, purse: _Meter, amount: int, seconds: int) -> None:
        purse.total = max(purse.total + amount, 0)
        purse.until = self.now + seconds * SECOND if seconds else _FOR_EVER
        purse.changed = True

    def _retry_after(self, claim: Claim, short: int) -> float | None:
        if type(claim) is Slots:
            return 1.0
        if type(claim) is not Window or wanted(claim) > claim.most or not claim.most:
            return None
        return self._free_in(claim, short)

    def _free_in(self, claim: Window, short: int) -> float:
        """Seconds until *short* of what is used counts no longer."""
        meter = self._meter(claim)
        rows = self._execute("SELECT bucket, amount FROM buckets WHERE name = ? ORDER BY bucket", (meter.name,))
        for bucket, amount in rows:
            short -= amount
            if short <= 0:
                return until(frees_at(bucket, claim.seconds), self.now)
        return until(frees_at(meter.bucket, claim.seconds), self.now)

    def _frees(self, claim: Claim, meter: _Meter | None, used: int, short: int) -> float:
        if type(claim) is not Window or not used:
            return 0.0
        if short and (wanted(claim) or 1) <= claim.most:
            return self._free_in(claim, short)
        newest = meter.bucket
        if not meter.amount:
            row = self._execute("SELECT max(bucket) FROM buckets WHERE name = ? AND amount > 0", (meter.name,))
            newest = row.fetchone()[0] or newest
        return until(frees_at(newest, claim.seconds), self.now)

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
        for table in ("meters", "purses", "had", "board"):
            rows: list[Any] = self._execute(
                f"SELECT name, until FROM {table} WHERE name > ? ORDER BY name LIMIT {_SWEPT}",
                (self._places.get(table, ""),),
            ).fetchall()
            self._places[table] = rows[-1][0] if len(rows) == _SWEPT else ""
            over = [(name,) for name, end in rows if end <= self.now]
            self._execute_many(f"DELETE FROM {table} WHERE name = ?", over)
            if table == "meters":
                self._execute_many("DELETE FROM buckets WHERE name = ?", over)

    def leave(self) -> None:
        """This worker ends."""
        for name in self._held:
            self._mine[name] = 0
        self._execute("DELETE FROM slots WHERE worker = ?", (self._worker,))
        self._execute("DELETE FROM workers WHERE worker = ?", (self._worker,))
