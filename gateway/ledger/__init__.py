"""One row for each call, exactly once, and what can be asked of them.

    worker       a line before the call is sent upstream, a line at its end      worker, entries, spool
    bookkeeper   a process of its own: lines -> rows and the days' sums          bookkeeper, carrying, books
    reports      what `gateway usage`, `gateway ledger` and GET /v1/usage say    reports, reconcile

What workers import of it knows no database.
"""

import importlib
from datetime import UTC, datetime
from typing import Any

from gateway.ledger.options import LedgerOptions
from gateway.ledger.worker import Ledger

__all__ = ["Ledger", "LedgerOptions", "own_usage"]


def own_usage(store: Any, key: str) -> dict[str, Any]:
    """What the key of that name has used today and this month (UTC): see reports.own. Raises StoreAway."""
    # Not before somebody asks: a worker without stored keys has no SQLAlchemy.
    return importlib.import_module("gateway.ledger.reports").own(store, key, datetime.now(UTC))
