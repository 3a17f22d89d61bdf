"""Two runners and who wins."""

import time

import pytest

from gateway.attempt.patience import FOREVER, Patience
from gateway.errors import ChannelFailed
from gateway.trying.hedging import Runner, race


def runner(seconds, result, log=None):
    """Runs for *seconds*, as a channel's attempt would: it waits by its patience, and yields."""
    patience = Patience(FOREVER, FOREVER)

    def run():
        ends = time.monotonic() + seconds
        try:
            while (now := time.monotonic()) < ends:
                time.sleep(max(min(ends, patience.until) - now, 0.0005))
                if time.monotonic() >= patience.until:
                    yield
        except GeneratorExit:
            if log is not None:
                log.append(f"{result} was hung up on")
            raise
        if isinstance(result, Exception):
            raise result
        return result

    return Runner(run(), patience)


def winner(first, after, second):
    running = race(first, Patience(FOREVER, FOREVER), after, second)
    while True:
        try:
            next(running)
        except StopIteration as done:
            return done.value


def never():
    raise AssertionError("nobody else was to be asked")


def test_who_answers_soon_enough_has_no_rival():
    assert winner(runner(0.01, "first"), 5, never) == "first"


def test_the_rival_wins_and_the_first_is_hung_up_on():
    log = []
    assert winner(runner(5, "first", log), 0.02, lambda: runner(0.02, "second")) == "second"
    assert log == ["first was hung up on"]


def test_the_first_may_still_win():
    log = []
    assert winner(runner(0.08, "first"), 0.02, lambda: runner(5, "second", log)) == "first"
    assert log == ["second was hung up on"]


def test_without_a_rival_the_first_goes_on():
    assert winner(runner(0.06, "first"), 0.02, lambda: None) == "first"


def test_one_that_fails_leaves_the_field_to_the_other():
    error = ChannelFailed("no")
    assert winner(runner(0.05, error), 0.02, lambda: runner(0.08, "second")) == "second"
    assert winner(runner(0.08, "first"), 0.02, lambda: runner(0.01, error)) == "first"


@pytest.mark.parametrize("first, second", [(0.05, 0.02), (0.02, 0.06)])
def test_when_both_fail_the_firsts_error_is_told(first, second):
    with pytest.raises(ChannelFailed, match="of the first"):
        rival = runner(second, ChannelFailed("of the second"))
        winner(runner(first, ChannelFailed("of the first")), 0.01, lambda: rival)


def test_a_failure_before_its_time_begins_no_race():
    with pytest.raises(ChannelFailed):
        winner(runner(0.01, ChannelFailed("no")), 5, never)
