"""``gateway bookkeeper``"""

import contextlib
import logging
import os
import signal
import threading
from pathlib import Path

import click

from gateway.commands import config_option, found_config
from gateway.errors import ConfigError
from gateway.ledger.bookkeeper import Bookkeeper
from gateway.ledger.options import Configured, read_configured
from gateway.ledger.starting import lock
from gateway.store import open_store

log = logging.getLogger("gateway.ledger")


@click.command("bookkeeper")
@config_option
@click.option("--spool", type=click.Path(path_type=Path), help="Folder of the spool instead of the configured one.")
@click.option("--held", is_flag=True, hidden=True, help="Standard input is the spool's lock, taken already.")
def command(config: Path | None, spool: Path | None, held: bool) -> None:
    """Carry what calls came to from the spool into the store.

    Workers start it by themselves, and again when it died; it ends when none of them has lived for a
    few seconds and everything is in the store. SIGTERM: once more, then the end.

    Example: gateway bookkeeper --config conf/gateway.yaml
    """
    path = found_config(config).absolute()
    configured = read_configured(path)
    spool = spool or configured.spool
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anybody can see that it lives
        signal.signal(number, lambda *_: ending.set())
    right = 0 if held else lock(spool)  # kept until the process ends
    if right is None:
        log.info("another bookkeeper keeps the books of %s", spool)
        return
    with contextlib.suppress(OSError):  # a sandbox may forbid it; the books are kept all the same
        os.nice(5)  # streams come first
    store = open_store(configured.store.reveal(), configured.folder)
    Bookkeeper(spool, store, configured.options.interval).run(ending, _Freshness(path, configured))
    store.close()


class _Freshness:
    """Whether the file still says what this process works with. One that cannot be used changes nothing."""

    def __init__(self, path: Path, configured: Configured):
        self._path = path
        self._known = _essence(configured)
        self._stamp = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def __call__(self) -> bool:
        stamp = self._look()
        if stamp in (None, self._stamp):
            return True
        self._stamp = stamp
        try:
            return _essence(read_configured(self._path)) == self._known
        except ConfigError:
            return True


def _essence(configured: Configured) -> tuple[str, float]:
    return configured.store.reveal(), configured.options.interval
