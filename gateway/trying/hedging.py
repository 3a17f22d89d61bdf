"""A second channel is asked, too, when the first takes long (`routing.hedge_after`): whoever answers
first serves the call, the other is hung up on.

Only for whole replies, where nothing shows that a channel is at work. Both may be billed. There is
no thread: each of the two waits for a moment in turn.
"""

import inspect
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from gateway.attempt.patience import FOREVER, Patience
from gateway.departures import Watch

_SLICE = 0.01  # seconds each of the two waits before it is the other's turn

Run = Generator[None, None, Any]


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Runner:
    """One of the two: what it runs, and the patience that it waits by. ``unused`` gives back what it
    holds if it never gets to run (a generator that was not begun skips its ``finally``)."""

    run: Run
    patience: Patience
    unused: Callable[[], None] = _nothing

    def close(self) -> None:
        if inspect.getgeneratorstate(self.run) == inspect.GEN_CREATED:
            self.unused()
        self.run.close()


class SharedWatch:
    """A client's Watch, as one of those that work for it at once sees it. The Watch knows one socket:
    when either lets go of its own, it is told the other's. Each counts its own stale connections."""

    __slots__ = ("stale", "_watch", "_sock", "_all")

    def __init__(self, watch: Watch, beside: "list[SharedWatch]"):
        """*beside* are those of the same call; this one is put to them."""
        self.stale = 0
        self._watch = watch
        self._sock: Any = None
        self._all = beside
        beside.append(self)

    @property
    def gone(self) -> bool:
        return self._watch.gone

    def upstream(self, sock: Any) -> None:
        self._sock = sock
        self._watch.upstream(sock)

    def release(self) -> None:
        self._sock = None
        self._watch.release()
        for other in self._all:
            if other._sock is not None:
                self._watch.upstream(other._sock)


def race(first: Runner, patience: Patience, after: float, second: Callable[[], Runner | None]) -> Run:
    """The result of whichever of *first*, and *second* (begun *after* seconds, if it gives a Runner),
    comes first. One that fails leaves the field to the other; when both failed, the first's error
    is raised. Yields whenever the caller's *patience* is over, and after each slice of the two."""
    running = [first]
    error: BaseException | None = None
    begin_at = time.monotonic() + after
    try:
        while running:
            for runner in list(running):
                # Alone, it waits as long as nobody else wants the turn.
                until = time.monotonic() + _SLICE if len(running) > 1 else begin_at
                runner.patience.until = min(until, patience.until)
                try:
                    next(runner.run)
                except StopIteration as done:
                    return done.value
                except Exception as failure:  # whatever it is, the other may still answer
                    error = failure if runner is first else error
                    running.remove(runner)
            if running and time.monotonic() >= begin_at:
                begin_at = FOREVER
                other = second()
                running += [other] if other is not None else []
            if len(running) > 1 or time.monotonic() >= patience.until:
                yield
        assert error is not None
        raise error
    finally:
        for runner in running:
            runner.close()
        error = None  # it holds this frame
