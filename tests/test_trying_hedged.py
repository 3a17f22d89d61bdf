"""A call that two channels work on at once: nothing is held too long, counted twice or forgotten."""

import contextlib

import pytest

from gateway.attempt.patience import FOREVER, Patience
from gateway.state import Slots, StateAway, Window
from gateway.trying.hedging import Runner, SharedWatch, race
from gateway.trying.turns import Turns
from tests.routing_cases import ASKED, KEY, PATH, scripted


@pytest.fixture(name="two")
def _two(client_of, tmp_path, plugin_of):
    """two(script, extra settings of each channel) -> a client whose calls are hedged, its plugin, its services."""

    def make(script, each="", more="", hedge=0.03):
        channels = [f"name: {name}, priority: {p}, keys: [{name}-0]{each}" for name, p in (("one", 2), ("two", 1))]
        client = client_of(scripted(tmp_path, channels, f"routing: {{retries: 3, hedge_after: {hedge}}}\n{more}"))
        plugin = plugin_of(client, "scripted")
        plugin.script, plugin.seconds = script, 0.15
        return client, plugin, client.application.extensions["gateway"].gateway.services

    return make


def route(answer):
    return [each.partition("/")[0] for each in answer.headers["x-gateway-route"].split(", ")]


def test_the_failure_of_the_first_counts_though_the_second_serves(two, sent):
    client, plugin, services = two({"one-0": "slow 500", "two-0": "slow"}, more="health: {trips: 1}")
    plugin.seconds = 0.1
    answer = sent(client, PATH, ASKED, KEY)
    assert (answer.status_code, route(answer)) == (200, ["one#0:told", "two#0:ok"])
    assert services.health.left("one") > 0


def test_the_loser_counts_neither_for_nor_against_its_channel(two, sent):
    client, _, services = two({"one-0": "slow"})
    answer = sent(client, PATH, ASKED, KEY)
    assert route(answer) == ["two#0:ok", "one#0:abandoned"]
    assert services.health.all_well


def test_a_probe_that_lost_leaves_its_place_to_another(two, sent):
    client, _, services = two({"one-0": "slow"})
    settings = client.application.extensions["gateway"].gateway.settings.health
    clock = [services.health._clock()]
    services.health._clock = lambda: clock[0]
    for _ in range(settings.trips):
        services.health.failed("one", settings, "500")
    clock[0] += 3
    assert route(sent(client, PATH, ASKED, KEY))[1] == "one#0:abandoned"
    assert services.health.may_try("one")


def test_when_both_fail_the_last_to_fail_is_told_with_its_channel(two, sent):
    client, plugin, _ = two({"one-0": 200, "two-0": 500})
    plugin.script["one-0"], plugin.seconds = "slow 500", 1.0
    answer = sent(client, PATH, ASKED, KEY)
    assert answer.status_code == 500
    assert answer.json["error"]["message"] == "told to by ***"
    assert answer.headers["x-gateway-channel"] == "one"


def test_what_nobody_could_do_better_is_the_end_also_where_two_were_asked(client_of, tmp_path, plugin_of, sent):
    channels = [f"name: c{n}, priority: {9 - n}, keys: [c{n}-0]" for n in range(3)]
    client = client_of(scripted(tmp_path, channels, "routing: {retries: 5, hedge_after: 0.03}"))
    plugin = plugin_of(client, "scripted")
    plugin.script = {"c0-0": "slow 500", "c1-0": 400}
    plugin.seconds = 0.15
    answer = sent(client, PATH, ASKED, KEY)
    assert (answer.status_code, answer.headers["x-gateway-channel"]) == (400, "c1")
    assert sorted(plugin.asked) == ["c0-0", "c1-0"]


def test_places_of_both_are_given_back(two, sent):
    client, plugin, services = two({"one-0": "slow"}, ", limits: {concurrency: 1, rpm: 50}")
    for _ in range(2):
        assert sent(client, PATH, ASKED, KEY).status_code == 200
    claims = [Slots("one:open", 1), Slots("two:open", 1), Window("one:rpm", 60, 50), Window("two:rpm", 60, 50)]
    assert [level.used for level in services.state.levels(claims)] == [0, 0, 2, 2]  # what was sent counts
    assert [services.bearings.open_calls(name) for name in ("one", "two")] == [0, 0]


def test_a_second_that_never_began_gives_back_what_it_holds():
    """The first answers in the very moment in which the second was chosen."""
    log = []

    def first():
        yield
        return "first"

    def second():
        yield
        log.append("begun")

    patience = Patience(FOREVER, FOREVER)
    rival = Runner(second(), patience, lambda: log.append("back"))
    running = race(Runner(first(), patience), patience, 0, lambda: rival)
    with contextlib.suppress(StopIteration):
        while True:
            next(running)
    assert log == ["back"]


def test_a_state_that_is_away_ends_no_call_that_is_well(two, sent, monkeypatch):
    client, _, services = two({"one-0": "slow"})

    def away(*_):
        raise StateAway("away")

    chosen = Turns.next
    monkeypatch.setattr(Turns, "next", lambda self, busy, but="": away() if but else chosen(self, busy, but))
    assert route(sent(client, PATH, ASKED, KEY)) == ["one#0:ok"]


class Socket:
    def __init__(self, number):
        self.number = number


class Client:
    """A Watch, as far as the two use it."""

    gone, stale, sock = False, 0, None

    def upstream(self, sock):
        self.sock = sock

    def release(self):
        self.sock = None


def test_a_departing_client_cuts_whoever_still_works_for_it():
    client, beside = Client(), []
    one, two = SharedWatch(client, beside), SharedWatch(client, beside)
    mine, its = Socket(1), Socket(2)
    one.upstream(mine)
    two.upstream(its)
    two.release()
    assert client.sock is mine
    one.release()
    assert client.sock is None


def test_each_counts_its_own_stale_connections():
    beside = []
    one, two = (SharedWatch(Client(), beside) for _ in range(2))
    one.stale += 1
    assert (one.stale, two.stale) == (1, 0)
