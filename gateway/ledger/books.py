"""Rows into the store: each exactly once, and the days' sums with them."""

import functools
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Table, exc
from sqlalchemy.engine import Connection

from gateway.ledger.rows import COLUMNS, ID, Row
from gateway.store import StoreAway
from gateway.store.clock import day_of
from gateway.store.database import Store
from gateway.store.tables import calls, days

log = logging.getLogger("gateway.ledger")

_MOST_VALUES = 32_000  # of one statement; SQLite takes 32,766
_KEYS = tuple(column.name for column in days.primary_key)
_SUMS = tuple(column.name for column in days.columns if not column.primary_key)
_DAY = 86_400 * 10**6

_ONCE = "ON CONFLICT (id) DO NOTHING RETURNING id"
_ADDED = f"""ON CONFLICT ({", ".join(f'"{name}"' for name in _KEYS)}) DO UPDATE SET """ + ", ".join(
    f"{name} = days.{name} + excluded.{name}" for name in _SUMS
)


def enter(store: Store, rows: Sequence[Row]) -> list[Row]:
    """Enter *rows* in one transaction, those that are there already left as they are; gives those
    that the database will not have. Raises StoreAway, also for what an administrator has to mend (a
    right that is missing, say): then none of them is entered."""
    try:
        with store.begin() as connection:
            new = {id for (id,) in _put(connection, calls, rows, _ONCE)}
            fresh = {row[ID]: row for row in rows if row[ID] in new}
            _put(connection, days, days_of(fresh.values()), _ADDED)
        return []
    except (exc.DataError, exc.IntegrityError) as error:  # no failure of the database, but of a row
        if len(rows) == 1:
            log.error("the ledger cannot take the row %s: %s", rows[0][ID], type(error.orig).__name__)
            return [rows[0]]
    except exc.DBAPIError as error:
        raise StoreAway(str(error.orig).partition("\n")[0]) from None
    half = len(rows) // 2
    return enter(store, rows[:half]) + enter(store, rows[half:])


def _put(connection: Connection, table: Table, rows: Sequence[Row], ending: str) -> list[Sequence[Any]]:
    """Insert *rows*, and what the statements give. Not by way of SQLAlchemy's own insert: that takes longer for
    a row than the database."""
    columns = COLUMNS if table is calls else tuple(days.columns.keys())
    most, found = _MOST_VALUES // len(columns), []
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        by_column = connection.dialect.name == "postgresql"  # which takes an array for a parameter
        values = map(list, zip(*some, strict=True)) if by_column else itertools.chain.from_iterable(some)
        statement = _insertion(table, columns, 0 if by_column else len(some), ending)
        result = connection.exec_driver_sql(statement, tuple(values))
        found += result.all() if result.returns_rows else []
    return found


@functools.lru_cache(16)
def _insertion(table: Table, columns: tuple[str, ...], rows: int, ending: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    if rows:
        source = f"VALUES {', '.join([_tuple(['?'] * len(columns))] * rows)}"
    else:
        kinds = ["text" if table.c[name].type.python_type is str else "bigint" for name in columns]
        source = f"SELECT * FROM unnest{_tuple(f'%s::{kind}[]' for kind in kinds)}"
    return f"INSERT INTO {table.name} ({names}) {source} {ending}"


def _tuple(parts: Iterable[str]) -> str:
    return f"({', '.join(parts)})"


_of_row = {name: place for place, name in enumerate(COLUMNS)}
_at = itemgetter(_of_row["at"])
_names = itemgetter(*(_of_row[name] for name in _KEYS if name != "day"))
_ADDED_UP = tuple(name for name in _SUMS if name in _of_row)
_numbers = itemgetter(*(_of_row[name] for name in _ADDED_UP))


def days_of(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """The sums of *rows*, as rows of the table ``days`` in the order of its key: bookkeepers of several
    machines that add to the same days do not wait for each other crosswise."""
    parts: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        parts[_at(row) // _DAY, _names(row)].append(_numbers(row))
    return sorted((day_of(day * _DAY), *names, *_sums(part)) for (day, names), part in parts.items())


def _sums(part: Sequence[tuple[Any, ...]]) -> list[int]:
    """In the order of the table, of what ``_numbers`` gave."""
    columns = dict(zip(_ADDED_UP, zip(*part, strict=True), strict=True))
    measured = zip(columns["input"], columns["output"], columns["cost"], strict=True)
    sums = {name: sum(filter(None, column)) for name, column in columns.items()}
    sums["calls"] = len(part)
    sums["unpriced"] = columns["cost"].count(None)
    sums["unmetered"] = sum(read is None and written is None and cost != 0 for read, written, cost in measured)
    return [sums[name] for name in _SUMS]
