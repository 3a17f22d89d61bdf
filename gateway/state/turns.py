"""Calls of one worker that want something of the shared state at the same moment go there together.

The first of them fetches the turn for all that come while it waits. A lone call pays nothing for
this, and under load one transaction (or one journey to Redis) serves many.
"""

import contextlib
import os
import threading
import time
import types
from collections.abc import Callable
from typing import Any

from gateway.state.claims import LATER, StateAway

MOST = 32  # calls in one turn: it must not hold up the worker's other calls for long


class Job:
    """What one call wants done: ``work`` means something to the keeper only."""

    __slots__ = ("work", "result", "error")

    def __init__(self, work: Any):
        self.work = work
        self.result: Any = None
        self.error: str | None = None


class _Batch:
    __slots__ = ("jobs", "done")

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.done: threading.Event | None = None  # only made when a second call comes


class Turns:
    """*carry_out* is called with a function that ends the gathering and returns the jobs. It sets each
    job's ``result``, or raises: then *failed* is told of all these jobs, and their calls get StateAway."""

    def __init__(self, carry_out: Callable[[Callable[[], list[Job]]], None], failed: Callable[[list[Job]], None]):
        self._carry_out = carry_out
        self._failed = failed
        self._turn = threading.Lock()
        self._door = threading.Lock()
        self._gathering = _Batch()
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
        with self._door:
            batch = self._gathering
            if len(batch.jobs) == MOST:
                batch = self._gathering = _Batch()
            batch.jobs.append(job)
            first = len(batch.jobs) == 1
            if not first and batch.done is None:
                batch.done = threading.Event()
        if first:
            self._lead(batch)
        else:
            batch.done.wait()
        if job.error is not None:
            raise StateAway(job.error)
        return job.result

    def _lead(self, batch: _Batch) -> None:
        try:
            if self._green:
                self.let_others()
            with self._turn:
                self._carry_out(lambda: self._gathered(batch))
        except BaseException as error:  # a killed greenlet's, too: those that it leads must not wait for ever
            jobs = self._gathered(batch)
            self._failed(jobs)
            for job in jobs:
                job.error = str(error) if isinstance(error, StateAway) else f"the shared state failed: {error}"
            if not isinstance(error, StateAway):
                raise
        finally:
            if batch.done is not None:
                batch.done.set()

    def _gathered(self, batch: _Batch) -> list[Job]:
        with self._door:
            if self._gathering is batch:
                self._gathering = _Batch()
        return batch.jobs


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
