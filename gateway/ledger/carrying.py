"""Reads what workers wrote, and knows what was carried on. Nothing of it needs to be remembered: a
bookkeeper that is started anew reads what is left once more, and rows that the store has already are
left as they are.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.json_text import object_of
from gateway.ledger.entries import lost
from gateway.ledger.rows import Row, read_line, row_of
from gateway.ledger.spool import is_alive, segments

log = logging.getLogger("gateway.ledger")

_PIECE = 1 << 20


@dataclass(slots=True)
class _Segment:
    """One file: how far it was read, and whether it will grow."""

    path: Path
    read: int = 0
    whole: bool = False


@dataclass(slots=True)
class Carrying:
    """The lines of one worker of *machine*. ``take`` reads on; what it gave counts as carried on when it is
    called again (so whoever takes keeps trying until the store has it)."""

    folder: Path
    machine: str
    worker: str = field(init=False)
    _segments: dict[Path, _Segment] = field(default_factory=dict)
    _begun: dict[str, tuple[bytes, Path]] = field(default_factory=dict)
    _over: bool = False  # the worker has ended, and nothing is left

    def __post_init__(self) -> None:
        self.worker = self.folder.name

    def take(self, most: int) -> list[Row]:
        """Up to about *most* further rows; also those of calls that can have no end any more."""
        alive = is_alive(self.folder)  # before reading: what a dead worker wrote is all there
        paths = segments(self.folder)
        found: list[Row] = []
        for path in paths:
            segment = self._segments.setdefault(path, _Segment(path))
            if segment.whole:
                continue
            may_grow = alive and path is paths[-1]
            for line in self._lines(segment, may_grow):
                self._note(line, segment, found)
                if len(found) >= most:
                    return found
            segment.whole = not may_grow
        if not alive:
            found += [row_of(lost(object_of(line)), self.machine, self.worker) for line, _ in self._begun.values()]
            self._begun.clear()
            self._over = True
        return found

    def _note(self, line: bytes, segment: _Segment, found: list[Row]) -> None:
        try:
            id, row = read_line(line, self.machine, self.worker)
        except (TypeError, ValueError):
            if line.strip():
                log.error("a line of %s cannot be read; it ends at byte %d", segment.path, segment.read)
            return
        if row is None:
            self._begun[id] = line, segment.path
        elif id:
            self._begun.pop(id, None)
            found.append(row)

    def _lines(self, segment: _Segment, may_grow: bool) -> Iterator[bytes]:
        with contextlib.suppress(FileNotFoundError), segment.path.open("rb") as file:
            file.seek(segment.read)
            while lines := file.readlines(_PIECE):
                for line in lines:
                    if not line.endswith(b"\n") and may_grow:
                        return  # half a line: its writer is at it
                    segment.read += len(line)
                    yield line

    def clear(self) -> bool:
        """Remove the files of which everything is in the store; whether the worker is done with."""
        held = {path for _, path in self._begun.values()}
        for path, segment in list(self._segments.items()):
            if segment.whole and path not in held:
                path.unlink(missing_ok=True)
                del self._segments[path]
        if self._over:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(self.folder)
        return self._over
