"""What is true of every keeper of the shared state, at moments that the test chooses."""

import itertools
import json
import time
import uuid
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.state import Purse, Slots, StateAway, Window, open_state
from gateway.state.claims import BUCKETS
from gateway.state.redis import RedisState
from gateway.state.sqlite import SqliteState
from tests.state_servers import RedisServer

SCENARIOS = sorted((Path(__file__).parent / "cases" / "state").glob("*.yaml"))
KINDS = {"window": Window, "slots": Slots, "purse": Purse}
BEGAN = 19676 * 86400.0  # on the border of a bucket, for windows up to a day
ALIVE = 8.0


class Clock:
    def __init__(self):
        self.now = BEGAN

    def __call__(self):
        return self.now


@pytest.fixture(scope="module", name="redis_server")
def _redis_server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"], name="place")
def _place(request, tmp_path):
    """place() -> a function that opens one and the same new state for a further worker."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    names = itertools.count()
    opened = []

    def new_place():
        url = f"{server.url}?prefix={uuid.uuid4().hex}" if server else str(tmp_path / f"{next(names)}.db")

        def worker(clock):
            opened.append(RedisState(url, clock, ALIVE) if server else SqliteState(url, clock or time.time, ALIVE))
            return opened[-1]

        return worker

    yield new_place
    for state in opened:
        state.close()


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="worker")
def _worker(place, clock):
    """worker() -> a further worker's view of one state, all by the same clock."""
    opened = place()
    return lambda: opened(clock)


@pytest.fixture(name="state")
def _state(worker):
    return worker()


def claim_of(name, said):
    said = {"name": name} | said
    if "\\ud83d" in said["name"]:  # which YAML cannot carry
        said["name"] = json.loads(json.dumps(said["name"]).replace("\\\\ud83d", "\\ud83d"))
    return KINDS[said.pop("kind")](**said)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path, state, clock):
    scenario = yaml.safe_load(path.read_text("utf-8"))
    claims = {name: claim_of(name, said) for name, said in scenario["claims"].items()}
    kept = {}
    for step in scenario["steps"]:
        clock.now = BEGAN + step["at"]
        amounts = {claims[name].name: amount for name, amount in step.get("amounts", {}).items()}
        if "take" in step:
            taken = state.take([claims[name] for name in step["take"]])
            kept[step.get("as")] = taken
            if "refused" in step:
                assert taken.refused, step
                assert (taken.refused.claim, [taken.refused.used]) == (claims[step["refused"]], step["used"]), step
                assert taken.refused.retry_after == pytest.approx(step["retry"], abs=2e-5) if step["retry"] else True
                assert (taken.refused.retry_after is None) == (step["retry"] is None), step
                continue
            assert taken.refused is None, step
            if "over" in step:
                assert taken.over == [claims[name] for name in step["over"]], step
            found = taken.levels
        elif "levels" in step:
            found = state.levels([claims[name] for name in step["levels"]])
        elif "spend" in step:
            state.spend(step["spend"], step["amount"])
            continue
        else:
            state.settle(kept[step["settle"]], amounts)
            continue
        assert [level.used for level in found] == step["used"], step
        if "frees" in step:
            assert [level.frees for level in found] == pytest.approx(step["frees"], abs=2e-5), step


TICKS = st.one_of(
    st.sampled_from([0.0, 0.000001, 0.01, 0.0999, 0.1, 0.1001, 1.0, 59.9, 60.0, 60.1, 60.2, 200.0]), st.floats(0, 70)
)
STEPS = st.lists(
    st.tuples(TICKS, st.sampled_from(["take", "take", "take", "settle", "obey"]), st.integers(0, 6)), max_size=50
)


