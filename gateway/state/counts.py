"""What is counted, each thing as one row: a purse, a window, a worker's slots of one name.

All three are asked the same: what is ``used``, to ``add`` what a claim takes (it gives a mark, by which
``correct`` finds it again), when it ``frees``, and when a refused claim may come again. *now* is the
state's time in microseconds; *short* how much less would have to be used.
"""

from collections.abc import Callable
from typing import Any

from gateway.state.claims import BUCKETS, SECOND, Purse, Slots, Window, bucket_at, frees_at, plain, until, wanted

Execute = Callable[..., Any]  # the database's
Row = tuple[str, int, int, int, int, int]

_FOR_EVER = 1 << 62
_LEFT_THE_WINDOW = "SELECT sum(amount) FROM buckets WHERE name = ? AND bucket < ?"
_ADD_TO_BUCKET = "INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
_OTHERS_SLOTS = """
SELECT sum(taken), min(until) FROM slots JOIN workers USING (worker) WHERE name = ? AND worker <> ? AND until > ?
"""


def row_name(claim: Purse | Window) -> str:
    """The name of its row. Windows of another length are others: their buckets mean other times."""
    if type(claim) is Window:
        return f"window {plain(claim.name)}/{claim.seconds}"
    return f"purse {plain(claim.name)}"


class Count:
    """A row of the table of counts; what it holds is forgotten behind ``until``."""

    __slots__ = ("name", "total", "oldest", "bucket", "amount", "until", "changed", "_execute")

    def __init__(self, row: Row, execute: Execute):
        self.name, self.total, self.oldest, self.bucket, self.amount, self.until = row
        self.changed = False
        self._execute = execute

    def row(self) -> Row:
        return self.name, self.total, self.oldest, self.bucket, self.amount, self.until


class PurseCount(Count):
    """What was spent: its ``total``."""

    __slots__ = ()

    def used(self, claim: Purse, now: int) -> int:
        if self.until <= now:
            self.total = 0
        return self.total

    def add(self, claim: Purse, amount: int, now: int) -> int:
        self.total = max(self.total + amount, 0)
        self.until = now + claim.seconds * SECOND if claim.seconds else _FOR_EVER
        self.changed = True
        return 0

    def correct(self, claim: Purse, mark: int, change: int, now: int) -> None:
        self.used(claim, now)
        self.add(claim, change, now)

    def frees(self, claim: Purse, used: int, short: int, now: int) -> float:
        return 0.0

    def retry_after(self, claim: Purse, short: int, now: int) -> float | None:
        return None


class WindowCount(Count):
    """The amounts of a window's buckets. The newest stands in the row itself (``bucket``, and its
    ``amount``), so that a call usually changes one row; when time moves on, it goes to the table of
    buckets. ``total`` counts from the bucket ``oldest`` on."""

    __slots__ = ()

    def used(self, claim: Window, now: int) -> int:
        oldest = bucket_at(now, claim.seconds) - BUCKETS
        if self.oldest < oldest:
            self._sweep(oldest, now)
        return self.total

    def _sweep(self, oldest: int, now: int) -> None:
        if self.until <= now:  # all of it, and somebody may have forgotten its buckets already
            self.total = self.amount = 0
            self._execute("DELETE FROM buckets WHERE name = ?", (self.name,))
        elif self.total:
            gone = self._execute(_LEFT_THE_WINDOW, (self.name, oldest)).fetchone()[0]
            if gone is not None:
                self._execute("DELETE FROM buckets WHERE name = ? AND bucket < ?", (self.name, oldest))
                self.total -= gone
            if self.bucket < oldest:
                self.total -= self.amount
                self.amount = 0
            self.changed = True
        self.oldest = oldest

    def add(self, claim: Window, amount: int, now: int) -> int:
        mark = bucket_at(now, claim.seconds)
        self._count(mark, amount, claim.seconds, now)
        return mark

    def correct(self, claim: Window, mark: int, change: int, now: int) -> None:
        self.used(claim, now)
        if mark >= self.oldest:  # what has left the window is no longer in the total either
            self._count(mark, change, claim.seconds, now)

    def _count(self, bucket: int, amount: int, seconds: int, now: int) -> None:
        if bucket > self.bucket:
            if self.amount:
                self._execute(_ADD_TO_BUCKET, (self.name, self.bucket, self.amount))
            self.bucket, self.amount = bucket, amount
        elif bucket == self.bucket:
            self.amount += amount
        else:
            self._execute(_ADD_TO_BUCKET, (self.name, bucket, amount))
        self.total += amount
        self.until = now + 2 * seconds * SECOND
        self.changed = True

    def frees(self, claim: Window, used: int, short: int, now: int) -> float:
        if not used:
            return 0.0
        if short and (wanted(claim) or 1) <= claim.most:
            return self._free_in(claim.seconds, short, now)
        newest = self.bucket
        if not self.amount:
            rows = self._execute("SELECT max(bucket) FROM buckets WHERE name = ? AND amount > 0", (self.name,))
            newest = rows.fetchone()[0] or newest
        return until(frees_at(newest, claim.seconds), now)

    def retry_after(self, claim: Window, short: int, now: int) -> float | None:
        return None if wanted(claim) > claim.most or not claim.most else self._free_in(claim.seconds, short, now)

    def _free_in(self, seconds: int, short: int, now: int) -> float:
        """Seconds until *short* of what is used counts no longer."""
        rows = self._execute("SELECT bucket, amount FROM buckets WHERE name = ? ORDER BY bucket", (self.name,))
        for bucket, amount in rows:
            short -= amount
            if short <= 0:
                return until(frees_at(bucket, seconds), now)
        return until(frees_at(self.bucket, seconds), now)


class SlotsCount:
    """Of one name, how many *worker* has (``mine``; it ``told`` the others of so many), and how many the
    other living ones have."""

    __slots__ = ("name", "mine", "told", "_worker", "_others", "_known_until", "_execute")

    def __init__(self, name: str, worker: str, mine: int, execute: Execute):
        self.name = name
        self.mine = self.told = mine
        self._worker = worker
        self._known_until = 0  # when one of the others is given up, if it gives no sign of life before
        self._execute = execute

    @property
    def changed(self) -> bool:
        return self.mine != self.told

    def row(self) -> tuple:
        """Without a number, if there is none to be written down."""
        return (plain(self.name), self._worker, self.mine)[: 3 if self.mine else 2]

    def used(self, claim: Slots, now: int) -> int:
        if self._known_until <= now:
            found = self._execute(_OTHERS_SLOTS, (plain(self.name), self._worker, now)).fetchone()
            self._others, self._known_until = found[0] or 0, found[1] or _FOR_EVER
        return self._others + self.mine

    def add(self, claim: Slots, amount: int, now: int) -> int:
        self.mine += amount
        return 0

    def correct(self, claim: Slots, mark: int, change: int, now: int) -> None:
        self.mine = max(self.mine + change, 0)

    def frees(self, claim: Slots, used: int, short: int, now: int) -> float:
        return 0.0

    def retry_after(self, claim: Slots, short: int, now: int) -> float | None:
        return 1.0
