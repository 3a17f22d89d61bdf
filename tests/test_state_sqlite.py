"""The state file: damaged, removed, held by somebody; and calls that go there together."""

import contextlib
import fcntl
import os
import stat
import tempfile
import threading
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.state import Purse, Slots, StateAway, Window, default_url, open_state
from gateway.state.sqlite import SqliteState
from gateway.state.turns import MOST, Turns

CLAIMS = [Window("rpm", 60, 5), Slots("open", 5), Purse("usd", 50, 10)]


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "var" / "state.db"


@pytest.fixture(name="opened")
def _opened(path):
    """opened() -> a further worker's view of the file."""
    states = []

    def open_it(**settings):
        states.append(SqliteState(str(path), **settings))
        return states[-1]

    yield open_it
    for state in states:
        state.close()


def used(state):
    return [level.used for level in state.levels(CLAIMS)]


def test_the_file_is_its_users_only_and_outlives_its_workers(path, opened):
    state = opened()
    state.take(CLAIMS)
    for file in path.parent.iterdir():
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077 or file.suffix in (".db-wal", ".db-shm"), file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    state.close()
    assert used(opened()) == [1, 0, 10]


@pytest.mark.parametrize("damage", ["garbage", "torn", "version"])
def test_a_file_that_cannot_be_read_is_set_aside(path, opened, damage, caplog):
    state = opened()
    for number in range(300):
        state.post(f"notice {number}", "x" * 100, 60)
    state.take(CLAIMS)
    state.close()
    if damage == "garbage":
        path.write_bytes(b"not a database at all" * 1000)
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:4096] + os.urandom(8192))
    else:
        data = bytearray(path.read_bytes())
        data[60:64] = (99).to_bytes(4, "big")  # user_version
        path.write_bytes(data)
    one, other = opened(), opened()
    assert one.take(CLAIMS).refused is None
    assert used(other) == [1, 1, 10]
    assert "set aside" in caplog.text
    assert path.with_name("state.db.damaged").exists()


def test_a_file_that_is_removed_is_begun_anew_by_all(path, opened, caplog):
    one, other = opened(alive=0.4), opened(alive=0.4)
    taken = one.take(CLAIMS)
    other.take(CLAIMS)
    for file in path.parent.iterdir():
        file.unlink()
    end = time.monotonic() + 20
    # What both still hold counts again.
    while caplog.text.count("was removed") < 2 or used(one)[1] != 2:
        assert time.monotonic() < end
        time.sleep(0.05)
        one.beat()
        other.beat()
    assert used(one) == used(other)
    one.settle(taken, {"rpm": 0, "usd": 0})  # which the new file knows nothing of
    assert used(other) == [0, 1, 0]
    assert path.exists()


def test_a_new_lock_is_everybodys_lock(path, opened):
    """Whoever tidies up old files takes it away; who has the old one looks every two seconds."""
    one = opened(patience=0.05)
    lock = path.with_name("state.db.lock")
    lock.unlink()
    other = opened()
    end = time.monotonic() + 20
    with lock.open() as file, pytest.raises(StateAway, match="held by another process"):
        fcntl.flock(file, fcntl.LOCK_EX)
        while time.monotonic() < end:
            one.levels(CLAIMS)
            time.sleep(0.02)
    one.take(CLAIMS)
    assert used(other) == [1, 1, 10]


def test_what_cannot_be_settled_now_is_settled_later(path, opened):
    state, other = opened(patience=0.1), opened()
    taken = state.take(CLAIMS)
    with path.with_name("state.db.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StateAway, match="held by another process"):
            state.take(CLAIMS)
        state.settle(taken, {"rpm": 0, "usd": 7})
        state.settle(taken, {"rpm": 0, "usd": 7})
    assert used(other) == [1, 1, 10]
    assert used(state) == [0, 0, 7]
    assert used(other) == [0, 0, 7]


def test_a_call_that_fails_leaves_nothing_behind(opened):
    state = opened()
    with pytest.raises(TypeError):
        state.take([*CLAIMS, Window("odd", "a minute", 5)])
    assert used(state) == [0, 0, 0]
    assert state.take(CLAIMS).refused is None


def test_a_file_that_cannot_be_had_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateAway, match="cannot be used"):
        SqliteState(str(tmp_path / "file" / "state.db"))
    with pytest.raises(StateAway, match="cannot be used"):
        SqliteState(str(tmp_path))


