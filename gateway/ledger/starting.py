"""One bookkeeper a spool, and another one soon after it died."""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

LOCK = "bookkeeper.lock"


def lock(spool: Path) -> int | None:
    """The right to keep the books of *spool*, as a descriptor to hold on to; None if another has it."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(spool / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def is_kept(spool: Path) -> bool:
    """Whether a bookkeeper lives."""
    if not (spool / LOCK).exists():
        return False
    file = lock(spool)
    if file is not None:
        os.close(file)
    return file is None


def start(spool: Path, config: Path) -> int | None:
    """Start a bookkeeper unless one lives; its process id, to be reaped. Raises OSError.

    The lock is taken here and handed over as the new process's standard input, so that no two are
    ever started. posix_spawn, because a fork would copy the page tables of a worker with thousands of
    streams, which all would wait; gevent need not know of it.
    """
    held = lock(spool)
    if held is None:
        return None
    command = [sys.executable, "-m", "gateway", "bookkeeper", "--config", str(config), "--spool", str(spool), "--held"]
    files = [(os.POSIX_SPAWN_DUP2, held, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    try:
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setsid=True)
    finally:
        os.close(held)


def reaped(process: int) -> int | None:
    """The exit status of a child that has ended; None while it lives."""
    with contextlib.suppress(ChildProcessError):
        found, status = os.waitpid(process, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    return 0  # somebody else has looked
