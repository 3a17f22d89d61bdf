"""Whose turn it is among the workers of one machine."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable

from gateway.state.claims import StateAway

_YIELDS = 20  # turns are short: at first look again as soon as this worker's other calls had theirs
_PAUSE = 0.0003
_LOOK = 2.0  # seconds between two looks whether the file is still there


class FileLock:
    """A lock on the file *path* (None: nobody to share with), waited for without stopping the
    process for at most *patience* seconds; the kernel lets go of it when its holder dies. *let_others*
    lets this process's other calls go on."""

    def __init__(self, path: str | None, let_others: Callable[[], None], patience: float):
        self._patience = patience
        self._path = path
        self._let_others = let_others
        self._file = -1
        self._looked = 0.0

    def take(self) -> None:
        """Raises StateAway when it cannot be had in time, OSError when its file cannot be used."""
        if self._path is not None:
            self._wait()

    def give(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _wait(self) -> None:
        began = time.monotonic()
        if began - self._looked > _LOOK:
            self._look(began)
        yields = 0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if yields < _YIELDS:
                    yields += 1
                    self._let_others()
                    continue
                if time.monotonic() - began > self._patience:
                    raise StateAway("the state file is held by another process") from None
                time.sleep(_PAUSE)

    def _look(self, now: float) -> None:
        """Whoever tidies up old files must not take this one, and if it did, all go to the new one."""
        self._looked = now
        with contextlib.suppress(FileNotFoundError):
            if self._file >= 0 and os.stat(self._path).st_ino == os.fstat(self._file).st_ino:
                os.utime(self._file)
                return
        self.close()
        os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._looked = 0.0
