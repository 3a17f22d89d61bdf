"""A file of JSON lines of which each holds the hash of the one before: nothing can be changed, taken
out or put in between without its being seen (``chain_check`` looks).

All workers write into one chain, in turns (a lock beside the file). Each line ends with ``"prev"``, the
hash of the line before, and ``"hash"``: SHA-256 of the line's own bytes up to there, closed with a brace;
HMAC-SHA-256 where a key is given, so that whoever may write the file cannot chain it anew. A new file (by size, by
day, or because somebody took the old one away) begins with a line that carries the chain on. What is cut off at the
very end cannot be seen by the file alone: keep the last hash elsewhere now and then.

A turn costs more than a line. So a line that nothing depends on (``put``) waits for the next that has to be
written at once (``append``), or for ``flush``.
"""

import fcntl
import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import json_text
from gateway.policies.chain_links import GENESIS, TAIL, hash_at_end, hash_of, last_hash, set_aside

_PATIENCE = 5.0  # seconds for the other workers' lines
_PAUSE = 0.0002
_MANY = 256 * 1024  # bytes that wait for no other line
_MOST = 16 * 1024 * 1024  # bytes that wait for a file which cannot be written


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is set aside: at *size* bytes, and with each *per* (``day``, ``hour`` or ``never``, UTC).
    *keep* of those set aside stay; 0: all."""

    size: int = 100 * 10**6
    per: str = "day"
    keep: int = 0

    def until(self, begun: float) -> float:
        """When a file that was begun then has had its time."""
        seconds = {"day": 86400, "hour": 3600}.get(self.per)
        return (begun // seconds + 1) * seconds if seconds else math.inf


class ChainedFile:
    """*key* makes the hashes HMACs; *clock* gives seconds since 1970. An entry's line has the time at which it
    was given as its ``at``."""

    def __init__(self, path: Path, rotation: Rotation, key: bytes = b"", clock: Callable[[], float] = time.time):
        self.path = path
        self._name = str(path)
        self._rotation = rotation
        self._key = key
        self._clock = clock
        self._one = threading.Lock()
        self._lock = -1
        self._file = -1
        self._inode = 0
        self._size = 0
        self._until = math.inf
        self._last = ""  # the hash of the last line; empty: not known yet
        self._second = 0, ""
        self._waiting: list[bytes] = []
        self._held = 0  # bytes that wait
        self._lost = 0

    def append(self, entry: dict[str, Any]) -> None:
        """Write *entry* down, behind what waits. Raises OSError: it was not written, and what waits still does."""
        now = self._clock()
        self._carry(now, [self._said(entry, now)])

    def put(self, entry: dict[str, Any]) -> None:
        """Have *entry* written with the next that is appended, or by ``flush``. With more waiting than a file that
        can be written ever lets, it is lost, and a line will say so. Raises OSError: it waits on."""
        now = self._clock()
        said = self._said(entry, now)
        with self._one:
            if self._held + len(said) > _MOST:
                self._lost += 1
                return
            self._waiting.append(said)
            self._held += len(said)
        if self._held > _MANY:
            self._carry(now)

    def flush(self) -> None:
        """Write what waits. Raises OSError: it waits on."""
        if self._waiting:
            self._carry(self._clock())

    def close(self) -> None:
        """Writes what waits, if that can be."""
        try:
            self.flush()
        finally:
            with self._one:
                self._let_go()
                if self._lock >= 0:
                    os.close(self._lock)
                    self._lock = -1

    def _carry(self, now: float, more: Sequence[bytes] = ()) -> None:
        """What waits and then *more*, into the file that *now* belongs to."""
        with self._one:
            self._take_turn()
            try:
                self._ready(now)
                lost = [self._said({"event": "lost", "lines": self._lost}, now)] if self._lost else []
                self._write([*self._waiting, *lost, *more])
                self._waiting, self._held, self._lost = [], 0, 0
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take_turn(self) -> None:
        """No other worker writes from now on. Waited for without stopping this worker's other calls; the kernel
        takes the turn from one that dies. Its file stays for ever, so that all wait at the same one."""
        if self._lock < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = 0.0
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                end = end or now + _PATIENCE
                if now > end:
                    raise TimeoutError(f"another process holds {self.path}.lock") from None
                time.sleep(_PAUSE)

    def _ready(self, now: float) -> None:
        """The file is open, its last hash known, and it is the one that *now* belongs to."""
        try:
            there = os.stat(self._name)
        except FileNotFoundError:
            there = None
        if self._file < 0 or there is None or there.st_ino != self._inode:
            if self._file >= 0:  # another worker set it aside, or somebody took it
                self._catch_up(os.fstat(self._file).st_size)
                self._let_go()
            self._open(now, "")
            self._catch_up(os.fstat(self._file).st_size)
        else:
            self._catch_up(there.st_size)
        if self._size > self._rotation.size or now >= self._until:
            self._set_aside(now)

    def _open(self, now: float, after: str) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._inode = os.fstat(self._file).st_ino
        if os.fstat(self._file).st_size:
            self._last = ""  # what stands there counts, whatever was known
            self._until = self._rotation.until(_first_time(os.pread(self._file, 4096, 0), now))
            return
        if not self._last:  # whoever set the last one aside may have died over it
            older = set_aside(self.path)[-1:]
            self._last = last_hash(older[0]) if older else GENESIS
            after = older[0].name if older else ""
        self._size = 0
        self._until = self._rotation.until(now)
        self._write([self._said({"event": "begun", "after": after}, now)])

    def _catch_up(self, size: int) -> None:
        """What other workers have written since: the file has *size* bytes."""
        if size == self._size and self._last:
            return
        tail = os.pread(self._file, TAIL, max(0, size - TAIL))
        found = hash_at_end(tail)
        self._size = size
        if found and tail.endswith(b"\n"):
            self._last = found
        else:
            self._mend(size)

    def _mend(self, size: int) -> None:
        """A worker died while it wrote: its half line is taken out, and a line says so."""
        whole = os.pread(self._file, size, 0)
        end = whole.rfind(b"\n") + 1
        found = hash_at_end(whole[:end])
        if end and not found:
            raise OSError(f"{self.path} is no chained file")
        torn = whole[end:]
        os.ftruncate(self._file, end)
        self._size, self._last = end, found or GENESIS
        lost = {"event": "mended", "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        self._write([self._said(lost, self._clock())])

    def _set_aside(self, now: float) -> None:
        name = f"{self.path.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now * 10**9) % 10**9:09}"
        os.rename(self.path, self.path.with_name(name))
        self._let_go()
        self._open(now, name)
        if self._rotation.keep:
            for old in set_aside(self.path)[: -self._rotation.keep]:
                old.unlink(missing_ok=True)

    def _write(self, entries: Sequence[bytes]) -> None:
        lines, last = [], self._last
        for said in entries:
            said = b'%b,"prev":"%b"}' % (said[:-1], last.encode())
            last = hash_of(said, self._key)
            lines.append(b'%b,"hash":"%b"}\n' % (said[:-1], last.encode()))
        text = b"".join(lines)
        try:
            written = os.write(self._file, text)
            while written < len(text):
                written += os.write(self._file, text[written:])
        except OSError:
            os.ftruncate(self._file, self._size)  # a full disk must not leave half a line
            raise
        self._size += len(text)
        self._last = last

    def _said(self, entry: dict[str, Any], now: float) -> bytes:
        second, date = self._second
        if second != int(now):
            second, date = self._second = int(now), time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        return json_text.write({"at": f"{date}.{int((now - second) * 1000):03}+00:00", **entry})

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file, self._inode = -1, 0


def _first_time(start: bytes, now: float) -> float:
    """When the file was begun, by its first line; *now* if that cannot be read."""
    try:
        return datetime.fromisoformat(json_text.parse(start.partition(b"\n")[0])["at"]).timestamp()
    except (json_text.NotJson, KeyError, TypeError, ValueError):
        return now
