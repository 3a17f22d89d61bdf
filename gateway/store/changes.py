"""What was changed in the store, as a feed that every worker follows with one small query a poll."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from gateway.store import clock
from gateway.store.tables import changes, newest_change

KEPT = 10_000  # changes that a worker may be behind before it has to forget everything instead
_SINGLY = 1000  # more changes at once are told as one: everything

Position = tuple[int, int]  # a change's number and time: after a backup was put back, numbers come again


@dataclass(frozen=True, slots=True)
class News:
    """What was changed up to *position*. ``everything``: so much, or nobody knows what."""

    position: Position
    everything: bool = False
    keys: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        return self.everything or bool(self.keys or self.teams)


def note(connection: Connection, kind: str, names: Collection[str]) -> None:
    """Tell all workers, once the transaction is committed, that the keys or teams (*kind* is ``key``
    or ``team``) of these *names* were changed."""
    if not names:
        return
    told = [(kind, name) for name in names] if len(names) <= _SINGLY else [("all", "")]
    # The row stays locked until the commit: numbers become visible in their order.
    number = newest_change.c.number
    newest = connection.execute(update(newest_change).values(number=number + len(told)).returning(number)).scalar_one()
    at, first = clock.now(), newest - len(told) + 1
    rows = [{"number": first + i, "at": at, "kind": kind, "name": name} for i, (kind, name) in enumerate(told)]
    connection.execute(insert(changes), rows)
    connection.execute(delete(changes).where(changes.c.number <= newest - KEPT))


def since(connection: Connection, position: Position | None) -> News:
    """The changes after *position*; everything, when that one is not there any more."""
    rows = []
    if position is not None:
        query = select(changes).where(changes.c.number >= position[0]).order_by(changes.c.number)
        rows = connection.execute(query).all()
    if not rows or (rows[0].number, rows[0].at) != position:
        newest = connection.execute(select(changes).order_by(changes.c.number.desc()).limit(1)).one()
        return News((newest.number, newest.at), everything=True)
    last, new = rows[-1], rows[1:]
    return News(
        (last.number, last.at),
        any(row.kind == "all" for row in new),
        frozenset(row.name for row in new if row.kind == "key"),
        frozenset(row.name for row in new if row.kind == "team"),
    )
