"""What code touches beside its arguments: sockets, files, processes, the clock.

Python's audit events see it all, also what extension modules do. An audit hook cannot be taken out
again, so there is one for the process, which looks only while a Guard is open.
"""

import contextlib
import datetime
import ipaddress
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_NETWORK = frozenset("socket.connect socket.sendto socket.sendmsg socket.getaddrinfo socket.gethostbyname".split())
_PROCESSES = frozenset("subprocess.Popen os.system os.posix_spawn os.exec os.fork".split())
_AHEAD = 90061.25  # seconds: a day, an hour, a minute, a second and a bit
_open: list["Guard"] = []
_own = threading.local()  # of each thread: the list to note in, while it must be pure
_installed = threading.Lock()


class Guard:
    """While it is open, connections leave for ``allowed`` (host, port) only; ``blocked`` names the others."""

    _hooked = False

    def __init__(self) -> None:
        self.allowed: set[tuple[str, int]] = set()
        self.blocked: list[str] = []

    def __enter__(self) -> "Guard":
        with _installed:
            if not Guard._hooked:
                sys.addaudithook(_watch)
                Guard._hooked = True
        _open.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _open.remove(self)

    def check(self, event: str, arguments: tuple) -> None:
        """Raises PermissionError for a connection to elsewhere."""
        host, port = _target(event, arguments)
        if (host, port) in self.allowed or (port is None and _is_address(host)):
            return  # looking up what is an address already asks nobody
        self.blocked.append(host if port is None else f"{host}:{port}")
        raise PermissionError(f"gateway plugin check lets nothing out to {self.blocked[-1]}")


@contextlib.contextmanager
def touched() -> Iterator[list[str]]:
    """What this thread touches meanwhile, in words: files, sockets, processes."""
    _own.notes = notes = []
    try:
        yield notes
    finally:
        _own.notes = None


@contextlib.contextmanager
def another_time(function: Callable[..., Any]) -> Iterator[None]:
    """Let *function*'s module, and ``time``, see a clock that is _AHEAD."""
    function = getattr(function, "__func__", function)
    shifted = _shifted()
    names = function.__globals__
    kept = {name: value for name, value in names.items() if _replaced(value, shifted) is not None}
    clocks = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")}
    nanos = {name: getattr(time, name) for name in ("time_ns", "monotonic_ns", "perf_counter_ns")}
    names.update({name: _replaced(value, shifted) for name, value in kept.items()})
    for name, clock in clocks.items():
        setattr(time, name, lambda clock=clock: clock() + _AHEAD)
    for name, clock in nanos.items():
        setattr(time, name, lambda clock=clock: clock() + int(_AHEAD * 1e9))
    try:
        yield
    finally:
        names.update(kept)
        for name, clock in {**clocks, **nanos}.items():
            setattr(time, name, clock)


def _watch(event: str, arguments: tuple) -> None:
    notes = getattr(_own, "notes", None)
    if notes is not None:
        if event == "open":
            notes.append(f"opens {str(arguments[0])!r}")
        elif event in _PROCESSES or event in _NETWORK or event == "socket.__new__":
            notes.append(event)
    if _open and event in _NETWORK:
        for guard in list(_open):
            guard.check(event, arguments)


def _target(event: str, arguments: tuple) -> tuple[str, int | None]:
    """(host, port) of a network event; the port is None for a look-up."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return str(arguments[0]), None
    address = arguments[1]
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else (str(address), 0)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host)) or True
    return False


def _shifted() -> dict[type, type]:
    ahead = datetime.timedelta(seconds=_AHEAD)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + ahead

        @classmethod
        def today(cls) -> datetime.datetime:
            return datetime.datetime.now() + ahead

    class LaterDate(datetime.date):
        @classmethod
        def today(cls) -> datetime.date:
            return (datetime.datetime.now() + ahead).date()

    return {datetime.datetime: Later, datetime.date: LaterDate}


def _replaced(value: Any, shifted: dict[type, type]) -> Any:
    """What stands in for a name of the module; None for one that has nothing to do with time. A
    clock that was imported by name is one of ``time``'s own."""
    if value is datetime:
        other = ModuleType("datetime")
        other.__dict__.update(vars(datetime))
        other.datetime, other.date = shifted[datetime.datetime], shifted[datetime.date]
        return other
    if isinstance(value, type):
        return shifted.get(value)
    if getattr(value, "__module__", None) == "time" and value in (time.time, time.monotonic, time.time_ns):
        ahead = int(_AHEAD * 1e9) if value is time.time_ns else _AHEAD
        return lambda: value() + ahead
    return None
