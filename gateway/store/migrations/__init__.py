"""How the schema came to be, step by step. A step that was ever released is not changed any more.

Each step is a module with ``NAME`` and ``STATEMENTS``: SQL that SQLite and PostgreSQL both take.
"""

import time

from sqlalchemy import Connection, inspect, select

from gateway import __version__
from gateway.store import StoreAway
from gateway.store.migrations import m0001_first, m0002_usual_report
from gateway.store.tables import metadata, schema_version

STEPS = (m0001_first, m0002_usual_report)
NEWEST = len(STEPS)
_LOCK = 4_715_219_001  # PostgreSQL's advisory lock: any number that nobody else uses


class SchemaDiffers(StoreAway):
    """The schema is older than this gateway needs, or newer than it knows."""


def version_of(connection: Connection) -> int:
    """The schema's version; 0 where there is none."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    query = select(schema_version.c.version).order_by(schema_version.c.version.desc()).limit(1)
    return connection.execute(query).scalar() or 0


def check(found: int) -> None:
    """Raises SchemaDiffers unless *found* is the version that this gateway knows."""
    if found < NEWEST:
        what = "is empty" if not found else f"has schema version {found}, this gateway needs {NEWEST}"
        raise SchemaDiffers(f"the database {what}; run: gateway db upgrade")
    if found > NEWEST:
        raise SchemaDiffers(
            f"the database has schema version {found}, this gateway ({__version__}) knows {NEWEST}; use a newer one"
        )


def flaws(connection: Connection) -> list[str]:
    """Tables, columns and indexes of tables.py that the database lacks."""
    found, there = [], inspect(connection)
    for table in metadata.sorted_tables:
        if not there.has_table(table.name):
            found.append(f"table {table.name} is missing")
            continue
        columns = {column["name"] for column in there.get_columns(table.name)}
        indexes = {index["name"] for index in there.get_indexes(table.name)}
        found += [f"table {table.name}: column {c.name} is missing" for c in table.columns if c.name not in columns]
        found += [f"index {index.name} is missing" for index in table.indexes if index.name not in indexes]
    return found


def upgrade(connection: Connection) -> tuple[int, int]:
    """Do all missing steps in the transaction that *connection* is in: (version before, version now).
    Who comes at the same time waits, and finds nothing left to do. Raises SchemaDiffers for a
    schema that is newer."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    found = version_of(connection)
    if found > NEWEST:
        check(found)
    for number, step in enumerate(STEPS[found:], found + 1):
        for statement in step.STATEMENTS:
            connection.exec_driver_sql(statement)
        done = {"version": number, "name": step.NAME, "at": time.time_ns() // 1000, "release": __version__}
        connection.execute(schema_version.insert().values(done))
    return found, NEWEST
