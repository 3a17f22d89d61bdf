"""The one process of a machine that carries what workers wrote into the store.

Apart from the workers, because a commit waits for a disk or a network, and a worker's streams would
wait with it; the workers do not even import what talks to databases.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import GatewayError
from gateway.ledger.books import enter
from gateway.ledger.carrying import Carrying
from gateway.ledger.rows import COLUMNS, Row
from gateway.ledger.spool import clear_away, is_alive, workers
from gateway.store import StoreAway
from gateway.store.database import Store

log = logging.getLogger("gateway.ledger")

REJECTED = "rejected.jsonl"

_BATCH = 2000  # rows of one transaction
_LONGEST_REST = 5.0  # seconds between two tries while the store is away
_LINGER = 3.0  # seconds without a living worker after which it ends
_LINGER_AWAY = 60.0  # the same with lines left, which then wait for the next start


class Bookkeeper:
    """Carries the lines of *spool* into *store*, every *interval* seconds."""

    def __init__(self, spool: Path, store: Store, interval: float, clock: Callable[[], float] = time.monotonic):
        self._spool = spool
        self._store = store
        self._interval = interval
        self._clock = clock
        self._machine = socket.gethostname()
        self._carried: dict[str, Carrying] = {}
        self._rows: list[Row] = []  # not in the store yet
        self._said = ""

    def turn(self) -> None:
        """Carry everything on that is there. Raises StoreAway (or another GatewayError of the
        store's); the next turn begins with what could not be stored."""
        while True:
            self._rows = self._rows or self._gathered()
            whole = len(self._rows) >= _BATCH
            if self._rows:
                self._put_aside(enter(self._store, self._rows))
                self._rows = []
            self._carried = {name: one for name, one in self._carried.items() if not one.clear()}
            if not whole:
                return

    def _gathered(self) -> list[Row]:
        rows: list[Row] = []
        for folder in workers(self._spool):
            carrying = self._carried.setdefault(folder.name, Carrying(folder, self._machine))
            rows += carrying.take(_BATCH - len(rows))
            if len(rows) >= _BATCH:
                break
        return rows

    def _put_aside(self, rejected: list[Row]) -> None:
        if rejected:
            with (self._spool / REJECTED).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rejected)

    def run(self, ending: threading.Event, fresh: Callable[[], bool]) -> None:
        """Until *ending* is set, the configuration is no longer *fresh*, or nobody needs it."""
        rest, lived = self._interval, self._clock()
        while True:
            done = ending.is_set() or not fresh()
            rest = self._interval if self._tried() else min(rest * 2, _LONGEST_REST)
            clear_away(self._spool)
            folders = workers(self._spool)
            now = self._clock()
            if any(map(is_alive, folders)):
                lived = now
            if done or now - lived > (_LINGER_AWAY if folders else _LINGER):
                return
            ending.wait(rest)

    def _tried(self) -> bool:
        try:
            self.turn()
        except GatewayError as error:
            said = error.reason if isinstance(error, StoreAway) else str(error)
            if said != self._said:
                log.error("the ledger waits for its database: %s", said)
            self._said = said
            return False
        if self._said:
            log.warning("the ledger has its database again")
            self._said = ""
        return True
