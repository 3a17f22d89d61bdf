"""A file of JSON lines of which each holds the hash of the one before: nothing can be changed, taken
out or put in between without its being seen.

All workers write into one chain, in turns (a lock beside the file). Each line ends with ``"prev"``, the
hash of the line before, and ``"hash"``: SHA-256 of the line's own bytes up to there, closed with a brace;
HMAC-SHA-256 where a key is given, so that whoever may write the file cannot chain it anew. A new file (by size, by
day, or because somebody took the old one away) begins with a line that carries the chain on. What is cut off at the
very end cannot be seen by the file alone: keep the last hash elsewhere now and then.
"""

import contextlib
import fcntl
import hashlib
import hmac
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import json_text

GENESIS = "0" * 64
_HASH_AT_END = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n?\Z')
_PATIENCE = 5.0  # seconds for the other workers' lines
_PAUSE = 0.0002
_TAIL = 80  # bytes: enough for a line's hash and its end


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


class ChainBroken(Exception):
    """The file is not what was written: where, and what is wrong."""


class ChainedFile:
    """``append`` entries. *key* makes the hashes HMACs; *clock* gives seconds since 1970."""

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
        self._second, self._date = -1, ""
        self._until = math.inf
        self._last = ""  # the hash of the last line; empty: not known yet

    def append(self, entry: dict[str, Any]) -> None:
        """Write *entry* down, with the time as its ``at``. Raises OSError: nothing was written."""
        with self._one, self._turn():
            now = self._clock()
            self._ready(now)
            self._write(entry, now)

    def close(self) -> None:
        with self._one:
            self._let_go()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """No other worker writes meanwhile. Waited for without stopping this worker's other calls; the kernel
        takes the turn from one that dies. Its file stays for ever, so that all wait at the same one."""
        if self._lock < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another process holds {self.path}.lock") from None
                time.sleep(_PAUSE)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

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
            self._last = _last_hash(older[0]) if older else GENESIS
            after = older[0].name if older else ""
        self._size = 0
        self._until = self._rotation.until(now)
        self._write({"event": "begun", "after": after}, now)

    def _catch_up(self, size: int) -> None:
        """What other workers have written since: the file has *size* bytes."""
        if size == self._size and self._last:
            return
        tail = os.pread(self._file, _TAIL, max(0, size - _TAIL))
        found = _HASH_AT_END.search(tail)
        self._size = size
        if found and tail.endswith(b"\n"):
            self._last = found[1].decode()
        else:
            self._mend(size)

    def _mend(self, size: int) -> None:
        """A worker died while it wrote: its half line is taken out, and a line says so."""
        whole = os.pread(self._file, size, 0)
        end = whole.rfind(b"\n") + 1
        found = _HASH_AT_END.search(whole[:end])
        if end and not found:
            raise OSError(f"{self.path} is no chained file")
        torn = whole[end:]
        os.ftruncate(self._file, end)
        self._size, self._last = end, found[1].decode() if found else GENESIS
        lost = {"event": "mended", "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        self._write(lost, self._clock())

    def _set_aside(self, now: float) -> None:
        name = f"{self.path.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now * 10**9) % 10**9:09}"
        os.rename(self.path, self.path.with_name(name))
        self._let_go()
        self._open(now, name)
        if self._rotation.keep:
            for old in set_aside(self.path)[: -self._rotation.keep]:
                old.unlink(missing_ok=True)

    def _write(self, entry: dict[str, Any], now: float) -> None:
        second = int(now)
        if second != self._second:
            self._second, self._date = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        at = f"{self._date}.{int(now * 1000) % 1000:03}+00:00"
        said = json_text.write({"at": at, **entry, "prev": self._last})
        line_hash = _hash(said, self._key)
        line = b'%b,"hash":"%b"}\n' % (said[:-1], line_hash.encode())
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)  # a full disk must not leave half a line
            raise
        self._size += len(line)
        self._last = line_hash

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file, self._inode = -1, 0


def set_aside(path: Path) -> list[Path]:
    """The files that were set aside of the chain at *path*, oldest first."""
    name = re.compile(re.escape(path.name) + r"\.\d{8}T\d{6}\.\d{9}")
    return sorted(each for each in path.parent.iterdir() if name.fullmatch(each.name))


def _hash(said: bytes, key: bytes) -> str:
    return hmac.new(key, said, "sha256").hexdigest() if key else hashlib.sha256(said).hexdigest()


def _first_time(start: bytes, now: float) -> float:
    """When the file was begun, by its first line; *now* if that cannot be read."""
    try:
        return datetime.fromisoformat(json_text.parse(start.partition(b"\n")[0])["at"]).timestamp()
    except (json_text.NotJson, KeyError, TypeError, ValueError):
        return now


@dataclass(frozen=True, slots=True)
class Verified:
    """What an unbroken chain holds: *first* is the hash before its first line, *last* that of its last."""

    lines: int
    first: str
    last: str


def verify_files(paths: Iterable[Path], key: bytes = b"", passes: str = "") -> Verified:
    """Check the chain through *paths*, in any order. *passes* is a hash that it has to hold.

    Raises ChainBroken, which names file and line, and OSError.
    """
    lines, first, last, passed = 0, "", "", not passes
    for path in _in_order(list(paths)):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                said, own = _read_line(line, f"{path}:{number}", key)
                prev = said.get("prev")
                if last and prev != last:
                    raise ChainBroken(f"{path}:{number}: it does not follow the line before it")
                first, last = first or str(prev), own
                passed = passed or own == passes
                lines += 1
    if not passed:
        raise ChainBroken(f"no line has the hash {passes}")
    return Verified(lines, first, last)


def _read_line(line: bytes, where: str, key: bytes) -> tuple[dict, str]:
    found = _HASH_AT_END.search(line)
    if not found or not line.endswith(b"\n"):
        raise ChainBroken(f"{where}: no whole line")
    said, own = line[: found.start()] + b"}", found[1].decode()
    if not hmac.compare_digest(_hash(said, key), own):
        hint = "it was changed, or the key is another one" if key else "it was changed, or it was hashed with a key"
        raise ChainBroken(f"{where}: {hint}")
    try:
        document = json_text.parse(said)
    except json_text.NotJson as error:
        raise ChainBroken(f"{where}: {error}") from None
    return document, own


def _in_order(paths: list[Path]) -> list[Path]:
    """As their chain goes: each file begins with the hash that another ends with. Those that nobody leads
    to keep the order in which they were given."""
    begins = {path: _prev_of_first(path) for path in paths}
    ends = {_last_hash(path): path for path in paths}
    follower = {ends[prev]: path for path, prev in begins.items() if ends.get(prev, path) != path}
    ordered: list[Path] = []
    for path in [*(p for p in paths if p not in follower.values()), *paths]:
        while path is not None and path not in ordered:
            ordered.append(path)
            path = follower.get(path)
    return ordered


def _prev_of_first(path: Path) -> str:
    with path.open("rb") as file:
        found = re.search(rb',"prev":"([0-9a-f]{64})","hash":"[0-9a-f]{64}"\}\n?\Z', file.readline())
    return found[1].decode() if found else ""


def _last_hash(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        found = _HASH_AT_END.search(file.read())
    return found[1].decode() if found else str(path)
