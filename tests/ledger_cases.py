"""Lines and stores for the tests of the ledger."""

import itertools

from gateway.ledger.books import days_of
from gateway.ledger.rows import COLUMNS
from gateway.store import open_store
from gateway.store.tables import calls, days

AT = 1_795_000_000_000_000  # 2026-11-18, in microseconds
DAY = 86_400 * 10**6
NUMBERS = itertools.count(1)
KINDS = ("sqlite", "postgresql")


def entry(**members):
    """The last line of a call."""
    return {
        "id": f"row-{next(NUMBERS)}", "request_id": "req", "at": AT, "key": "alice", "team": "search",
        "channel": "main", "provider": "openai", "public_model": "gpt", "upstream_model": "gpt-1", "dialect": "chat",
        "operation": "generate", "status": 200, "outcome": "complete", "error": "", "attempts": 1,
        "tried": [["main", 0, "ok", 1.5]], "input": 10, "output": 5, "source": "upstream", "cost": 1000, "queued": 0,
        "first_event": 400, "total": 1500, "bytes_out": 99,
    } | members  # fmt: skip


def store_at(kind, folder, server):
    """A new store of that kind, ready to be used; *server()* gives a Postgres."""
    if kind == "sqlite":
        return open_store("sqlite:///ledger.db", folder)
    store = open_store(server().new_database(f"ledger{next(NUMBERS)}"), folder)
    store.upgrade()
    return store


def rows_of(store):
    """What the ledger has: id -> row."""
    with store.read() as connection:
        return {row["id"]: dict(row) for row in connection.execute(calls.select()).mappings()}


def days_in(store):
    """The days' sums as they stand, in the order of their key."""
    with store.read() as connection:
        rows = connection.execute(days.select().order_by(*days.primary_key.columns)).mappings()
        return [dict(row) for row in rows]


def sums_of(rows):
    """The days' sums of what ``rows_of`` gave, as ``days_in`` gives them."""
    sums = days_of([tuple(row[name] for name in COLUMNS) for row in rows])
    return [dict(zip(days.columns.keys(), one, strict=True)) for one in sums]
