"""The configuration in force, and how another takes its place."""

import logging
import threading
from pathlib import Path

from gateway.errors import ConfigError
from gateway.last_good import LastGood
from gateway.loading import Gateway, load

log = logging.getLogger("gateway.config")

_LOOK = 1.0  # seconds between two looks at a watched file


class Current:
    """Holds the Gateway that new calls begin with. Calls under way keep theirs."""

    def __init__(self, path: Path, last_good: LastGood | None = None):
        """Raises ConfigError when the file cannot be used and nothing good is known."""
        self.path = path
        self._last_good = last_good or LastGood()
        self._reloading = threading.Lock()
        self._stamp = _stamp(path)
        try:
            self.gateway = self._load()
        except ConfigError as error:
            text = self._last_good.read()
            if not text:
                raise
            log.error("configuration refused, going on with the last good one:\n%s", error)
            self.gateway = load(path, text)

    def _load(self) -> Gateway:
        gateway = load(self.path)
        self._last_good.write(gateway.text)
        for warning in gateway.warnings:
            log.warning("%s", warning)
        return gateway

    def reload(self) -> bool:
        """Put the file's present text in force; False, with the complaints in the log and
        everything as it was, when it cannot be used."""
        with self._reloading:
            try:
                fresh = self._load()
            except ConfigError as error:
                log.error("configuration not reloaded, the old one stays:\n%s", error)
                return False
            old, self.gateway = self.gateway, fresh
            old.transport.close()
            log.info("configuration reloaded: %d channels, %d keys", len(fresh.channels), len(fresh.settings.keys))
            return True

    def watch(self) -> None:
        """Reload whenever the file changes, while it says ``watch: true``; returns at once."""
        threading.Thread(target=self._watch, name="watch-config", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK):
            stamp, before = _stamp(self.path), self._stamp
            self._stamp = stamp
            if stamp != before and self.gateway.settings.watch:
                self.reload()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
