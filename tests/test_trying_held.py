"""What a call holds while it tries, and what it takes for what: places, probes, keys, time."""

import time

import pytest

from gateway.errors import BadRequest
from gateway.state import Slots, Window
from tests.routing_cases import ASKED, KEY, PATH, scripted


@pytest.fixture(name="made")
def _made(client_of, tmp_path, plugin_of):
    """made(channels, script, more YAML) -> a client, its plugin, its services."""

    def make(channels, script, more="routing: {retries: 5}"):
        client = client_of(scripted(tmp_path, channels, more))
        plugin = plugin_of(client, "scripted")
        plugin.script = script
        return client, plugin, client.application.extensions["gateway"].gateway.services

    return make


class Later:
    """A health's clock, so many seconds on."""

    def __init__(self, health):
        self._now, self.more = health._clock, 0.0
        health._clock = self

    def __call__(self):
        return self._now() + self.more


def test_a_full_channel_does_not_use_its_probe_up(made, sent):
    client, plugin, services = made(
        ["name: one, key: a, priority: 1, limits: {concurrency: 1}", "name: two, key: b"], {"a": 500},
        "health: {trips: 1}",
    )  # fmt: skip
    later = Later(services.health)
    sent(client, PATH, ASKED, KEY)
    later.more = 3
    plugin.script["a"] = 200
    taken = services.state.take([Slots("one:open", 1)])
    sent(client, PATH, ASKED, KEY)  # passes over the full one
    services.state.settle(taken)
    sent(client, PATH, ASKED, KEY)
    assert plugin.asked == ["a", "b", "b", "a"]


@pytest.mark.parametrize("told", [400, 404, "429 soon"])
def test_a_probe_that_the_client_spoilt_does_not_keep_its_channel_asleep(told, made, sent):
    client, plugin, services = made(["name: one, keys: [a, b], priority: 1", "name: two, key: c"], {"a": 500, "b": 500},
                                    "health: {trips: 1}")  # fmt: skip
    later = Later(services.health)
    sent(client, PATH, ASKED, KEY)
    later.more = 3
    plugin.script |= {"a": told, "b": told}
    sent(client, PATH, ASKED, KEY)
    plugin.script |= {"a": 200, "b": 200}
    later.more = 6
    del plugin.asked[:]
    answer = sent(client, PATH, ASKED, KEY)
    assert answer.headers["x-gateway-channel"] == "one"
    assert services.health.rest("one") is None


def test_a_key_or_an_entry_that_stands_twice_is_tried_once(made, sent):
    client, plugin, _ = made(["name: one, keys: [a, a, b]"], {"a": 401, "b": 401},
                             "routes: {smart: [one/m, one/m]}")  # fmt: skip
    sent(client, PATH, ASKED | {"model": "smart"}, KEY)
    assert sorted(plugin.asked) == ["a", "b"]


def test_the_pause_before_a_lower_priority_ends_with_the_deadline(made, sent, monkeypatch):
    monkeypatch.setattr("gateway.trying.trying._BACK_OFF", 500.0)
    monkeypatch.setattr("gateway.trying.trying._LONGEST_BACK_OFF", 500.0)
    client, plugin, _ = made(["name: one, key: a, priority: 1", "name: two, key: b"], {"a": 500},
                             "routing: {deadline: 0.3}")  # fmt: skip
    began = time.monotonic()
    assert sent(client, PATH, ASKED, KEY).status_code == 500
    assert time.monotonic() - began < 3
    assert plugin.asked == ["a"]


def test_who_was_asked_when_the_time_was_nearly_up_is_not_to_blame(made, sent):
    each = "timeout: {first_event: 0.25}"
    client, _, services = made(
        [f"name: one, key: a, priority: 1, {each}", "name: two, key: b"], {"a": "stall", "b": "stall"},
        "routing: {deadline: 0.5}\nhealth: {trips: 1}",
    )  # fmt: skip
    assert sent(client, PATH, ASKED, KEY).status_code == 504
    assert services.health.names() == ["one"]


def test_a_request_without_an_answer_counts_as_a_call(made, sent):
    client, _, services = made(
        ["name: one, key: a, priority: 1, timeout: {first_event: 0.1}, limits: {rpm: 9}", "name: two, key: b"],
        {"a": "stall"},
    )
    assert sent(client, PATH, ASKED, KEY).status_code == 200
    assert services.state.levels([Window("one:rpm", 60, 9)])[0].used == 1


def test_a_place_is_given_back_whatever_goes_wrong_before_the_request(made, sent, monkeypatch):
    class Unreadable:
        def __init__(self, *_):
            raise BadRequest("the client's words make no sense here")

    monkeypatch.setattr("gateway.trying.trying.Try", Unreadable)
    client, plugin, services = made(["name: one, key: a, limits: {concurrency: 1}"], {})
    assert sent(client, PATH, ASKED, KEY).status_code == 400
    assert services.state.levels([Slots("one:open", 1)])[0].used == 0
    assert services.bearings.open_calls("one") == 0


def test_an_upstreams_word_cannot_write_into_the_log(client_of, network, sent, caplog):
    network.post("https://x.test/v1/chat/completions", status=429,
                 json={"error": {"message": "no", "code": "a\nb sk-secret of yours"}})  # fmt: skip
    client = client_of("channels: [{name: x, provider: openai, key: k, models: [m], base_url: 'https://x.test'}]")
    sent(client, PATH, ASKED)
    rested = [record.getMessage() for record in caplog.records if "rests for" in record.getMessage()]
    assert rested
    assert all("\n" not in line for line in rested)
    assert "a?b?sk-secret" in rested[0]
    assert "\n" not in sent(client, PATH, ASKED).json["error"]["message"]


def test_the_last_errors_own_channel_is_the_one_whose_secrets_are_hidden(client_of, network, sent):
    """The second cannot be told what the client wants; the first's answer repeats the first's key."""
    network.post("https://one.test/v1/chat/completions", status=500,
                 json={"error": {"message": "bad thing with first-secret in it"}})  # fmt: skip
    client = client_of("""
    channels:
      - {name: one, provider: openai, key: first-secret, auth: "query:key", models: [m], priority: 1, base_url: https://one.test}
      - {name: two, provider: anthropic, key: second, models: [m], strict: true, base_url: https://two.test}
    """)
    answer = sent(client, PATH, ASKED | {"logit_bias": {"1": 1}})
    assert (answer.status_code, answer.headers["x-gateway-channel"]) == (500, "one")
    assert "first-secret" not in answer.text
    assert "***" in answer.json["error"]["message"]


@pytest.mark.parametrize("key_first", [401, "429 soon"])
def test_a_keys_probe_that_met_its_channels_failure_leaves_its_place_to_another(key_first, made, sent):
    client, plugin, services = made(["name: one, key: a, priority: 1", "name: two, key: b"], {"a": key_first},
                                    "health: {trips: 9, longest: 2}")  # fmt: skip
    later = Later(services.health)
    sent(client, PATH, ASKED, KEY)
    later.more, plugin.script["a"] = 3, 500
    sent(client, PATH, ASKED, KEY)  # the probe: tells of the channel, and nothing of its key
    plugin.script["a"] = 200
    del plugin.asked[:]
    sent(client, PATH, ASKED, KEY)
    assert plugin.asked == ["a"]
