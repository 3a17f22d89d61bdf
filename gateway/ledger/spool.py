"""A worker's own file of what its calls came to, on its way to the ledger.

Every line is one write to a file opened for appending: from then on it is the kernel's, and a worker
that is killed loses none. Nobody waits for a disk, a database or another worker.

    <spool>/<worker>/000001.jsonl     lines, oldest first; the highest number is being written
    <spool>/bookkeeper.lock           held by the one process that carries the lines on

A worker holds its folder under a lock for as long as it lives (the kernel takes it back however the
worker ends): who can take that lock knows that no line will follow.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from gateway import json_text

log = logging.getLogger("gateway.ledger")

SEGMENT = 4 << 20  # bytes of one file, after which the next is begun: what was carried on can be removed
_NEW = "."  # begins the name of a folder that is not locked yet
_NAMELESS = 60.0  # seconds for which a folder may be without its name


class Spool:
    """Where one worker writes. Made in the worker, behind the fork; opened by its first line at the latest.

    Over *limit* bytes in the whole of *folder* nothing is begun any more (``full``), and what is
    lost so is counted in ``dropped``: a client never waits, and never hears of it.
    """

    def __init__(self, folder: Path, limit: int, segment: int = SEGMENT):
        self.folder = folder
        self.full = False
        self.dropped = 0
        self._worker = ""
        self._limit = limit
        self._segment = segment
        self._writing = threading.Lock()  # gthread: no file is exchanged while another thread writes to it
        self._rows = f"{int(time.time()):x}-{secrets.token_hex(6)}"
        self._numbers = itertools.count(1)
        self._lock = self._file = -1
        self._size = self._number = 0
        self._torn = False

    def open(self) -> None:
        """Be known as a living worker. Raises OSError."""
        with self._writing:
            if self._file < 0:
                self._open()

    def _open(self) -> None:
        self._worker = f"{int(time.time()):x}-{os.getpid()}-{secrets.token_hex(4)}"
        self._number = 0
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.folder / (_NEW + self._worker)
        new.mkdir(mode=0o700)
        self._lock = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        # Locked before it has its name: nobody ever sees it unlocked while its worker lives.
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(self.folder / self._worker)
        self._next_segment()

    def _next_segment(self) -> None:
        path = _segment(self.folder / self._worker, self._number + 1)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._torn = file, 0, False
        self._number += 1

    def new_id(self) -> str:
        """A row's id: no other row of any worker has it, whatever ids clients give their requests."""
        return f"{self._rows}-{next(self._numbers):x}"

    def put(self, entry: dict[str, Any]) -> bool:
        """Write a line; whether it is written (else it is counted in ``dropped``)."""
        line = json_text.write(entry) + b"\n"
        try:
            with self._writing:
                if self._file < 0:
                    self._open()
                self._put(line)
        except OSError as error:
            if not self.dropped:
                log.error("the ledger's spool %s cannot be written: %s", self.folder, error.strerror)
            self.dropped += 1
            return False
        return True

    def _put(self, line: bytes) -> None:
        if self._torn:  # the disk was full within a line: that one is lost, this one must not be
            line = b"\n" + line
        written = os.write(self._file, line)
        self._torn = written < len(line)
        if self._torn:
            self.dropped += 1
        self._size += written
        if self._size >= self._segment:
            with contextlib.suppress(OSError):  # this one will do until there is room
                self._next_segment()

    def look(self) -> None:
        """Now and then: see how full the folder is, and say what was dropped. A file that somebody
        removed is no place to write to."""
        if self._file >= 0 and not os.fstat(self._file).st_nlink:
            log.error("the ledger's spool %s was removed; what was in it may be LOST", self.folder)
            self.close()
            self.open()
        self.full = size_of(self.folder) > self._limit
        dropped, self.dropped = self.dropped, 0
        if dropped:
            log.error("the ledger LOST %d lines: its spool %s is full or cannot be written", dropped, self.folder)

    def close(self) -> None:
        """No line follows. A further one opens another folder."""
        with self._writing:
            if self._file >= 0:
                os.close(self._file)
                os.close(self._lock)
                self._file = self._lock = -1


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.jsonl"


def segments(worker: Path) -> list[Path]:
    """The files of one worker, oldest first. Only the last may still be written to."""
    return sorted(worker.glob("*.jsonl"))


def size_of(spool: Path) -> int:
    """Bytes of all lines that were not carried on yet (or not removed, up to a segment a worker)."""
    size = 0
    for worker in workers(spool):
        for path in segments(worker):
            with contextlib.suppress(FileNotFoundError):  # the bookkeeper removes what it has carried on
                size += path.stat().st_size
    return size


def workers(spool: Path) -> list[Path]:
    """The folders of all workers, dead ones included, oldest first."""
    try:
        return sorted(path for path in spool.iterdir() if not path.name.startswith(_NEW) and path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_alive(worker: Path) -> bool:
    """Whether the worker of that folder may still write to it."""
    try:
        folder = os.open(worker, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def clear_away(spool: Path) -> None:
    """Remove the nameless folders of workers that were killed while they made them."""
    for path in spool.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _NAMELESS and not is_alive(path):
                path.rmdir()
