"""Rows into the store: each exactly once, and the days' sums with them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from gateway.ledger.entries import cleaned
from gateway.store import StoreAway
from gateway.store.clock import day_of
from gateway.store.database import Store
from gateway.store.tables import TOKENS, calls, days

log = logging.getLogger("gateway.ledger")

Row = Mapping[str, Any]

_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_KEYS = tuple(column.name for column in days.primary_key if column.name != "day")
_SUMS = tuple(column.name for column in days.columns if not column.primary_key)
_KINDS = {column.name: column.type.python_type for column in calls.columns}
_MISSING = {column.name: None if column.nullable else _KINDS[column.name]() for column in calls.columns}


def row_of(entry: Row, machine: str, worker: str) -> dict[str, Any]:
    """A line of a spool as a row of the table ``calls``: what it has no column for is left out, what
    it does not say is missing."""
    found = {name: cleaned(name, entry[name], kind) for name, kind in _KINDS.items() if name in entry}
    known = {name: value for name, value in found.items() if value is not None}
    return _MISSING | known | {"machine": machine, "worker": worker}


def enter(store: Store, rows: Sequence[Row]) -> list[Row]:
    """Enter *rows* in one transaction, those that are there already left as they are; gives those
    that the database will not have. Raises StoreAway, also for what an administrator has to mend (a
    right that is missing, say): then none of them is entered."""
    try:
        with store.begin() as connection:
            _enter(connection, rows)
        return []
    except (exc.DataError, exc.IntegrityError) as error:  # no failure of the database, but of a row
        if len(rows) == 1:
            log.error("the ledger cannot take the row %s: %s", rows[0]["id"], type(error.orig).__name__)
            return [rows[0]]
    except exc.DBAPIError as error:
        raise StoreAway(str(error.orig).partition("\n")[0]) from None
    half = len(rows) // 2
    return enter(store, rows[:half]) + enter(store, rows[half:])


def _enter(connection: Connection, rows: Sequence[Row]) -> None:
    insert = _INSERT[connection.dialect.name]
    statement = insert(calls).on_conflict_do_nothing(index_elements=["id"]).returning(calls.c.id)
    new = set(connection.execute(statement, [dict(row) for row in rows]).scalars())
    sums = days_of(row for row in rows if row["id"] in new)
    if not sums:
        return
    add = insert(days)
    added = {name: days.c[name] + add.excluded[name] for name in _SUMS}
    connection.execute(add.on_conflict_do_update(index_elements=_primary(days), set_=added), sums)


def _primary(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def days_of(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The sums of *rows* as rows of the table ``days``, in the order of its key: bookkeepers of several
    machines that add to the same days do not wait for each other crosswise."""
    sums: dict[tuple[str, ...], dict[str, int]] = {}
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        key = (day_of(row["at"]), *(row[name] for name in _KEYS))
        one = sums.setdefault(key, dict.fromkeys(_SUMS, 0))
        for name in ("attempts", *TOKENS, "cost", "total", "bytes_out"):
            one[name] += row[name] or 0
        one["calls"] += 1
        one["unpriced"] += row["cost"] is None
        one["unmetered"] += row["input"] is None and row["output"] is None and row["cost"] != 0
    return [dict(zip(("day", *_KEYS), key, strict=True)) | sums[key] for key in sorted(sums)]