@given(steps=STEPS, most=st.integers(1, 10))
@settings(max_examples=50)
def _never_over_and_never_long_refused(opened, steps, most):
    """Against a list of everything that was granted: (when, how much)."""
    clock = Clock()
    clock.now = BEGAN + 123.456789
    state, seconds, granted = opened(clock), 60, []
    width = seconds / BUCKETS
    for tick, step, number in steps:
        clock.now += tick
        if step == "settle":
            if granted:
                entry = granted[number % len(granted)]
                state.settle(entry[2], {"w": number})
                entry[1] = number if not entry[3] else entry[1]
                entry[3] = True
            continue
        claim = Window("w", seconds, most, number)
        taken = state.take([claim])
        wanted = max(number, 1)
        if taken.refused is None:
            surely = sum(amount for when, amount, *_ in granted if when >= clock.now - seconds)
            assert surely + wanted <= most
            granted.append([clock.now, number, taken, False])
            continue
        perhaps = sum(amount for when, amount, *_ in granted if when + seconds + width + 1e-5 > clock.now)
        assert perhaps + wanted > most
        assert (taken.refused.retry_after is None) == (number > most)
        if step == "obey" and taken.refused.retry_after is not None:
            then = clock.now + taken.refused.retry_after
            if then - 1e-5 > clock.now:
                clock.now = then - 1e-5
                assert state.take([claim]).refused
            clock.now = then
            taken = state.take([claim])
            assert taken.refused is None
            granted.append([clock.now, number, taken, False])


def test_a_window_is_exact_in_any_span_and_frees_at_most_a_bucket_late(place):
    _never_over_and_never_long_refused(lambda clock: place()(clock))


def test_workers_share_everything(worker):
    one, other = worker(), worker()
    claims = [Window("rpm", 60, 2), Slots("open", 2), Purse("usd", 20, 10)]
    mine, its = one.take(claims), other.take(claims)
    assert [level.used for level in its.levels] == [2, 2, 20]
    for state in one, other:
        assert state.take(claims).refused.claim == claims[0]
        assert state.take(claims[1:]).refused.claim == claims[1]
        assert state.take(claims[2:]).refused.claim == claims[2]
    other.settle(its, {"rpm": 0, "usd": 3})
    assert [level.used for level in one.levels(claims)] == [1, 1, 13]
    one.settle(mine)
    assert [level.used for level in other.levels(claims)] == [1, 0, 13]


def test_a_notice_is_seen_by_all_until_its_end(worker, clock):
    one, other = worker(), worker()
    assert one.posted(-1)[1] == {}
    seen, _ = other.posted(-1)
    assert other.posted(seen) is None
    one.post("a", "first ✓\ud83d", 10)
    one.post("b", "second", 20)
    generation, board = other.posted(seen)
    assert (board["b"], set(board)) == ("second", {"a", "b"})
    assert board["a"].startswith("first ✓")
    assert other.posted(generation) is None
    clock.now += 10
    one.post("b", "", 0)
    assert one.posted(generation)[1] == {}
    one.post("c", "third", 1)
    one.post("c", "fourth", 1)
    later, board = other.posted(generation)
    assert (later > generation, board) == (True, {"c": "fourth"})


def test_one_worker_has_a_claim_until_its_end(worker, clock):
    one, other = worker(), worker()
    assert one.claim("probe", 5)
    assert not other.claim("probe", 5)
    assert not one.claim("probe", 5)
    assert other.claim("another", 5)
    clock.now += 4.999
    assert not other.claim("probe", 5)
    clock.now += 0.001
    assert other.claim("probe", 5)
    assert not one.claim("probe", 5)


def test_a_worker_that_dies_loses_its_slots_and_nothing_else(worker, clock):
    one, dead = worker(), worker()
    claims = [Slots("open", 2), Purse("usd", 100, 10), Window("rpm", 60, 9)]
    mine = one.take(claims)
    dead.take(claims)
    for _ in range(3):
        clock.now += ALIVE / 4
        assert one.take(claims).refused.claim == claims[0]
        one.beat()
    clock.now += ALIVE / 4
    one.beat()
    assert [level.used for level in one.levels(claims)] == [1, 20, 2]
    assert one.take(claims).refused is None
    one.settle(mine)
    assert one.levels(claims)[0].used == 1


def test_a_worker_that_others_gave_up_counts_again_once_it_is_back(worker, clock):
    one, slow = worker(), worker()
    open_ = Slots("open", 3)
    one.beat()
    old = slow.take([open_])
    for _ in range(5):
        clock.now += ALIVE / 4
        one.beat()
    assert one.levels([open_])[0].used == 0
    new = slow.take([open_])
    assert [level.used for level in new.levels] == [2]
    slow.settle(old)
    slow.settle(old)
    assert one.levels([open_])[0].used == 1
    slow.settle(new)
    assert one.levels([open_])[0].used == 0


