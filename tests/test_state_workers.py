"""One state and several real processes, that are killed at any moment."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from gateway.state import Purse, Slots, Window
from tests.state_servers import RedisServer
from tests.state_worker import ALIVE, opened

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", name="redis_server")
def _redis_server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"], name="url")
def _url(request, tmp_path):
    if request.param == "redis":
        return f"{request.getfixturevalue('redis_server').url}?prefix={uuid.uuid4().hex}"
    return str(tmp_path / "state.db")


@pytest.fixture(name="state")
def _state(url):
    state = opened(url)
    yield state
    state.close()


class Workers:
    """Processes, and what they have written so far: (process id, text)."""

    def __init__(self, *words):
        command = [sys.executable, "-m", "tests.state_worker", *map(str, words)]
        self._parent = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._parent.stdout:
            self.lines.append(line.strip().partition(" ")[::2])

    def said(self, text, pid=None):
        return sum(line == text and pid in (None, by) for by, line in list(self.lines))

    def until_said(self, text, times, pid=None):
        until(lambda: self.said(text, pid) >= times, lambda: self.lines[-9:])

    def pids(self):
        return sorted({pid for pid, text in list(self.lines) if text == "got"})

    def done(self):
        assert self._parent.wait(30) == 0, self.lines[-9:]
        self._reader.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.wait()
        self._reader.join()


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["green", "threads"])
def test_of_all_that_claim_exactly_as_many_get_it(url, kind):
    with Workers(url, "window", kind, "workers=3", "calls=8", "most=311") as workers:
        workers.done()
        assert workers.said("got") == len(workers.lines) == 311


def test_never_more_hold_a_slot_than_there_are_and_all_are_used(url, tmp_path):
    counter = tmp_path / "counter"
    counter.touch()
    with Workers(url, "slots", "green", "workers=2", "calls=8", "most=4", f"counter={counter}") as workers:
        workers.done()
        held = [int(text.split()[1]) for _, text in workers.lines]
    assert len(held) == 2 * 8 * 12
    assert max(held) == 4
    assert int(counter.read_text()) == 0


def test_the_slots_of_a_killed_worker_come_back(url, state):
    open_ = Slots("s", 5)
    with Workers(url, "hold", "green", "most=5") as workers:
        workers.until_said("got", 5)
        end = time.monotonic() + 1.5 * ALIVE
        while time.monotonic() < end:  # as long as it lives it keeps them
            assert state.take([open_]).refused
            state.beat()
            time.sleep(0.05)
        os.kill(int(workers.pids()[0]), signal.SIGKILL)
        until(lambda: state.take([open_]).refused is None, lambda: state.levels([open_]))
    assert [level.used for level in state.levels([open_])] == [1]


def test_workers_killed_in_the_middle_block_nobody_and_lose_nothing(url, state):
    """What was granted stays counted; more than that, only by the calls that were under way."""
    claims = [Window("w", 600, None), Slots("s", None), Purse("usd", None, 5)]
    number, calls = 4, 8
    with Workers(url, "spend", "green", f"workers={number}", f"calls={calls}") as workers:
        until(lambda: len(workers.pids()) == number, lambda: workers.lines[-9:])
        *killed, lasting = workers.pids()
        for pid in killed:
            workers.until_said("got", 100, pid)
            os.kill(int(pid), signal.SIGKILL)
            before = workers.said("got", lasting)
            workers.until_said("got", before + 100, lasting)
            state.levels(claims)  # raises StateAway when somebody is in its way
        os.kill(int(lasting), signal.SIGKILL)
    granted = workers.said("got")
    window, _, purse = state.levels(claims)
    assert granted <= window.used <= granted + number * calls
    assert purse.used == 5 * window.used

    def slots_are_back():
        state.beat()
        return not state.levels(claims)[1].used

    until(slots_are_back, lambda: state.levels(claims))
