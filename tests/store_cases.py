"""Stores for tests: in a file, and in one PostgreSQL that all tests of a run share."""

import atexit
import functools
import itertools
import tempfile
from pathlib import Path

from gateway.store import open_store
from tests.state_servers import Postgres

KINDS = ("sqlite", "postgres")
_numbers = itertools.count()


@functools.cache
def postgres():
    """Started when first asked for."""
    server = Postgres(tempfile.mkdtemp(prefix="store-"))
    atexit.register(server.stop)
    return server


def url_of(kind):
    """Where a new, empty store of that kind is; a file's is relative."""
    if kind == "sqlite":
        return f"sqlite:///var/store{next(_numbers)}.db"
    server = postgres()
    server.ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public")  # quicker than a database for each test
    return server.url


def opened(kind, folder):
    """A new store, up to date."""
    store = open_store(url_of(kind), Path(folder))
    store.upgrade()
    return store