def test_a_worker_that_was_silent_itself_does_not_keep_the_dead_alive(worker, clock):
    idle, dead = worker(), worker()
    open_ = Slots("open", 1)
    idle.beat()
    dead.take([open_])
    clock.now += ALIVE - 0.001
    assert idle.take([open_]).refused
    clock.now += 0.001
    assert idle.take([open_]).refused is None


BACK = [0.5, 5.0, 3600.0, 400 * 86400.0]  # seconds by which a clock is put back
LATE = 4.0  # seconds that may pass until somebody notices


@pytest.mark.parametrize("seconds", BACK)
def test_a_clock_that_is_put_back_holds_nothing_for_longer(worker, clock, seconds):
    one, dead = worker(), worker()
    claims = [Window("rpm", 60, 2), Slots("open", 9)]
    held = one.take(claims)
    dead.take(claims)
    one.post("rests", "for a minute", 60)
    one.claim("probe", 60)
    clock.now += 10
    one.beat()
    clock.now -= seconds
    refused = one.take(claims[:1]).refused
    assert 49 < refused.retry_after < 50.2 + LATE
    for passed in range(4, 64, 4):  # a worker gives a sign of life every so often, and so does a new one
        clock.now += 4
        one.beat()
        new = worker()
        assert (new.take(claims[:1]).refused is None) <= (passed >= 50), passed
        new.close()
    assert [level.used for level in one.levels(claims)][1] == 1  # the dead one has none
    assert one.posted(-1)[1] == {}
    assert one.claim("probe", 60)
    one.settle(held, {"rpm": 0})  # what has left its window already
    clock.now += 62
    assert [one.take(claims[:1]).refused is None for _ in range(3)] == [True, True, False]


def test_a_worker_that_ends_gives_its_slots_back(worker):
    one, other = worker(), worker()
    claims = [Slots("open", 1), Purse("usd", 100, 10)]
    other.take(claims)
    other.close()
    other.close()
    assert [level.used for level in one.take(claims).levels] == [1, 20]
    with pytest.raises(StateAway):
        other.take(claims)


def test_purses_and_claims_that_nobody_asks_for_are_forgotten(worker, clock):
    state = worker()
    claims = [Purse("short", 100, 10, seconds=60), Purse("total", 100, 10, seconds=0)]
    state.take(claims)
    state.spend("counted", 7, 0)
    clock.now += 30
    assert [level.used for level in state.levels(claims)] == [10, 10]
    if isinstance(state, SqliteState):  # Redis forgets by its own clock: see test_state_redis
        clock.now += 31
        state.beat()
        assert [level.used for level in state.levels(claims)] == [0, 10]
    assert state.levels([Purse("counted", 10, 1)])[0].used == 7


def test_memory_is_one_workers_own():
    one, other = (open_state("memory://", Path("/")) for _ in range(2))
    claims = [Slots("open", 1), Window("rpm", 60, 1)]
    for state in one, other:
        assert state.take(claims).refused is None
        assert state.take(claims).refused
        state.beat()
        state.close()


def test_more_than_a_call_can_cost_may_have_been_spent(place):
    state = place()(None)
    state.spend("usd", 5 * 10**12)  # of a company, in micro-USD
    assert state.levels([Purse("usd", None, 0)])[0].used == 5 * 10**12


def test_what_is_settled_later_counts_for_the_next_call_and_soon_for_all(place):
    new = place()
    one, other = new(None), new(None)
    claims = [Window("tpm", 60, 100, 40), Slots("at_once", 9)]
    one.settle(one.take(claims), {"tpm": 1}, later=True)
    assert [level.used for level in one.levels(claims)] == [1, 0]
    one.settle(one.take(claims), {"tpm": 1}, later=True)
    end = time.monotonic() + 20
    while [level.used for level in other.levels(claims)] != [2, 0]:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_to_be_settled_later_is_settled_by_a_worker_that_ends(place):
    new = place()
    one, other = new(None), new(None)
    claims = [Window("tpm", 60, 100, 40), Slots("at_once", 9)]
    one.settle(one.take(claims), {"tpm": 1}, later=True)
    one.close()
    assert [level.used for level in other.levels(claims)] == [1, 0]


def test_the_clock_on_the_wall_is_the_usual_one(place):
    state = place()(None)
    window = Window("w", 3, 1)
    assert state.take([window]).refused is None
    refused = state.take([window]).refused
    assert 0 < refused.retry_after <= 3.01
    time.sleep(refused.retry_after)
    assert state.take([window]).refused is None
