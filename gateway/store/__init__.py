"""The database of what has to last: client keys, teams and the ledger. SQLite in one file, or PostgreSQL.

This module imports no SQLAlchemy: a gateway without a store does not need it installed.
"""

import importlib
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, GatewayError


class StoreAway(GatewayError):
    """The store cannot be asked now. ``reason`` is for the log and the command line; clients are
    told no more than the message."""

    status = 503
    code = "store_unavailable"

    def __init__(self, reason: str):
        super().__init__("the gateway's database cannot be asked now", retry_after=1)
        self.reason = reason


def open_store(url: str, folder: Path) -> Any:
    """The Store (store.database) at *url*: ``sqlite:///path``, a relative one from *folder*, or
    ``postgresql+psycopg://user:password@host/name``. Nothing is connected before it is used. Raises
    ConfigError for another form, and when a library is missing."""
    try:
        door = importlib.import_module("gateway.store.database")
    except ImportError:
        raise ConfigError(["store: it needs an extra: pip install 'llm-gateway[store]'"]) from None
    return door.open_store(url, folder)
