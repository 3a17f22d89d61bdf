"""When channels and keys are left alone, for how long, and that all workers agree."""

import pytest

from gateway.config.kinds import Secret
from gateway.config.settings import Health as Settings
from gateway.health import BY_HAND, FAILING, LIMITED, REFUSED, Health, key_id, resting_name
from gateway.state import StateAway
from gateway.state.sqlite import SqliteState

SETTINGS = Settings(cool_down=2, longest=30, trips=3)


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="two")
def _two(clock, tmp_path):
    """The views of two workers of one machine."""
    states = [SqliteState(str(tmp_path / "state.db"), clock) for _ in range(2)]
    yield [Health(lambda state=state: state, clock) for state in states]
    for state in states:
        state.close()


@pytest.fixture(name="health")
def _health(two):
    return two[0]


def fail(health, times):
    for _ in range(times):
        health.failed("a", SETTINGS, "500")


def test_a_channel_rests_once_it_failed_often_enough_in_a_row(health):
    fail(health, 2)
    assert (health.may_try("a"), health.left("a")) == (True, 0)
    fail(health, 1)
    assert (health.may_try("a"), health.left("a")) == (False, 2)
    assert health.rest("a").why == FAILING


def test_a_success_between_failures_begins_the_count_anew(health):
    fail(health, 2)
    health.succeeded("a")
    fail(health, 2)
    assert health.may_try("a")


def test_each_further_failure_doubles_the_rest_up_to_the_longest(health, clock):
    fail(health, 3)
    lengths = []
    for _ in range(6):
        clock.now += health.left("a")
        fail(health, 1)
        lengths.append(health.left("a"))
    assert lengths == [4, 8, 16, 30, 30, 30]


def test_of_a_rest_that_is_over_one_call_of_all_workers_is_the_probe(two, clock):
    fail(two[0], 3)
    two[1].look()
    clock.now += 2.01
    assert [health.may_try("a") for health in (two[0], two[1], two[0])] == [True, False, False]


def test_a_probe_that_never_came_back_is_followed_by_another(health, clock):
    fail(health, 3)
    clock.now += 2.01
    assert health.may_try("a")
    clock.now += 31
    assert health.may_try("a")


def test_all_workers_see_a_trip_and_its_end(two):
    fail(two[0], 3)
    assert two[1].may_try("a")
    two[1].look()
    assert not two[1].may_try("a")
    two[1].succeeded("a")  # of a call that had begun before
    two[0].look()
    assert two[0].all_well


def test_a_failure_elsewhere_counts_here(two):
    fail(two[0], 2)
    two[1].look()
    two[1].failed("a", SETTINGS, "500")
    assert not two[1].may_try("a")


def test_a_limit_rests_until_the_upstream_said(health, clock):
    health.limited("a#k", SETTINGS, 17.0, "429")
    assert (health.left("a#k"), health.rest("a#k").why, health.may_try("a")) == (17, LIMITED, True)
    health.succeeded("a#k")  # an older call's
    assert health.left("a#k") == 17
    clock.now += 18
    health.succeeded("a#k")
    assert health.all_well


def test_a_limit_without_a_time_doubles(health, clock):
    lengths = []
    for _ in range(5):
        clock.now += health.left("a#k")
        health.limited("a#k", SETTINGS, None, "429")
        lengths.append(health.left("a#k"))
    assert lengths == [2, 4, 8, 16, 30]


def test_a_refused_key_rests_for_long(health):
    health.refused("a#k", SETTINGS, "401")
    assert (health.left("a#k"), health.rest("a#k").why) == (30, REFUSED)


def test_what_rests_by_hand_is_woken_by_hand_or_time_alone(two, clock):
    health, other = two
    health.put_to_rest("a", 60, "unpaid")
    other.look()
    for act in (lambda: fail(other, 5), lambda: other.succeeded("a"), lambda: other.limited("a", SETTINGS, 1, "429")):
        act()
        assert (other.left("a"), other.rest("a").why) == (60, BY_HAND)
    other.wake("a")
    health.look()
    assert health.may_try("a")


def test_a_probe_after_a_rest_by_hand_ends_it(health, clock):
    health.put_to_rest("a", 60, "unpaid")
    clock.now += 61
    assert health.may_try("a")


def test_without_the_shared_state_a_worker_goes_by_what_it_saw(clock, caplog):
    def away():
        raise StateAway("away")

    health = Health(away, clock)
    fail(health, 3)
    assert not health.may_try("a")
    clock.now += 3
    assert health.may_try("a")  # nobody can say who the probe is
    fail(health, 3)
    health.wake("a")
    assert caplog.text.count("this worker's own knowledge for now: away") == 1


def test_a_key_is_told_by_an_id_that_says_nothing_of_it():
    one, two = Secret("secret-one"), Secret("secret-two")
    assert key_id(one) != key_id(two)
    assert resting_name("a", one) == f"a#{key_id(one)}"
    assert resting_name("a", None) == "a"
    assert "secret" not in key_id(one)


def test_calls_that_fail_together_are_one_failure_too_many_not_thirty(health, clock):
    fail(health, 32)
    assert (health.left("a"), health.rest("a").failures) == (2, 3)
    for _ in range(32):
        health.limited("a#k", SETTINGS, None, "429")
    assert health.left("a#k") == 2


def test_the_probe_of_one_rest_does_not_stand_for_the_nexts(two, clock):
    fail(two[0], 3)
    for length in (2, 4, 8):
        clock.now += length
        two[1].look()
        assert [health.may_try("a") for health in two] == [True, False]
        fail(two[0], 1)


def test_a_probe_that_found_nothing_out_makes_place_for_another(two, clock):
    fail(two[0], 3)
    clock.now += 2.01
    assert two[0].may_try("a")
    two[1].look()
    assert not two[1].may_try("a")
    two[0].untold("a")
    two[1].look()
    assert two[1].due("a")
    assert [health.may_try("a") for health in two] == [True, False]
    fail(two[0], 1)
    assert two[0].left("a") == 4  # nothing was forgotten


def test_a_call_that_is_no_probe_and_tells_nothing_changes_nothing(health, clock):
    for act in (lambda: None, lambda: fail(health, 2), lambda: fail(health, 1)):
        act()
        before = health.notice("a")
        health.untold("a")
        assert health.notice("a") == before
