"""The ledger in a worker: two lines a call, and a bookkeeper that lives."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

from gateway.domain import Call, Record, Route
from gateway.ledger.entries import begun, ended
from gateway.ledger.options import NAME, LedgerOptions
from gateway.ledger.spool import Spool
from gateway.ledger.starting import reaped, start

log = logging.getLogger("gateway.ledger")

_LOOK = 2.0  # seconds between two looks at the bookkeeper and at the spool's size
_LONGEST_REST = 60.0  # seconds before a bookkeeper that fails at once is started again


class Ledger:
    """What the plugin hands its hooks on to.

    A configuration that is replaced still has calls under way, which write their last lines to its
    spool; that is closed when the last of them has ended.
    """

    def __init__(self, options: LedgerOptions):
        self._options = options
        self._spool: Spool | None = None
        self._under_way = 0
        self._counting = threading.Lock()
        self._retired = False
        self._looking: threading.Event | None = None
        self._bookkeeper: int | None = None
        self._started = 0.0
        self._rest = 0.0

    def begin(self, services: Any) -> None:
        """The worker begins to serve. Raises OSError when the spool cannot be made."""
        folder = services.path(self._options.spool)
        self._spool = Spool(folder, self._options.spool_limit)
        self._looking = services.every(_LOOK, lambda: self._look(folder, services.config), "ledger")
        self._spool.open()
        self._look(folder, services.config)

    def end(self) -> None:
        """No further calls begin."""
        if self._looking is not None:
            self._looking.set()
        self._retired = True
        self._count(0)

    def call_begins(self, call: Call, route: Route) -> None:
        """Before an upstream can bill the call."""
        spool = self._spool
        if spool is None or spool.full or NAME in call.notes or not route.candidates:
            return
        row = spool.new_id()
        self._count(1)
        call.notes[NAME] = row
        spool.put(begun(call, route, row))

    def call_ended(self, call: Call, record: Record) -> None:
        """The call's row. One that began is written even when the spool is full: else it would look lost."""
        spool = self._spool
        if spool is None:
            return
        row = call.notes.get(NAME)
        if row is None and spool.full:
            spool.dropped += 1
            return
        spool.put(ended(call, record, row or spool.new_id()))
        self._count(0 if row is None else -1)

    def _count(self, more: int) -> None:
        with self._counting:
            self._under_way += more
            if self._retired and not self._under_way and self._spool is not None:
                self._spool.close()

    def _look(self, folder: Path, config: Path) -> None:
        if self._spool is not None:
            self._spool.look()
        if self._bookkeeper is not None:
            status = reaped(self._bookkeeper)
            if status is None:
                return
            self._bookkeeper = None
            # One that cannot work (a broken configuration, say) has said why; it need not say so all the time.
            self._rest = min(max(self._rest * 2, _LOOK), _LONGEST_REST) if status > 0 else 0.0
        if time.monotonic() - self._started >= self._rest:
            self._bookkeeper = start(folder, config)
            self._started = time.monotonic()
