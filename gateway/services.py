"""What a worker keeps for as long as it lives, whatever its configuration: the shared state, what it
knows of its channels, and work that is done now and then.

Nothing is opened before it is needed, so that a gateway without limits touches no state, and the
command line may load a configuration without any of it.
"""

import importlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.health import LOOK, Health
from gateway.routing.bearings import Bearings
from gateway.state import BEAT, State, StateAway, default_url, open_state

log = logging.getLogger("gateway.services")

HookObserver = Callable[[str, str, float, bool, Any], None]
EventObserver = Callable[[float], None]
WarningObserver = Callable[[dict[str, Any]], None]


class Services:
    """Handed to plugins by ``begin``. ``folder`` is that of the configuration file. Unless *shared*
    the state is this process's own: whoever loads a configuration only to look at it must leave no trace."""

    def __init__(
        self, config: Path, state_url: str | None = None, store_url: str | None = None, shared: bool = False
    ):  # fmt: skip
        self.folder = config.resolve().parent
        self.shared = shared
        self.config = config
        self._state_url = state_url
        self._opening = threading.Lock()
        self._state: State | None = None
        self._store_url = store_url
        self._store: Any = None
        self._stopping: list[threading.Event] = []
        self.health = Health(lambda: self.state)
        self.bearings = Bearings()
        self.prices: Any = None  # those of the configuration in force
        self.hook_observers: list[HookObserver] = []  # those of the configuration that begins
        self.event_observers: list[EventObserver] = []  # likewise
        self.warning_observers: list[WarningObserver] = []  # likewise
        self._kept: dict[str, Any] = {}
        self.spool: Callable[[], int] | None = None

    @property
    def state(self) -> State:
        """What all workers agree on. Opened at first use; raises StateAway when it cannot be."""
        if self._state is None:
            with self._opening:
                if self._state is None:
                    self._state = self._open()
        return self._state

    def _open(self) -> State:
        if not self.shared:
            return open_state("memory://", self.folder)
        return open_state(self._state_url or default_url(self.config), self.folder)

    @property
    def store(self) -> Any:
        """The database of keys and ledger (store.Store), opened at first use; None without ``store:``.
        Raises ConfigError without its extra, StoreAway."""
        if self._store is None and self._store_url:
            with self._opening:
                if self._store is None:
                    self._store = _open_store(self._store_url, self.folder)
        return self._store

    def begin(self) -> None:
        """This worker serves from now on: what it does and finds out is shared with the others. Raises
        ConfigError for a state that can never be opened."""
        self.shared = True
        if self._state is not None:  # somebody looked before: what was opened for that is not shared
            self._state.close()
            self._state = None
        try:
            _ = self.state
        except StateAway as error:  # it may come yet
            log.error("%s", error)
        self.every(LOOK, self.health.look, "health")
        self.every(BEAT, self._beat, "heartbeat")

    def _beat(self) -> None:
        if self._state is not None:
            self._state.beat()

    def path(self, name: str) -> Path:
        """The file *name* of a setting: as it is if absolute, else beside the configuration."""
        return self.folder / name

    def every(self, seconds: float, work: Callable[[], object], name: str) -> threading.Event:
        """Call *work* every *seconds* in a thread of its own (a greenlet, under gevent) until the
        returned event is set or the services end; what it raises is logged (once, if it goes on so)."""
        stop = threading.Event()
        self._stopping.append(stop)

        def run() -> None:
            said = ""
            while not stop.wait(seconds):
                try:
                    work()
                    said = ""
                except Exception as error:  # told once: some of this is done several times a second
                    if str(error) != said:
                        said = str(error)
                        log.error("%s: %s", name, error)

        threading.Thread(target=run, name=name, daemon=True).start()
        return stop

    def watch_hooks(self, observer: "HookObserver") -> None:
        """In ``begin``: have *observer(plugin, hook, seconds, failed, call)* told each time a hook is
        called; *call* may be None."""
        self.hook_observers.append(observer)

    def watch_events(self, observer: "EventObserver") -> None:
        """In ``begin``: have *observer(seconds)* told, of one streamed event in so many, how long the
        gateway had it: from its being read until the client's socket had taken it."""
        self.event_observers.append(observer)

    def watch_warnings(self, observer: "WarningObserver") -> None:
        """In ``begin``: have *observer(document)* told, as JSON has it, of what somebody should know that no
        call's end tells: a budget that passed a threshold. ``event`` says what, ``text`` in words."""
        self.warning_observers.append(observer)

    def warn(self, document: dict[str, Any]) -> None:
        """Tell those that watch warnings."""
        for observer in self.warning_observers:
            observer(document)

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """What a plugin wants to have again after a reload: made at the first call in this worker."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def claim_once(self, name: str) -> bool:
        """Whether this worker, of all, is to do what one has to do at the start."""
        try:
            return self.state.claim(f"once:{name}:{os.getppid()}", 86400)
        except StateAway:
            return False

    def spooled_bytes(self) -> int | None:
        """How much waits to be carried to the ledger; None without one."""
        return self.spool() if self.spool is not None else None

    def end(self) -> None:
        """Stop everything, and give back what this worker holds."""
        for stop in self._stopping:
            stop.set()
        if self._state is not None:
            self._state.close()
            self._state = None
        if self._store is not None:
            self._store.close()
            self._store = None


def _open_store(url: str, folder: Path) -> Any:
    try:
        door = importlib.import_module("gateway.store.database")
    except ImportError:
        raise ConfigError(["store: it needs an extra: pip install 'llm-gateway[store]'"]) from None
    return door.open_store(url, folder)
