"""The configuration in force, and how another takes its place."""

import atexit
import gc
import logging
import threading
from pathlib import Path
from typing import Any

from gateway.config import without_garbage
from gateway.errors import ConfigError
from gateway.health import BY_HAND, resting_name
from gateway.last_good import LastGood
from gateway.loading import Gateway, load
from gateway.plugin_manager import tell, watch_hooks
from gateway.services import Services
from gateway.timing import add_up, trace, traced

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
        self.services: Services | None = None
        try:
            self.gateway = self._load()
        except ConfigError as error:
            text = self._last_good.read()
            if not text:
                raise
            log.error("configuration refused, going on with the last good one:\n%s", error)
            self.gateway = load(path, text)

    def _load(self, services: Services | None = None) -> Gateway:
        with without_garbage():
            gateway = load(self.path, services=services)
        self._last_good.write(gateway.text)
        for warning in gateway.warnings:
            log.warning("%s", warning)
        return gateway

    def reload(self) -> bool:
        """Put the file's present text in force; False, with the complaints in the log and
        everything as it was, when it cannot be used."""
        with self._reloading:
            try:
                fresh = self._load(self.gateway.services)
            except ConfigError as error:
                log.error("configuration not reloaded, the old one stays:\n%s", error)
                return False
            if self.services is not None:  # before it serves: its limits have to hold from the first call
                _begun(fresh, self.services)
            old, self.gateway = self.gateway, fresh
            gc.unfreeze()  # what the old one leaves is to be found
            _forget_changed(old, fresh)
            if self.services is not None:
                _tell_all(old, "end")
            old.transport.close()
            log.info("configuration reloaded: %d channels, %d keys", len(fresh.channels), len(fresh.settings.keys))
            return True

    def begin(self) -> None:
        """This worker begins to serve: plugins may open what they need. Further calls do nothing, but
        wait until it has begun. Raises ConfigError for a state that can never be opened."""
        if self.services is not None:
            return
        with self._reloading:
            if self.services is not None:
                return
            services = self.gateway.services
            gc.freeze()  # a large configuration is nothing to be looked through while streams wait
            services.begin()
            _begun(self.gateway, services)
            self.services = services
        atexit.register(self.end)

    def end(self) -> None:
        """This worker ends."""
        if self.services is not None:
            services, self.services = self.services, None
            _tell_all(self.gateway, "end")
            services.end()

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


def _forget_changed(old: Gateway, fresh: Gateway) -> None:
    """A channel that leads elsewhere now has a clean record, and so have its keys; but what rests by
    hand does so on. All workers do this; once would do."""
    before, health = {channel.name: channel for channel in old.channels}, fresh.services.health
    if health.all_well:
        return
    for channel in fresh.channels:
        was = before.get(channel.name)
        if was is not None and (was.base_url, was.provider.name, was.settings.proxy) != (
            channel.base_url, channel.provider.name, channel.settings.proxy
        ):  # fmt: skip
            for name in (channel.name, *(resting_name(channel.name, key) for key in channel.keys)):
                notice = health.notice(name)
                if notice is not None and notice.why != BY_HAND:
                    health.wake(name)


def _begun(gateway: Gateway, services: Services) -> None:
    """Tells the plugins, and has their hooks watched by those that asked for it."""
    services.hook_observers.clear()
    services.event_observers.clear()
    services.warning_observers.clear()
    _tell_all(gateway, "begin", services=services)
    shown = bool(gateway.settings.store) or any(key and key.show_timing for key in gateway.settings.keys)
    own = [observer for observer, wanted in ((add_up, shown), (trace, traced())) if wanted]
    for observer in services.hook_observers + own:
        watch_hooks([*gateway.plugins.gateway, *gateway.plugins.providers], observer)


def _tell_all(gateway: Gateway, hook: str, **arguments: Any) -> None:
    for plugin in [*gateway.plugins.gateway, *gateway.plugins.providers]:
        if hook in plugin.hooks:
            tell(plugin, hook, **arguments)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
