"""Calls of one worker that want something of the shared state at the same moment go there together.

Whoever gets the turn does what all wait for. A lone call pays nothing for this, and under load one
transaction (or one journey to Redis) serves many.
"""

import contextlib
import os
import threading
import time
import types
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.state.claims import LATER, StateAway

MOST = 32  # calls in one turn: it must not hold up the worker's other calls for long


class Job:
    """What one call wants done: ``work`` means something to the keeper only."""

    __slots__ = ("work", "result", "error", "done")

    def __init__(self, work: Any):
        self.work = work
        self.result: Any = None
        self.error: str | None = None
        self.done = False


class Turns:
    """*carry_out* is called with a function that ends the gathering and returns the jobs. It sets each
    job's ``result``, or raises: then *failed* is told of all these jobs, and their calls get StateAway."""

    def __init__(self, carry_out: Callable[[Callable[[], list[Job]]], None], failed: Callable[[list[Job]], None]):
        self._carry_out = carry_out
        self._failed = failed
        self._turn = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._green = not isinstance(time.sleep, types.BuiltinFunctionType)

    def let_others(self) -> None:
        """Let this worker's other calls go on. Under gevent none could join before the first one
        waits for something; a thread's `sleep(0)` takes a tenth of a millisecond, and is not needed."""
        if self._green:
            time.sleep(0)
        else:
            os.sched_yield()

    def ask(self, work: Any) -> Any:
        """The result of *work*, once it had its turn. Raises StateAway."""
        job = Job(work)
        self._waiting.append(job)
        try:
            with self._turn:
                while not job.done:  # else who had the turn before did it
                    self._lead()
        except BaseException:  # a killed greenlet's, too: nobody would give back what is granted to it now
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
            raise
        if job.error is not None:
            raise StateAway(job.error)
        return job.result

    def _lead(self) -> None:
        """Have a turn, for all that wait."""
        jobs: list[Job] = []

        def gather() -> list[Job]:
            while self._waiting and len(jobs) < MOST:
                jobs.append(self._waiting.popleft())
            return jobs

        try:
            if self._green:
                self.let_others()
            self._carry_out(gather)
        except BaseException as error:  # a killed greenlet's, too: those that it leads must not wait for ever
            self._failed(gather())
            for job in jobs:
                job.error = str(error) if isinstance(error, StateAway) else f"the shared state failed: {error}"
            if not isinstance(error, StateAway):
                raise
        finally:
            for job in jobs:
                job.done = True


class Later:
    """Has *work* done LATER seconds after it was wanted, however often it was wanted meanwhile, in a
    thread (a greenlet, under gevent) that is only made when it is first needed."""

    def __init__(self, work: Callable[[], None]):
        self._work = work
        self._wanted = threading.Event()
        self._worker: threading.Thread | None = None
        self._closed = False

    def want(self) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name="state", daemon=True)
            self._worker.start()
        if not self._wanted.is_set():
            self._wanted.set()

    def close(self) -> None:
        self._closed = True
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(LATER)
            self._wanted.clear()
            if self._closed:
                return
            with contextlib.suppress(StateAway):  # it is done when the state is back
                self._work()
