"""A second channel is asked, too, when the first takes long (`routing.hedge_after`): whoever answers
first serves the call, the other is hung up on.

Only for whole replies, where nothing shows that a channel is at work. Both may be billed. There is
no thread: each of the two waits for a moment in turn.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from gateway.patience import FOREVER, Patience

_SLICE = 0.01  # seconds each of the two waits before it is the other's turn

Run = Generator[None, None, Any]


@dataclass(slots=True)
class Runner:
    """One of the two: what it runs, and the patience that it waits by."""

    run: Run
    patience: Patience


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
                except Exception as failure:
                    error = failure if runner is first else error
                    running.remove(runner)
            if running and time.monotonic() >= begin_at:
                begin_at = FOREVER
                other = second()
                running += [other] if other is not None else []
            if len(running) > 1 or time.monotonic() >= patience.until:
                yield
    finally:
        for runner in running:
            runner.run.close()
    assert error is not None
    raise error