def test_urls(tmp_path, monkeypatch):
    state = open_state("sqlite:///var/a.db", tmp_path)
    state.close()
    assert (tmp_path / "var" / "a.db").exists()
    for url in "sqlite://", "sqlite:///", "mysql://x", "nonsense":
        with pytest.raises(ConfigError, match="state: expected"):
            open_state(url, tmp_path)
    with pytest.raises(ConfigError) as caught:
        open_state("redis:CANARY@host", tmp_path)  # slips are not to be repeated: this one is a password
    assert "CANARY" not in str(caught.value)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    one, other = default_url(tmp_path / "a.yaml"), default_url(tmp_path / "b.yaml")
    assert one != other
    folder = tmp_path / f"gateway-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="private"):
        default_url(tmp_path / "a.yaml")


# --- turns -------------------------------------------------------------------------------------------


class Keeper:
    """Carries out what comes while the gate is shut, once it opens; doubles each number."""

    def __init__(self):
        self.gate = threading.Event()
        self.batches = []
        self.lost = []
        self.fails = None

    def carry_out(self, gather):
        assert self.gate.wait(5)
        jobs = gather()
        self.batches.append(len(jobs))
        if self.fails:
            raise self.fails
        for job in jobs:
            job.result = 2 * job.work

    def failed(self, jobs):
        self.lost += [job.work for job in jobs]

    def ask_all(self, number):
        """What came of so many calls at once."""
        turns, results = Turns(self.carry_out, self.failed), {}

        def ask(value):
            try:
                results[value] = turns.ask(value)
            except Exception as error:
                results[value] = error

        threads = [threading.Thread(target=ask, args=(value,)) for value in range(number)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)  # not needed for the results, only for large batches
        self.gate.set()
        for thread in threads:
            thread.join(5)
        return results


def test_calls_that_come_together_go_together():
    keeper = Keeper()
    assert keeper.ask_all(100) == {value: 2 * value for value in range(100)}
    assert sum(keeper.batches) == 100
    assert max(keeper.batches) <= MOST
    assert len(keeper.batches) < 50


def test_a_turn_that_fails_fails_for_all_who_had_it_and_is_known_to_the_keeper():
    keeper = Keeper()
    keeper.fails = StateAway("gone")
    found = keeper.ask_all(10)
    assert {(type(error), str(error)) for error in found.values()} == {(StateAway, "gone")}
    assert sorted(keeper.lost) == list(range(10))


def test_a_mistake_of_ours_is_raised_where_it_was_made():
    keeper = Keeper()
    keeper.fails = ZeroDivisionError("oops")
    found = keeper.ask_all(5)
    assert len(found) == 5
    assert {type(error) for error in found.values()} <= {ZeroDivisionError, StateAway}
    assert any(isinstance(error, ZeroDivisionError) for error in found.values())


# --- what a worker remembers ---------------------------------------------------------------------------

COUNTED = [Window("rpm", 60, None), Window("tpm", 60, 50, 7), Slots("open", 4), Purse("usd", 60, 5, seconds=90)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.05, 1.0, 30.0, 61.0, 121.0, 200.0]),
        st.sampled_from(["take", "take", "settle", "spend", "beat", "fail"]),
        st.integers(0, 9),
    ),
    max_size=30,
)


def _carry_out(state, held, step, number):
    if step == "take":
        taken = state.take(COUNTED)
        held += [] if taken.refused else [taken]
        return taken.levels, taken.refused
    if step == "settle":
        return state.settle(held.pop(number % len(held)), {"tpm": number, "usd": number}) if held else None
    if step == "spend":
        return state.spend("usd", number, 90)
    if step == "beat":
        return state.beat()
    with pytest.raises(TypeError):  # in the middle of a transaction
        state.take([*COUNTED[:2], Window("odd", 60, None, None)])
    return None


@given(steps=STEPS)
@example(steps=[(0.0, "take", 0), (1.0, "take", 0), (200.0, "beat", 0)])  # the file forgets it
@settings(max_examples=60, deadline=None, database=None)
def test_what_a_worker_remembers_is_what_the_file_says(steps):
    """One worker is alone and remembers; the other has to read all anew, because a third one wrote."""
    now = [1_700_000_000.0]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:

        def opened(file):
            state = SqliteState(f"{folder}/{file}.db", clock=lambda: now[0], alive=10_000)
            stack.callback(state.close)
            return state

        alone, reading, third = opened("one"), opened("other"), opened("other")
        its, theirs = [], []
        for tick, step, number in steps:
            now[0] += tick
            third.post("a notice", "so that the file has changed", 1)
            found = _carry_out(alone, its, step, number), alone.levels(COUNTED)
            expected = _carry_out(reading, theirs, step, number)
            third.post("a notice", "so that it has changed again", 1)
            assert found == (expected, reading.levels(COUNTED))
        assert opened("one").levels(COUNTED) == opened("other").levels(COUNTED)
